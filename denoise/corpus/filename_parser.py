"""Which digit a recording holds and who speaks, told from its name and folders.

What is understood, at any depth, in upper or lower case, a digit being 0 to 9 or zero to nine:

- `D_speaker_R`, which says everything: AudioMNIST's `7_01_3`, Free Spoken Digit's `7_jackson_3`;
- a folder a speaker: `jackson/7_3`, `jackson/seven`, `jackson/7/3`;
- a folder a digit: `seven/jackson_3`, `7/jackson`, Speech Commands' `seven/0a7c2a8d_nohash_3`;
- `jackson_seven_3` and `seven_jackson`, in any folder.

Folders that hold a part of a corpus and not a speaker, such as `recordings`, `train` or `take_2`,
are looked through, and so is a folder that all recordings share, unless nothing else tells a
speaker. A recording with no digit, such as other words or noise, has no place here.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NO_DIGIT = "Neither its name nor its folders tell a digit."
NO_SPEAKER = "Neither its name nor its folders tell a speaker."
TWO_DIGITS = "Its name and its folder may tell different digits."
MAX_NAME_LENGTH = 255  # of a file; a zip may hold longer ones, on which matching would take minutes

_WORD = "|".join(DIGIT_WORDS)
_GAP = r"[ _.-]+"
_REPETITION = rf"(?:{_GAP}\(?|\()(?P<repetition>\d{{1,9}})\)?"
_FULL = re.compile(rf"(?P<digit>\d|{_WORD}){_GAP}(?P<name>.+?){_REPETITION}", re.I)
_HASHED = re.compile(r"(?P<name>.+)_nohash_(?P<repetition>\d{1,9})", re.I)
_DIGIT_FIRST = re.compile(
    rf"(?P<digit>\d|{_WORD})(?:{_GAP}(?P<name>.*?[^\W\d_].*?))?(?:{_REPETITION})?", re.I
)
_DIGIT_LAST = re.compile(rf"(?P<name>.+?){_GAP}(?P<digit>{_WORD})(?:{_REPETITION})?", re.I)
_NAMED = re.compile(rf"(?P<name>.+?)(?:{_REPETITION})?", re.I)
_STUCK = re.compile(rf"(?<![^\W\d_])({_WORD})(?=\d+$)", re.I)
_DIGIT_FOLDER = re.compile(rf"(?:digit{_GAP})?(\d|{_WORD})", re.I)
_NO_PERSON = re.compile(
    "(?:audio|batch|clip|corpus|data|dataset|day|dev|digit|eval|file|flac|mp3|number|ogg|original|"
    "part|raw|rec|recording|rep|sample|session|set|sound|speaker|speech|spoken|take|test|testing|"
    "train|training|trial|utt|utterance|val|valid|validation|version|wav)s?"
    rf"(?:(?<!speaker)(?:{_GAP})?\d+)?",
    re.I,
)
_NUMBER = re.compile(r"\d{1,4}")  # longer ones are dates and hashes: names


class LabelError(ValueError):
    """A recording whose digit or speaker cannot be told; the message is the reason."""


@dataclass(frozen=True)
class Label:
    """What a path tells: the digit, the speaker's name or number, the repetition if it has one."""

    digit: int
    speaker: str
    repetition: int | None


@dataclass(frozen=True)
class _Said:
    """What a file's name tells, as far as it does."""

    digit: int
    is_word: bool
    name: str | None
    repetition: int | None

    @property
    def is_bare_number(self) -> bool:
        return not self.is_word and self.name is None and self.repetition is None


@dataclass(frozen=True, order=True)
class _DigitFolder:
    """A folder named as a digit; words sort behind numerals, inner folders behind outer ones."""

    is_word: bool
    depth: int
    digit: int
    name: str


def parse_label(folders: Sequence[str], stem: str) -> Label:
    """Tell a recording's label from its folders, outermost first, and its name without suffix.

    Raises LayoutError with the reason where the digit or the speaker cannot be told.
    """
    if len(stem) > MAX_NAME_LENGTH:
        raise LabelError(NO_DIGIT)
    stem = _STUCK.sub(r"\1_", stem)
    if (full := _FULL.fullmatch(stem)) and not _NO_PERSON.fullmatch(full["name"]):
        return Label(_digit(full["digit"]), canonical(full["name"]), int(full["repetition"]))
    folder = _digit_folder(folders)
    if hashed := _HASHED.fullmatch(stem):
        if folder is None:
            raise LabelError(NO_DIGIT)
        return Label(folder.digit, canonical(hashed["name"]), int(hashed["repetition"]))
    others = [name for i, name in enumerate(folders) if folder is None or i != folder.depth]
    people = [name for name in others if not _NO_PERSON.fullmatch(name)]
    digit, speaker, repetition = _weigh(stem, folder, people[-1] if people else None)
    if speaker is None:
        raise LabelError(NO_SPEAKER)
    return Label(digit, canonical(speaker), repetition)


