"""Reconstruct the waveform from a masked STFT."""

from collections.abc import Callable

import numpy as np

from denoise.dsp.audio import Waveform
from denoise.dsp.phase import refine_phase
from denoise.dsp.stft import Stft, istft, magnitude, stft, to_real_imag
from denoise.network.spec import MaskNetwork
from denoise.params import SpectrogramParams

GRIFFIN_LIM_ITERATIONS = 32
GRIFFIN_LIM_SEED = 0


def griffin_lim(masked: Stft, params: SpectrogramParams, n_samples: int) -> Waveform:
    """Reconstruct float32 [n_samples] from the magnitudes of `masked` alone, [n_frames, n_bins].

    The noisy phase is discarded, and a phase that is consistent with the magnitudes is estimated:
    Griffin & Lim, IEEE Trans. ASSP 32(2), 1984.
    """
    import librosa  # here: the import takes seconds, and only this reconstruction needs it

    # For most lengths librosa computes one frame less than stft(). This length has exactly the
    # frames of `masked`.
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


def clip_denoiser(network: MaskNetwork, reconstruction: str) -> Callable[[Waveform], Waveform]:
    """Return a function that denoises a batch of clips, float32 [batch, n_samples].

    The clips have the network's sample rate and one length. `reconstruction` is that of the params:
    `griffin_lim`, or `noisy_phase`, whose phases are refined where inference refines them.
    """
    spectrogram = network.spec.spectrogram

    def with_noisy_phase(masked: Stft, n_samples: int) -> Waveform:
        refined = refine_phase(masked, spectrogram, network.phase_iterations)
        return istft(refined, spectrogram, n_samples)

    def with_griffin_lim(masked: Stft, n_samples: int) -> Waveform:
        return griffin_lim(masked, spectrogram, n_samples)

    reconstruct = with_griffin_lim if reconstruction == "griffin_lim" else with_noisy_phase

    def denoise(clips: Waveform) -> Waveform:
        noisy = np.stack([stft(clip, spectrogram) for clip in clips])
        masked = noisy * network.mask(to_real_imag(noisy))
        return np.stack([reconstruct(each, clips.shape[1]) for each in masked])

    return denoise
