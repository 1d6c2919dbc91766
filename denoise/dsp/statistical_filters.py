"""Classical statistical filters, the baselines for the network; they need no training.

Each filter multiplies every bin of the noisy STFT by a gain of at most 1. The gain is a function of
two power ratios: the a posteriori SNR (noisy over noise) and the a priori SNR (speech over noise).
The latter is estimated with the decision-directed rule of Ephraim & Malah, IEEE TASSP 32(6), 1984.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import exp1

from denoise.dsp.audio import Waveform
from denoise.dsp.stft import istft, stft
from denoise.params import SpectrogramParams

Power = npt.NDArray[np.float64]
Gain = Callable[[Power, Power], Power]

WINDOW_SECONDS = 0.032
OVERLAP = 4  # each sample is in four windows
AVERAGED_FRAMES = 12  # 0.12 s: shorter than most pauses, long enough to smooth the power
NOISE_QUANTILE = 0.1
NOISE_FLOOR = 1e-10  # relative to the largest power; it avoids division by 0 in digital silence
SMOOTHING_FACTOR = 0.98  # weight of the previous frame in the decision-directed rule
MIN_PRIOR_SNR = 10 ** (-15 / 10)
MAX_POSTERIOR_SNR = 1e4


def wiener(noisy: Waveform, sample_rate: int) -> Waveform:
    """Denoise float32 [n_samples] with the decision-directed Wiener filter.

    Scalart & Vieira Filho, "Speech enhancement based on a priori signal to noise estimation",
    ICASSP 1996. The length stays the same, and scaling the input scales the output.
    """
    return _filter(noisy, sample_rate, _wiener_gain)


def log_mmse(noisy: Waveform, sample_rate: int) -> Waveform:
    """Denoise float32 [n_samples] with the minimum mean-square error log-amplitude estimator.

    Ephraim & Malah, "Speech enhancement using a minimum mean-square error log-spectral amplitude
    estimator", IEEE TASSP 33(2), 1985. The length stays the same, and scaling the input scales the
    output.
    """
    return _filter(noisy, sample_rate, _log_mmse_gain)


def stft_params(sample_rate: int) -> SpectrogramParams:
    """Return STFT params with windows of about 32 ms and a hop of a quarter of the window."""
    hop_length = 8 * max(1, round(WINDOW_SECONDS * sample_rate / OVERLAP / 8))
    return SpectrogramParams(OVERLAP * hop_length, hop_length, OVERLAP * hop_length)


def noise_power(power: Power) -> Power:
    """Estimate the noise power, float64 [n_bins], from the noisy power [n_frames, n_bins].

    In each bin it is the 0.1 quantile of the moving average over 12 frames (0.12 s). This is
    minimum statistics (Martin, IEEE TSAP 9(5), 2001) with the whole clip as the search window. The
    noise must be stationary, and each bin without speech for a tenth of the clip. The estimate is
    biased: it is below the mean power of the noise (0.6 of it for white noise). The bias is not
    corrected, because the lower gains attenuate less speech and give better scores.
    """
    n_averaged = min(AVERAGED_FRAMES, len(power))
    sums = np.cumsum(np.pad(power, ((1, 0), (0, 0))), axis=0)
    averages = (sums[n_averaged:] - sums[:-n_averaged]) / n_averaged
    quietest = np.quantile(averages, NOISE_QUANTILE, axis=0)
    return np.maximum(quietest, NOISE_FLOOR * power.max())


def _filter(noisy: Waveform, sample_rate: int, gain: Gain) -> Waveform:
    params = stft_params(sample_rate)
    spectrum = stft(noisy, params)
    power = np.square(spectrum.real, dtype=np.float64) + np.square(spectrum.imag, dtype=np.float64)
    if not power.any():
        return np.zeros_like(noisy)
    gains = _decision_directed(power / noise_power(power), gain)
    return istft((spectrum * gains).astype(np.complex64), params, len(noisy))


def _decision_directed(posterior_snr: Power, gain: Gain) -> Power:
    """Return the gains [n_frames, n_bins] for the a posteriori SNR [n_frames, n_bins].

    The a priori SNR is a weighted mean of two estimates: that of the previous frame after
    filtering, and the maximum-likelihood estimate of the current frame alone, which is the
    a posteriori SNR less 1. The recursion over frames suppresses musical noise.
    """
    posterior_snr = np.minimum(posterior_snr, MAX_POSTERIOR_SNR)
    ml_prior_snr = np.maximum(posterior_snr - 1, 0)
    gains = np.empty_like(posterior_snr)
    previous = ml_prior_snr[0]
    for frame in range(len(posterior_snr)):
        prior_snr = SMOOTHING_FACTOR * previous + (1 - SMOOTHING_FACTOR) * ml_prior_snr[frame]
        prior_snr = np.maximum(prior_snr, MIN_PRIOR_SNR)
        gains[frame] = np.minimum(gain(prior_snr, posterior_snr[frame]), 1)
        previous = np.square(gains[frame]) * posterior_snr[frame]
    return gains


def _wiener_gain(prior_snr: Power, posterior_snr: Power) -> Power:
    return prior_snr / (1 + prior_snr)


def _log_mmse_gain(prior_snr: Power, posterior_snr: Power) -> Power:
    wiener_gain = prior_snr / (1 + prior_snr)
    return wiener_gain * np.exp(0.5 * exp1(wiener_gain * posterior_snr))
