"""From a masked STFT back to a waveform."""

from collections.abc import Callable, Mapping

import numpy as np

from denoise.dsp.audio import Waveform
from denoise.dsp.stft import Stft, istft, magnitude, stft, to_real_imag
from denoise.network.spec import MaskNetwork
from denoise.params import SpectrogramParams

GRIFFIN_LIM_ITERATIONS = 32
GRIFFIN_LIM_SEED = 0


def griffin_lim(masked: Stft, params: SpectrogramParams, n_samples: int) -> Waveform:
    """Forget the noisy phase and find one that fits the magnitudes: Griffin & Lim (1984)."""
    import librosa  # seconds of start-up, for this choice alone

    # librosa counts a frame less than stft() for most lengths: it is given one that fits them all
    waveform = librosa.griffinlim(
        magnitude(masked).T,
        n_iter=GRIFFIN_LIM_ITERATIONS,
        hop_length=params.hop_length,
        win_length=params.win_length,
        n_fft=params.n_fft,
        length=(len(masked) - 1) * params.hop_length,
        pad_mode="constant",
        random_state=GRIFFIN_LIM_SEED,
    )
    return np.asarray(waveform[:n_samples], np.float32)


RECONSTRUCTIONS: Mapping[str, Callable[[Stft, SpectrogramParams, int], Waveform]] = {
    "noisy_phase": istft,
    "griffin_lim": griffin_lim,
}


def clip_denoiser(network: MaskNetwork, reconstruction: str) -> Callable[[Waveform], Waveform]:
    """Return what cleans clips of one length at the network's rate, [batch, n_samples], at once."""
    spectrogram, rebuild = network.spec.spectrogram, RECONSTRUCTIONS[reconstruction]

    def denoise(clips: Waveform) -> Waveform:
        noisy = np.stack([stft(clip, spectrogram) for clip in clips])
        masked = noisy * network.mask(to_real_imag(noisy))
        return np.stack([rebuild(each, spectrogram, clips.shape[1]) for each in masked])

    return denoise
