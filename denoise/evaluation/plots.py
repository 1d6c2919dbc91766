"""Draw the plots of the evaluation as PNG files whose bytes are the same in every run."""

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from denoise.dsp.audio import Waveform
from denoise.dsp.stft import magnitude, stft
from denoise.params import SpectrogramParams
from denoise.util.atomic import replacing

Levels = npt.NDArray[np.float32]

DOTS_PER_INCH = 110
IMPROVEMENT_TITLE = "Improvement over the noisy input; bars: 95 % confidence interval over speakers"
MIN_DB = -80.0
COLOUR_MAP = "magma"
# Okabe & Ito's palette, which colour-blind people can distinguish; markers and dashes help in grey.
METHOD_STYLES: dict[str, dict[str, Any]] = {
    "noisy": {"color": "#555555", "linestyle": "-", "label": "noisy input"},
    "wiener": {"color": "#D55E00", "linestyle": "--", "marker": "s", "label": "Wiener filter"},
    "denoised": {"color": "#0072B2", "linestyle": "-", "marker": "o", "label": "denoised"},
}
RC_PARAMS: dict[str, Any] = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


def plot_spectrograms(
    waveforms: Mapping[str, Waveform],
    sample_rate: int,
    path: str | os.PathLike[str],
    title: str,
) -> None:
    """Plot named waveforms, float32 [n_samples], as spectrograms one above the other.

    All share one dB scale, which ends 80 dB below the strongest bin of any of them.
    """
    params = _spectrogram_params(sample_rate)
    spectrograms = _spectrograms_db(list(waveforms.values()), params)
    seconds = max(len(waveform) for waveform in waveforms.values()) / sample_rate
    with png_figure(path, 8, 1.2 + 2.1 * len(spectrograms)) as figure:
        panels = figure.subplots(len(spectrograms), 1, sharex=True, sharey=True, squeeze=False)
        for axes, name, level in zip(panels[:, 0], waveforms, spectrograms, strict=True):
            image = _draw_spectrogram(axes, level, params.hop_length / sample_rate, sample_rate / 2)
            axes.set_title(name, loc="left", fontsize=11)
            axes.set_xlim(0, seconds)
        panels[-1, 0].set_xlabel("Time (s)")
        figure.supylabel("Frequency (Hz)", fontsize=11)
        label = "Level relative to the common peak (dB)"
        figure.colorbar(image, ax=list(panels[:, 0]), label=label, aspect=40)
        figure.suptitle(title, x=0.02, ha="left")


def plot_improvement_by_snr(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Plot the SI-SDR improvement of each method over the noisy input against the input's SNR.

    `table` is the result of tables.improvement_by_snr: snr_db, and for wiener and denoised the mean
    and the ends of its interval, `<method>_low` and `<method>_high`.
    """
    offset = np.ptp(table["snr_db"]) / 160  # keeps the error bars of the two methods apart
    with png_figure(path, 7, 4.5) as figure:
        axes = figure.subplots()
        axes.axhline(0, linewidth=1.5, **METHOD_STYLES["noisy"])
        _draw_improvement(axes, table, "wiener", -offset)
        _draw_improvement(axes, table, "denoised", offset)
        axes.set_xticks(table["snr_db"])
        axes.set_xlabel("SNR of the noisy input (dB)")
        axes.set_ylabel("SI-SDR improvement (dB)")
        axes.set_title(IMPROVEMENT_TITLE, loc="left", fontsize=10)
        figure.legend(loc="outside lower center", ncols=3)  # outside: it cannot cover a curve


def plot_learning_curve(history: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Plot the training and the validation loss by epoch, and mark the best epoch.

    `history` has the columns epoch, loss, validation_loss.
    """
    best = history.loc[history["validation_loss"].idxmin()]
    with png_figure(path, 7, 4.5) as figure:
        axes = figure.subplots()
        for column, method, label in (
            ("loss", "wiener", "training"),
            ("validation_loss", "denoised", "validation"),
        ):
            style = {**METHOD_STYLES[method], "label": label, "markersize": 4}
            axes.plot(history["epoch"], history[column], **style)
        label = f"best epoch ({best['epoch']:g})"
        axes.axvline(best["epoch"], color="#555555", linestyle=":", label=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("Epoch")
        axes.set_ylabel("Loss")
        axes.set_title("Learning curve", loc="left")
        axes.legend()


@contextmanager
def png_figure(
    path: str | os.PathLike[str], width: float, height: float, dots_per_inch: float = DOTS_PER_INCH
) -> Iterator[Figure]:
    """Yield a figure of a size in inches, and write it to `path` as a PNG file at the end.

    The user's own matplotlib style is ignored, and the PNG does not name the software's version,
    so the bytes depend on what is drawn alone.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC_PARAMS)
        figure = Figure(figsize=(width, height), dpi=dots_per_inch, layout="constrained")
        yield figure
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png", metadata={"Software": None})


def _spectrogram_params(sample_rate: int) -> SpectrogramParams:
    """Return windows of about 24 ms, which show both harmonics and onsets."""
    hop_length = 8 * max(1, round(0.006 * sample_rate / 8))
    return SpectrogramParams(4 * hop_length, hop_length, 4 * hop_length)


def _spectrograms_db(waveforms: list[Waveform], params: SpectrogramParams) -> list[Levels]:
    """Return each waveform's level [n_frames, n_bins] in dB relative to the peak of them all."""
    magnitudes = [magnitude(stft(waveform, params)) for waveform in waveforms]
    peak = max(float(m.max()) for m in magnitudes) or 1.0
    floor = np.float32(10 ** (MIN_DB / 20))
    # The natural logarithm, because NumPy's float32 log10 differs between processors.
    to_db = np.float32(20 / math.log(10))
    return [to_db * np.log(np.maximum(m / np.float32(peak), floor)) for m in magnitudes]


def _draw_spectrogram(
    axes: Axes, levels: Levels, hop_seconds: float, nyquist_hz: float
) -> AxesImage:
    n_frames, n_bins = levels.shape
    bin_hz = nyquist_hz / (n_bins - 1)
    # A pixel extends half a hop and half a bin to each side of its centre.
    frames, bins = (-0.5, n_frames - 0.5), (-0.5, n_bins - 0.5)
    image = axes.imshow(
        levels.T,
        origin="lower",
        aspect="auto",
        extent=(*np.multiply(frames, hop_seconds), *np.multiply(bins, bin_hz)),
        cmap=COLOUR_MAP,
        vmin=MIN_DB,
        vmax=0,
        interpolation="nearest",
    )
    axes.grid(False)
    axes.set_ylim(0, nyquist_hz)
    return image


def _draw_improvement(axes: Axes, table: pd.DataFrame, method: str, offset: float) -> None:
    errors = [table[method] - table[f"{method}_low"], table[f"{method}_high"] - table[method]]
    style = {"capsize": 4, **METHOD_STYLES[method]}
    axes.errorbar(table["snr_db"] + offset, table[method], yerr=errors, **style)
