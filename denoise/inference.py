"""Denoiser: a waveform in, the denoised waveform out, of the same length, rate and alignment."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from denoise.audio import Waveform, resample
from denoise.params import SpectrogramParams
from denoise.reconstruction import RECONSTRUCTIONS
from denoise.spectrogram import stft


@dataclass(frozen=True)
class Denoiser:
    """A network with the spectrogram settings it was trained with.

    `network` maps float32 [batch, n_frames, n_bins, 2] to the mask [batch, n_frames, n_bins].
    """

    network: Callable[[np.ndarray], np.ndarray]
    spectrogram: SpectrogramParams
    sample_rate: int
    reconstruction: str = "noisy_phase"

    @classmethod
    def load(cls, path: str | os.PathLike[str], reconstruction: str = "noisy_phase") -> "Denoiser":
        """Load a bundle, to run on TensorFlow; raises BundleError where there is none."""
        from denoise.bundle import load_bundle  # TensorFlow: seconds of start-up
        from denoise.graph import as_function

        model, snapshot = load_bundle(path)
        audio, spectrogram = snapshot.audio, snapshot.spectrogram
        return cls(as_function(model), spectrogram, audio.sample_rate, reconstruction)

    def denoise(self, waveform: Waveform, sample_rate: int) -> Waveform:
        """Clean float32 [n_samples] at any rate; the result has the same length and rate.

        Raises ValueError for a waveform that is not one-dimensional or not finite.
        """
        if waveform.ndim != 1 or not np.isfinite(waveform).all():
            raise ValueError("A waveform is one-dimensional and finite.")
        if len(waveform) == 0:
            return waveform
        at_rate = resample(waveform, sample_rate, self.sample_rate)
        denoised = resample(self.denoise_clips(at_rate[None])[0], self.sample_rate, sample_rate)
        missing = max(0, len(waveform) - len(denoised))
        return np.pad(denoised, (0, missing))[: len(waveform)]

    def denoise_clips(self, clips: Waveform) -> Waveform:
        """Clean a batch of clips of one length at the network's own rate, [batch, n_samples]."""
        noisy = np.stack([stft(clip, self.spectrogram) for clip in clips])
        masks = self.network(noisy.view(np.float32).reshape(*noisy.shape, 2))
        rebuild = RECONSTRUCTIONS[self.reconstruction]
        pairs = zip(noisy * masks, clips, strict=True)
        return np.stack([rebuild(masked, self.spectrogram, len(clip)) for masked, clip in pairs])
