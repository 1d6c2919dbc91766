"""The filters that a network has to beat: waveform in, waveform out, no training, no oracle.

Both weigh each bin of the noisy spectrum by a gain below 1 that follows from two ratios of powers:
the a posteriori SNR (noisy over noise) and the a priori SNR (speech over noise), the latter
estimated by the decision-directed rule of Ephraim & Malah, IEEE TASSP 32(6), 1984.
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
OVERLAP = 4  # windows over each sample
AVERAGED_FRAMES = 12  # 0.12 s: shorter than most pauses, long enough to steady the power
NOISE_QUANTILE = 0.1
NOISE_FLOOR = 1e-10  # of the largest power, so that digital silence divides nothing by zero
SMOOTHING_FACTOR = 0.98  # the decision-directed rule's weight of the frame before
MIN_PRIOR_SNR = 10 ** (-15 / 10)
MAX_POSTERIOR_SNR = 1e4


def wiener(noisy: Waveform, sample_rate: int) -> Waveform:
    """Filter float32 [n_samples] by the decision-directed Wiener filter.

    Scalart & Vieira Filho, "Speech enhancement based on a priori signal to noise estimation",
    ICASSP 1996. The length stays; a level of the input is the same level of the output.
    """
    return _filter(noisy, sample_rate, _wiener_gain)


def log_mmse(noisy: Waveform, sample_rate: int) -> Waveform:
    """Filter float32 [n_samples] by the estimator of least error in the log amplitude.

    Ephraim & Malah, "Speech enhancement using a minimum mean-square error log-spectral amplitude
    estimator", IEEE TASSP 33(2), 1985. The length stays; a level of the input is the same level of
    the output.
    """
    return _filter(noisy, sample_rate, _log_mmse_gain)


def analysis_params(sample_rate: int) -> SpectrogramParams:
    """Return windows of about 32 ms, each a quarter after the one before."""
    hop_length = 8 * max(1, round(WINDOW_SECONDS * sample_rate / OVERLAP / 8))
    return SpectrogramParams(OVERLAP * hop_length, hop_length, OVERLAP * hop_length)


def noise_power(power: Power) -> Power:
    """Estimate the noise's power [n_bins] from the noisy power [n_frames, n_bins].

    In each bin the moving average over 12 frames (0.12 s), and of these the value that a tenth
    stay under: minimum statistics (Martin, IEEE TSAP 9(5), 2001) with the whole clip as window. The
    noise must be stationary, and a bin free of speech for a tenth of the clip. The result lies
    under the mean of pure noise (0.6 of it for white noise). That is left so: the gains then
    spare more speech, and score higher, than with the true mean.
    """
    n_averaged = min(AVERAGED_FRAMES, len(power))
    sums = np.cumsum(np.pad(power, ((1, 0), (0, 0))), axis=0)
    averages = (sums[n_averaged:] - sums[:-n_averaged]) / n_averaged
    quietest = np.quantile(averages, NOISE_QUANTILE, axis=0)
    return np.maximum(quietest, NOISE_FLOOR * power.max())


def _filter(noisy: Waveform, sample_rate: int, gain: Gain) -> Waveform:
    params = analysis_params(sample_rate)
    spectrum = stft(noisy, params)
    power = np.square(spectrum.real, dtype=np.float64) + np.square(spectrum.imag, dtype=np.float64)
    if not power.any():
        return np.zeros_like(noisy)
    gains = _decision_directed(power / noise_power(power), gain)
    return istft((spectrum * gains).astype(np.complex64), params, len(noisy))


def _decision_directed(posterior: Power, gain: Gain) -> Power:
    """Return a gain for each a posteriori SNR [n_frames, n_bins], frame after frame.

    The a priori SNR is a mixture of what the frame before was left with and what this frame
    alone suggests; the memory is what keeps musical noise away.
    """
    posterior = np.minimum(posterior, MAX_POSTERIOR_SNR)
    alone = np.maximum(posterior - 1, 0)
    gains = np.empty_like(posterior)
    left = alone[0]
    for frame in range(len(posterior)):
        prior = np.maximum(
            SMOOTHING_FACTOR * left + (1 - SMOOTHING_FACTOR) * alone[frame], MIN_PRIOR_SNR
        )
        gains[frame] = np.minimum(gain(prior, posterior[frame]), 1)
        left = np.square(gains[frame]) * posterior[frame]
    return gains


def _wiener_gain(prior: Power, posterior: Power) -> Power:
    return prior / (1 + prior)


def _log_mmse_gain(prior: Power, posterior: Power) -> Power:
    wiener_gain = prior / (1 + prior)
    return wiener_gain * np.exp(0.5 * exp1(wiener_gain * posterior))
