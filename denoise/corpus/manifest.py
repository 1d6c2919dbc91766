"""The manifest: the utterances that are used, their speakers, and the split of each."""

import io
import os
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


def make_manifest(
    utterances: Sequence[Utterance],
    speakers: Mapping[str, Mapping[str, str]],
    params: SampleParams,
) -> pd.DataFrame:
    """Draw `params.size` utterances at random, in random order, and split them by speaker.

    The result does not depend on the order of `utterances`. Raises CorpusError if there are too few
    utterances or speakers.
    """
    if params.size > len(utterances):
        raise CorpusError(
            f"sample.size: {params.size} utterances were requested, but the corpus has "
            f"{len(utterances)}."
        )
    rng = np.random.default_rng(params.seed)
    ordered = sorted(utterances)
    drawn = [ordered[i] for i in rng.permutation(len(ordered))[: params.size]]
    gender = {u.speaker_id: _gender(speakers.get(u.speaker_id, {})) for u in drawn}
    split = split_speakers(gender, params, rng)
    rows = [
        (u.utterance_id, u.speaker_id, u.digit, gender[u.speaker_id], split[u.speaker_id])
        for u in drawn
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


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
    """Read a manifest, with identifiers as text and digits as integers.

    Raises CorpusError if the file is missing or is not a manifest.
    """
    types = {"utterance_id": str, "speaker_id": str, "digit": int, "gender": str, "split": str}
    try:
        text = Path(path).read_text(encoding="utf-8")
        manifest = pd.read_csv(io.StringIO(text), dtype=types, keep_default_na=False)
    except FileNotFoundError:
        raise CorpusError(f"No manifest at {path}. Run dvc repro sample.") from None
    except ValueError as error:
        raise CorpusError(
            f"{path} is not a manifest ({error}). Run dvc repro -f sample."
        ) from error
    if list(manifest.columns) != COLUMNS:
        raise CorpusError(f"{path} has the columns {list(manifest.columns)}, not {COLUMNS}.")
    is_id_valid = manifest["utterance_id"].str.fullmatch(r"\d_\d{2,}_\d+")
    if not (is_id_valid & manifest["split"].isin(SPLITS)).all():
        raise CorpusError(
            f"{path} has rows without a valid utterance_id or split. Run dvc repro -f sample."
        )
    return manifest


def utterance_of(row: "pd.Series[object]") -> Utterance:
    """Return the utterance of a manifest row."""
    digit, speaker_id, repetition = str(row["utterance_id"]).split("_")
    return Utterance(speaker_id, int(digit), int(repetition))
