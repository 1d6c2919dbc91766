"""The manifest: the utterances that are used, their speakers, and the split of each.

`digit` is empty for an utterance that is not a digit, and `gender` is UNKNOWN_GENDER where the
corpus does not tell it.
"""

import io
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.random import Generator

from denoise.corpus.archive import Utterance
from denoise.errors import CorpusError
from denoise.params import SampleParams
from denoise.util.atomic import write_text

SPLITS = ("train", "validation", "test")
COLUMNS = ["utterance_id", "speaker_id", "digit", "gender", "split"]
UNKNOWN_GENDER = "unknown"
DIGIT_TYPE = "Int64"  # integers of which some may be missing
UTTERANCE_ID = r"(?:\d|speech)_\d{2,}_\d+"


def make_manifest(
    utterances: Sequence[Utterance],
    speakers: Mapping[str, Mapping[str, str]],
    params: SampleParams,
) -> pd.DataFrame:
    """Draw `params.size` utterances at random, in random order, and split them by speaker.

    The result does not depend on the order of `utterances`. Raises CorpusError if there are too few
    utterances or speakers.
    """
    rng = np.random.default_rng(params.seed)
    ordered = sorted(utterances)
    shuffled = [ordered[i] for i in rng.permutation(len(ordered))]
    eligible = _limit_per_speaker(shuffled, params.max_per_speaker)
    if params.size > len(eligible):
        limited = f" with at most {params.max_per_speaker} of one speaker, sample.max_per_speaker"
        raise CorpusError(
            f"sample.size: {params.size} utterances were requested, but the corpus has "
            f"{len(eligible)}{limited if len(eligible) < len(utterances) else ''}."
        )
    drawn = eligible[: params.size]
    gender = {u.speaker_id: _gender(speakers.get(u.speaker_id, {})) for u in drawn}
    split = split_speakers(gender, params, rng)
    rows = [
        (u.utterance_id, u.speaker_id, u.digit, gender[u.speaker_id], split[u.speaker_id])
        for u in drawn
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"digit": DIGIT_TYPE})


def _limit_per_speaker(utterances: Sequence[Utterance], most: int) -> list[Utterance]:
    """Return the first `most` utterances of each speaker, in the given order."""
    count: Counter[str] = Counter()
    kept = []
    for utterance in utterances:
        count[utterance.speaker_id] += 1
        if count[utterance.speaker_id] <= most:
            kept.append(utterance)
    return kept


def _gender(info: Mapping[str, str]) -> str:
    return info.get("gender", "").strip().lower() or UNKNOWN_GENDER


def split_speakers(
    gender: Mapping[str, str], params: SampleParams, rng: Generator
) -> dict[str, str]:
    """Return the split of each speaker; genders with at least three speakers are in every split.

    `gender` maps speaker_id to gender. Raises CorpusError for fewer than three speakers.
    """
    if len(gender) < len(SPLITS):
        raise CorpusError(
            f"{len(gender)} speakers cannot fill {len(SPLITS)} splits; at least {len(SPLITS)} are "
            "needed. Raise sample.size or use a corpus with more speakers."
        )
    split = dict.fromkeys(gender, "train")
    for group in _shuffled_groups(gender, rng):
        n_test = _count_share(params.test_fraction, len(group), len(group) - 2)
        n_validation = _count_share(params.validation_fraction, len(group), len(group) - 1 - n_test)
        splits = ["test"] * n_test + ["validation"] * n_validation
        splits += ["train"] * (len(group) - len(splits))
        split.update(zip(group, splits, strict=True))
    return split


def _count_share(fraction: float, n_speakers: int, maximum: int) -> int:
    """Return the rounded share of `n_speakers`, from 1 to `maximum`."""
    return min(max(1, round(fraction * n_speakers)), maximum)


def _shuffled_groups(gender: Mapping[str, str], rng: Generator) -> list[list[str]]:
    """Return the shuffled speakers of each gender.

    Genders with fewer than three speakers are joined into one group. If that has fewer than three
    as well, it is left out, and its speakers stay in the training split.
    """
    by_gender: dict[str, list[str]] = {}
    for speaker_id in sorted(gender):
        by_gender.setdefault(gender[speaker_id], []).append(speaker_id)
    groups = [group for _, group in sorted(by_gender.items())]
    small = sorted(s for group in groups if len(group) < len(SPLITS) for s in group)
    large = [group for group in [*groups, small] if len(group) >= len(SPLITS)]
    return [[group[i] for i in rng.permutation(len(group))] for group in large]


def write_manifest(manifest: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write the manifest as CSV, with Unix line ends on every system."""
    write_text(path, manifest.to_csv(index=False, lineterminator="\n"))


def read_manifest(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a manifest, with identifiers as text and digits as integers, or missing.

    Raises CorpusError if the file is missing or is not a manifest.
    """
    types = {**dict.fromkeys(COLUMNS, str), "digit": DIGIT_TYPE}
    try:
        text = Path(path).read_text(encoding="utf-8")
        manifest = pd.read_csv(
            io.StringIO(text), dtype=types, keep_default_na=False, na_values={"digit": [""]}
        )
    except FileNotFoundError:
        raise CorpusError(f"No manifest at {path}. Run dvc repro sample.") from None
    except ValueError as error:
        raise CorpusError(
            f"{path} is not a manifest ({error}). Run dvc repro -f sample."
        ) from error
    if list(manifest.columns) != COLUMNS:
        raise CorpusError(f"{path} has the columns {list(manifest.columns)}, not {COLUMNS}.")
    ids = manifest["utterance_id"]
    is_valid = ids.str.fullmatch(UTTERANCE_ID) & manifest["split"].isin(SPLITS)
    if not (is_valid & (ids.str.startswith("speech_") == manifest["digit"].isna())).all():
        raise CorpusError(
            f"{path} has rows without a valid utterance_id, digit or split. "
            "Run dvc repro -f sample."
        )
    if ids.duplicated().any():
        raise CorpusError(
            f"{path} lists {ids[ids.duplicated()].iloc[0]} twice. Run dvc repro -f sample."
        )
    return manifest


def utterance_of(row: "pd.Series[object]") -> Utterance:
    """Return the utterance of a manifest row."""
    return utterance_named(str(row["utterance_id"]))


def utterance_named(utterance_id: str) -> Utterance:
    """Return the utterance that has a valid id."""
    content, speaker_id, repetition = utterance_id.split("_")
    digit = None if content == "speech" else int(content)
    return Utterance(speaker_id, digit, int(repetition))
