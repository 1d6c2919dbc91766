"""Read the digit, the speaker and the repetition of a recording from its file name and folders.

A digit is written as 0 to 9 or zero to nine, in upper or lower case. These layouts are supported,
at any depth:

- `D_speaker_R`, a complete label: AudioMNIST's `7_01_3`, Free Spoken Digit's `7_jackson_3`;
- one folder per speaker: `jackson/7_3`, `jackson/seven`, `jackson/7/3`;
- one folder per digit: `seven/jackson_3`, `7/jackson`, Speech Commands' `seven/0a7c2a8d_nohash_3`;
- `jackson_seven_3` and `seven_jackson`, in any folder.

A folder whose name describes a part of a corpus, such as `recordings`, `train` or `take_2`, is not
a speaker. The caller also drops the folders that all recordings share (`count_shared_folders`),
unless they are the only ones that can name a speaker. A recording without a digit, such as another
word or noise, is an error.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NO_DIGIT = "Neither the file name nor a folder names a digit."
NO_SPEAKER = "Neither the file name nor a folder names a speaker."
TWO_DIGITS = "The file name and a folder may name different digits."
# The longest file name of common file systems. A zip may hold longer names, and matching the
# patterns below against them would take minutes.
MAX_NAME_LENGTH = 255

_WORD = "|".join(DIGIT_WORDS)
_GAP = r"[ _.-]+"
_REPETITION = rf"(?:{_GAP}\(?|\()(?P<repetition>\d{{1,9}})\)?"
# 7_jackson_3
_COMPLETE = re.compile(rf"(?P<digit>\d|{_WORD}){_GAP}(?P<name>.+?){_REPETITION}", re.I)
# 0a7c2a8d_nohash_3
_NOHASH = re.compile(r"(?P<name>.+)_nohash_(?P<repetition>\d{1,9})", re.I)
# 7, 7_3, 7_take_3, seven_jackson; the name has at least one letter
_DIGIT_FIRST = re.compile(
    rf"(?P<digit>\d|{_WORD})(?:{_GAP}(?P<name>.*?[^\W\d_].*?))?(?:{_REPETITION})?", re.I
)
# jackson_seven, jackson_seven_3; here the digit is a word, since jackson_7 may be a repetition
_DIGIT_LAST = re.compile(rf"(?P<name>.+?){_GAP}(?P<digit>{_WORD})(?:{_REPETITION})?", re.I)
# jackson, jackson_3
_SPEAKER = re.compile(rf"(?P<name>.+?)(?:{_REPETITION})?", re.I)
# the word in seven03, which is read as seven_03
_WORD_BEFORE_NUMBER = re.compile(rf"(?<![^\W\d_])({_WORD})(?=\d+$)", re.I)
_DIGIT_FOLDER = re.compile(rf"(?:digit{_GAP})?(\d|{_WORD})", re.I)
_NOT_A_SPEAKER = re.compile(
    "(?:audio|batch|clip|corpus|data|dataset|day|dev|digit|eval|file|flac|mp3|number|ogg|original|"
    "part|raw|rec|recording|rep|sample|session|set|sound|speaker|speech|spoken|take|test|testing|"
    "train|training|trial|utt|utterance|val|valid|validation|version|wav)s?"
    rf"(?:(?<!speaker)(?:{_GAP})?\d+)?",
    re.I,
)
_SPEAKER_NUMBER = re.compile(r"\d{1,4}")  # longer numbers are dates and hashes, kept as names


class LabelError(ValueError):
    """The digit or the speaker of a recording is unknown; the message is the reason."""


@dataclass(frozen=True)
class Label:
    """What a path says: the digit, the speaker's name or number, the repetition if it has one."""

    digit: int
    speaker: str
    repetition: int | None


@dataclass(frozen=True)
class _ParsedStem:
    """A file name that names a digit; `name` and `repetition` are None where it has none."""

    digit: int
    is_word: bool
    name: str | None
    repetition: int | None

    @property
    def is_single_numeral(self) -> bool:
        return not self.is_word and self.name is None and self.repetition is None


@dataclass(frozen=True, order=True)
class _DigitFolder:
    """A folder named after a digit; the maximum is the preferred one.

    Digit words are preferred to numerals, then inner folders to outer ones.
    """

    is_word: bool
    depth: int
    digit: int
    name: str


def parse_label(folders: Sequence[str], stem: str) -> Label:
    """Return the label of a recording from its folders, outermost first, and its file name.

    `stem` is the file name without its suffix. Raises LabelError with the reason if the digit or
    the speaker is unknown.
    """
    if len(stem) > MAX_NAME_LENGTH:
        raise LabelError(NO_DIGIT)
    stem = _WORD_BEFORE_NUMBER.sub(r"\1_", stem)
    complete = _COMPLETE.fullmatch(stem)
    if complete and not _NOT_A_SPEAKER.fullmatch(complete["name"]):
        return Label(
            _parse_digit(complete["digit"]),
            normalise_speaker(complete["name"]),
            int(complete["repetition"]),
        )
    digit_folder = _find_digit_folder(folders)
    if nohash := _NOHASH.fullmatch(stem):
        if digit_folder is None:
            raise LabelError(NO_DIGIT)
        speaker, repetition = normalise_speaker(nohash["name"]), int(nohash["repetition"])
        return Label(digit_folder.digit, speaker, repetition)
    return _combine(stem, digit_folder, _find_speaker_folder(folders, digit_folder))


def _combine(stem: str, digit_folder: _DigitFolder | None, speaker_folder: str | None) -> Label:
    """Combine a file name with the folder that names a digit and the one that names a speaker."""
    digit, speaker, repetition = _resolve(stem, digit_folder, speaker_folder)
    if speaker is None:
        raise LabelError(NO_SPEAKER)
    return Label(digit, normalise_speaker(speaker), repetition)