def _weigh(
    stem: str, folder: _DigitFolder | None, person: str | None
) -> tuple[int, str | None, int | None]:
    """Hold a file's name against the folder named as a digit and the folder named as a person."""
    said = _said(stem)
    if folder is None:
        if said is None:
            raise LabelError(NO_DIGIT)
        return said.digit, person or said.name, said.repetition
    if said is None or (folder.is_word and not said.is_word):
        name, repetition = _named(stem)
        return folder.digit, person or (name if name != str(folder.digit) else None), repetition
    number = folder.name if said.is_word and not folder.is_word else None
    if said.digit == folder.digit:
        return said.digit, person or said.name or number, said.repetition
    if number:
        return said.digit, number, said.repetition  # beside a word, a number is a speaker's
    if said.is_bare_number and person:
        return folder.digit, person, said.digit
    raise LabelError(TWO_DIGITS)


def _said(stem: str) -> _Said | None:
    match = _DIGIT_FIRST.fullmatch(stem) or _DIGIT_LAST.fullmatch(stem)
    if match is None:
        return None
    name = match["name"]
    return _Said(
        _digit(match["digit"]),
        not match["digit"].isdecimal(),
        None if name is None or _NO_PERSON.fullmatch(name) else name,
        int(match["repetition"]) if match["repetition"] else None,
    )


def _named(stem: str) -> tuple[str | None, int | None]:
    """Read the name of a file in a folder a digit: a speaker and a repetition, or either."""
    if stem.isdecimal():
        return None, int(stem) if len(stem) < 10 else None
    match = _NAMED.fullmatch(stem)
    if match is None:
        return None, None
    repetition = int(match["repetition"]) if match["repetition"] else None
    return None if _NO_PERSON.fullmatch(match["name"]) else match["name"], repetition


def _digit_folder(folders: Sequence[str]) -> _DigitFolder | None:
    """Return the innermost folder named as a digit; a word goes before a numeral."""
    named = []
    for depth, name in enumerate(folders):
        if match := _DIGIT_FOLDER.fullmatch(name):
            named.append(_DigitFolder(not match[1].isdecimal(), depth, _digit(match[1]), name))
    return max(named, default=None)


def _digit(text: str) -> int:
    if text.isdecimal():
        return int(text)
    return next(d for d, word in enumerate(DIGIT_WORDS) if re.fullmatch(word, text, re.I))


def canonical(speaker: str) -> str:
    """Return a speaker's number in AudioMNIST's form, `01`, and a name as it is."""
    return f"{int(speaker):02d}" if _NUMBER.fullmatch(speaker) else speaker


def number_speakers(speakers: Iterable[str]) -> dict[str, str]:
    """Give each speaker an id: numbers keep theirs, names get the free ones in sorted order."""
    known = set(speakers)
    ids = {speaker: speaker for speaker in known if _NUMBER.fullmatch(speaker)}
    number = 1
    for name in sorted(known - set(ids)):
        while f"{number:02d}" in ids:
            number += 1
        ids[name] = f"{number:02d}"
        number += 1
    return ids


def number_repetitions(labels: Sequence[Label]) -> list[int]:
    """Give each recording a repetition of its own: its first claim, or the lowest that is free."""
    owner: dict[Label, int] = {}
    for index, label in enumerate(labels):
        if label.repetition is not None:
            owner.setdefault(label, index)
    lowest: Counter[tuple[str, int]] = Counter()
    numbers = []
    for index, label in enumerate(labels):
        who = (label.speaker, label.digit)
        if label.repetition is None or owner[label] != index:
            while Label(label.digit, label.speaker, lowest[who]) in owner:
                lowest[who] += 1
            label = Label(label.digit, label.speaker, lowest[who])
            owner[label] = index
        numbers.append(label.repetition or 0)
    return numbers


def shared_folders(paths: Sequence[tuple[str, ...]]) -> int:
    """Count the outermost folders, none named as a digit, that all paths to a file share."""
    count = 0
    for level in zip(*(path[:-1] for path in paths), strict=False):
        if len(set(level)) > 1 or _DIGIT_FOLDER.fullmatch(level[0]):
            break
        count += 1
    return count
