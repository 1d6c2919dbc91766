"""Tell the speaker of each recording from its folders and file name, whatever the corpus.

These rules are tried in order. The first one that finds at least MIN_SPEAKERS speakers is used.

1. A file name that begins with the name of one of its folders names the speaker: `p225/p225_001`
   (VCTK), `1272/128104/1272-128104-0000` (LibriSpeech). Where at least half of the file names do,
   the rule holds, and the others belong to their outermost folder.
2. The outermost folder is the speaker: `id10270/5r0dWxy17C8/00001` (VoxCeleb), `anna/monday`. If
   that gives too few speakers, it is the next one: `german/anna/1`, `french/marie/1`.
3. The first word of the file name is the speaker: `p225_001`, `p226_001` in one folder. The words
   must recur, so `common_voice_en_1`, `common_voice_en_2` name no speaker, and they must not all
   be dates or parts of a corpus: `2024-05-01 memo`, `test_1`.
4. Each recording is a speaker of its own.

Some folders are never speakers: those that all recordings share, those named after a part of a
corpus (`wavs`, `train-clean-100`, `session 2`), and a level of folders that number one word, with
more folders inside: `DR1/FCJF0`, `DR2/MTRR0` (TIMIT), `disc1/anna`. A recording outside all folders
is a speaker of its own.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

MIN_SPEAKERS = 3  # one for each split
MIN_NAMED_SHARE = 0.5
EACH_RECORDING = "each recording counts as one"

# The words, singular or plural, of which the name of a part of a corpus consists.
_PART_WORD = re.compile(
    r"(?:adult|audio|batch|boy|chapter|child|clean|clip|corpus|corpora|data|dataset|day|dev|"
    r"devel|development|dialect|disc|disk|eval|evaluation|female|file|flac|fold|folder|gender|"
    r"girl|invalidated|kid|lang|language|male|man|men|mic|microphone|mono|noise|noisy|ogg|"
    r"opus|original|other|part|prompt|raw|read|rec|record|recording|rep|sample|section|"
    r"segment|sentence|session|set|silence|sound|speech|sph|split|subset|take|test|testing|"
    r"track|train|training|trial|trimmed|utt|utterance|val|valid|validated|validation|version|"
    r"vol|volume|wav|wave|week|woman|women|year)s?"
)
_DATE = re.compile(r"(?:19|20)\d\d(?:[01]\d(?:[0-3]\d)?)?")
_PERSONS = re.compile(r"(?:boy|child|female|girl|kid|male|man|woman)[ _.-]?\d+")
# The words that number people, not parts.
_PERSON_WORD = re.compile(
    r"actor|id|narrator|person|reader|sp|speaker|spk|spkr|subj|subject|talker|user|voice"
)
_WORDS = re.compile(r"[^\W\d_]+")
_NUMBERED = re.compile(r"([^\W\d_]{2,})[ _.-]?\d{1,2}")
_SEPARATOR = re.compile(r"[ _.-]+")

Path = tuple[str, ...]
"""The folders, outermost first, and the file name without its suffix."""


class Speakers(NamedTuple):
    """The speaker's name of each recording, and how the names were found."""

    names: list[str]
    rule: str


def find_speakers(paths: Sequence[Path]) -> Speakers:
    """Return the speaker of each recording.

    `paths` hold the folders and the file name without its suffix. Two recordings of one path have
    one speaker.
    """
    folders = _speaker_folders(paths)
    rules: list[tuple[str, list[str]]] = []
    if named := _named_by_file(paths, folders):
        rules.append(("file names that repeat a folder", named))
    for depth in range(max(map(len, folders), default=0)):
        if not _is_numbered_part(folders, depth):
            rules.append((f"folder level {depth + 1}", _label(paths, folders, depth)))
    rules.append(("first words of file names", _first_words(paths)))
    for rule, names in rules:
        if len(set(names)) >= MIN_SPEAKERS:
            return Speakers(names, rule)
    return Speakers(["/".join(path) for path in paths], EACH_RECORDING)


def _speaker_folders(paths: Sequence[Path]) -> list[Path]:
    """Return the folders of each path that may be a speaker."""
    folders = [tuple(name for name in path[:-1] if not _is_part(name)) for path in paths]
    while all(folders) and len({levels[0] for levels in folders}) == 1:
        folders = [levels[1:] for levels in folders]
    return folders


def _is_part(folder: str) -> bool:
    """Return whether every word in a folder's name is a part of a corpus; numbers are no words.

    `child` is a part, as are `male` and others; `child1` is a person.
    """
    if _PERSONS.fullmatch(folder.lower()):
        return False
    words = _WORDS.findall(folder.lower())
    return bool(words) and all(map(_PART_WORD.fullmatch, words))


def _is_numbered_part(folders: Sequence[Path], depth: int) -> bool:
    """Return whether the folders of a level number one word, and all have folders inside."""
    if any(len(levels) <= depth + 1 for levels in folders):
        return False
    matches = [_NUMBERED.fullmatch(name) for name in {levels[depth] for levels in folders}]
    words = {match[1].lower() if match else "" for match in matches}
    return len(words) == 1 and words != {""} and not any(map(_PERSON_WORD.fullmatch, words))


def _label(paths: Sequence[Path], folders: Sequence[Path], depth: int) -> list[str]:
    """Return the folder at `depth`, or the innermost, of each path; the whole path without any."""
    return [
        levels[min(depth, len(levels) - 1)] if levels else "/".join(path)
        for path, levels in zip(paths, folders, strict=True)
    ]


def _named_by_file(paths: Sequence[Path], folders: Sequence[Path]) -> list[str] | None:
    """Return the outermost folder with which the file name begins, or None if few names do."""
    named = [
        next((name for name in levels if _begins_with(path[-1], name)), None)
        for path, levels in zip(paths, folders, strict=True)
    ]
    if sum(name is not None for name in named) < MIN_NAMED_SHARE * len(paths):
        return None
    outermost = _label(paths, folders, 0)
    return [name or other for name, other in zip(named, outermost, strict=True)]


def _begins_with(stem: str, folder: str) -> bool:
    rest = stem[len(folder) :]
    is_prefix = stem[: len(folder)].casefold() == folder.casefold()
    return is_prefix and (not rest or _SEPARATOR.match(rest) is not None)


def _first_words(paths: Sequence[Path]) -> list[str]:
    """Return the first word of each file name; nothing where they tell no speaker."""
    words = [_SEPARATOR.split(path[-1], maxsplit=1)[0] or path[-1] for path in paths]
    if all(_DATE.fullmatch(word) or _is_part(word) for word in words):
        return []
    return words if 2 * len(set(words)) <= len(words) else []
