"""Samplers of recordings: speech of the training speakers, and segments of noise recordings."""

import numpy as np
import pandas as pd
from numpy.random import Generator

from denoise.corpus.archive import CorpusArchive
from denoise.corpus.manifest import utterance_named
from denoise.dsp.audio import (
    Waveform,
    decode,
    fit_length,
    is_silent,
    load_fitted,
    remove_dc,
    resample,
)
from denoise.errors import AudioError, CorpusError
from denoise.noise.archive import MAX_PIECE_SECONDS, NoiseArchive, Recording
from denoise.noise.mixing import NoiseSources

MAX_DRAWS = 100
MAX_RANDOM_DRAWS = 10  # after these, the loudest segment of a piece is taken


def open_noise_sources(
    corpus: CorpusArchive,
    manifest: pd.DataFrame,
    noise: NoiseArchive,
    recordings: list[Recording],
    sample_rate: int,
) -> NoiseSources:
    """Return samplers of the training speech in `manifest` and of `recordings` in `noise`."""
    speech = SpeechSource(corpus, manifest, sample_rate)
    return NoiseSources(speech, RecordedNoiseSource(noise, recordings, sample_rate))


class SpeechSource:
    """Draws clips of the training speakers, which babble is made of in every split."""

    def __init__(self, corpus: CorpusArchive, manifest: pd.DataFrame, sample_rate: int) -> None:
        """Draw from the training rows of `manifest`, whatever their order."""
        self._corpus = corpus
        is_training = manifest["split"] == "train"
        self._utterance_ids = sorted(manifest["utterance_id"][is_training].tolist())
        self._sample_rate = sample_rate

    def __call__(self, rng: Generator, n_samples: int) -> Waveform:
        """Draw a clip, float32 [n_samples]; broken and silent ones are drawn again.

        Raises CorpusError where MAX_DRAWS draws in a row give none.
        """
        for _ in range(MAX_DRAWS):
            utterance_id = self._utterance_ids[int(rng.integers(len(self._utterance_ids)))]
            try:
                source = self._corpus.read(utterance_named(utterance_id))
                return load_fitted(source, self._sample_rate, n_samples)
            except AudioError:
                continue
        raise CorpusError(f"{MAX_DRAWS} training recordings in a row are broken or silent.")


class RecordedNoiseSource:
    """Draws segments of noise recordings."""

    def __init__(
        self, archive: NoiseArchive, recordings: list[Recording], sample_rate: int
    ) -> None:
        """Draw from `recordings` of `archive`, each equally often, whatever its length."""
        self._archive = archive
        self._recordings = recordings
        self._sample_rate = sample_rate

    def __call__(self, rng: Generator, n_samples: int) -> Waveform:
        """Draw a segment, float32 [n_samples], without its mean; short recordings repeat.

        A silent segment is drawn again, and after MAX_RANDOM_DRAWS of them the loudest segment of a
        piece is taken. Raises CorpusError where there is no recording, or all are silent at this
        sample rate.
        """
        if not self._recordings:
            raise CorpusError(
                f"{self._archive.path} holds no recording. Set download.noise to a folder or zip "
                "of noise recordings, or download.open.noise to names of the catalogue, and run "
                "dvc repro."
            )
        for attempt in range(MAX_DRAWS):
            piece, own_rate = self._draw_piece(rng)
            n_needed = n_samples * own_rate // self._sample_rate + 2
            take_loudest = attempt >= MAX_RANDOM_DRAWS and len(piece) > n_needed
            cut = fit_length(piece, n_needed) if take_loudest else segment_of(piece, n_needed, rng)
            resampled = resample(cut, own_rate, self._sample_rate)
            segment = remove_dc(resampled[:n_samples])
            if not is_silent(segment):
                return segment
        raise CorpusError(
            f"{MAX_DRAWS} segments in a row of {self._archive.path} are silent at "
            f"{self._sample_rate} Hz, audio.sample_rate."
        )

    def _draw_piece(self, rng: Generator) -> tuple[Waveform, int]:
        """Draw a piece of a recording; return it and its rate."""
        pieces = self._recordings[int(rng.integers(len(self._recordings)))]
        name = pieces[int(rng.integers(len(pieces)))]
        try:
            channels, sample_rate = decode(self._archive.read(name), MAX_PIECE_SECONDS)
        except AudioError as error:
            raise CorpusError(
                f"{self._archive.path}: {name} cannot be used. {error} "
                "Run dvc repro --force import_noise."
            ) from error
        return channels[:, 0], sample_rate


def segment_of(waveform: Waveform, n_samples: int, rng: Generator) -> Waveform:
    """Draw a segment, float32 [n_samples]; a shorter waveform repeats from a random start."""
    if len(waveform) < n_samples:
        start = int(rng.integers(len(waveform)))
        return np.resize(np.roll(waveform, -start), n_samples)
    start = int(rng.integers(len(waveform) - n_samples + 1))
    return waveform[start : start + n_samples]