def _resolve(
    stem: str, folder: _DigitFolder | None, speaker_folder: str | None
) -> tuple[int, str | None, int | None]:
    """Return digit, speaker and repetition; the speaker's folder precedes a name in the stem."""
    parsed = _parse_stem(stem)
    if folder is None:
        if parsed is None:
            raise LabelError(NO_DIGIT)
        return parsed.digit, speaker_folder or parsed.name, parsed.repetition
    # In seven/12_3 the folder is the digit, so the numeral is a speaker. In zero/0_12 it repeats
    # the folder's digit and says nothing of the speaker.
    if parsed is None or (folder.is_word and not parsed.is_word):
        name, repetition = _parse_speaker_stem(stem)
        if name == str(folder.digit):
            name = None
        return folder.digit, speaker_folder or name, repetition
    # In 5/seven the file name is the digit, so the folder's numeral is a speaker.
    speaker_number = folder.name if parsed.is_word and not folder.is_word else None
    if parsed.digit == folder.digit:
        return parsed.digit, speaker_folder or parsed.name or speaker_number, parsed.repetition
    if speaker_number:
        return parsed.digit, speaker_number, parsed.repetition
    if parsed.is_single_numeral and speaker_folder:  # jackson/7/3: the file name is the repetition
        return folder.digit, speaker_folder, parsed.digit
    raise LabelError(TWO_DIGITS)


def _parse_stem(stem: str) -> _ParsedStem | None:
    """Parse a file name that names a digit; return None for any other."""
    match = _DIGIT_FIRST.fullmatch(stem) or _DIGIT_LAST.fullmatch(stem)
    if match is None:
        return None
    name = match["name"]
    return _ParsedStem(
        digit=_parse_digit(match["digit"]),
        is_word=not match["digit"].isdecimal(),
        name=None if name is None or _NOT_A_SPEAKER.fullmatch(name) else name,
        repetition=int(match["repetition"]) if match["repetition"] else None,
    )


def _parse_speaker_stem(stem: str) -> tuple[str | None, int | None]:
    """Parse a file name in a digit's folder: a speaker and a repetition, or one of them."""
    if stem.isdecimal():
        return None, int(stem) if len(stem) < 10 else None
    match = _SPEAKER.fullmatch(stem)
    if match is None:
        return None, None
    repetition = int(match["repetition"]) if match["repetition"] else None
    return None if _NOT_A_SPEAKER.fullmatch(match["name"]) else match["name"], repetition


def _find_digit_folder(folders: Sequence[str]) -> _DigitFolder | None:
    """Return the preferred folder among those named after a digit, or None."""
    candidates = []
    for depth, name in enumerate(folders):
        if match := _DIGIT_FOLDER.fullmatch(name):
            is_word = not match[1].isdecimal()
            candidates.append(_DigitFolder(is_word, depth, _parse_digit(match[1]), name))
    return max(candidates, default=None)


def _find_speaker_folder(folders: Sequence[str], digit_folder: _DigitFolder | None) -> str | None:
    """Return the innermost folder that can name a speaker, or None."""
    digit_depth = None if digit_folder is None else digit_folder.depth
    for depth, name in reversed(list(enumerate(folders))):
        if depth != digit_depth and not _NOT_A_SPEAKER.fullmatch(name):
            return name
    return None


def _parse_digit(text: str) -> int:
    """Return the digit of a numeral or a digit word that matched `_WORD`."""
    if text.isdecimal():
        return int(text)
    return next(d for d, word in enumerate(DIGIT_WORDS) if re.fullmatch(word, text, re.I))


def normalise_speaker(speaker: str) -> str:
    """Return a speaker's number with at least two digits, as AudioMNIST has it; keep a name."""
    return f"{int(speaker):02d}" if _SPEAKER_NUMBER.fullmatch(speaker) else speaker


def number_speakers(speakers: Iterable[str]) -> dict[str, str]:
    """Assign each speaker an id: numbers are kept, names get the free numbers in sorted order."""
    known = set(speakers)
    ids = {speaker: speaker for speaker in known if _SPEAKER_NUMBER.fullmatch(speaker)}
    number = 1
    for name in sorted(known - set(ids)):
        while f"{number:02d}" in ids:
            number += 1
        ids[name] = f"{number:02d}"
        number += 1
    return ids


def number_repetitions(labels: Sequence[Label]) -> list[int]:
    """Assign each recording of a speaker and digit a repetition number of its own.

    The first recording with a given number in its label keeps it. All others get the lowest number
    that is free.
    """
    owner: dict[Label, int] = {}
    for index, label in enumerate(labels):
        if label.repetition is not None:
            owner.setdefault(label, index)
    next_free: Counter[tuple[str, int]] = Counter()
    numbers = []
    for index, label in enumerate(labels):
        key = (label.speaker, label.digit)
        if label.repetition is None or owner[label] != index:
            while Label(label.digit, label.speaker, next_free[key]) in owner:
                next_free[key] += 1
            label = Label(label.digit, label.speaker, next_free[key])
            owner[label] = index
        numbers.append(label.repetition or 0)
    return numbers


def count_shared_folders(paths: Sequence[tuple[str, ...]]) -> int:
    """Count the outermost folders that all paths share, up to the first one named after a digit."""
    count = 0
    for names in zip(*(path[:-1] for path in paths), strict=False):
        if len(set(names)) > 1 or _DIGIT_FOLDER.fullmatch(names[0]):
            break
        count += 1
    return count
