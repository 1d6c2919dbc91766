"""The pictures of the evaluation, as PNG files whose bytes do not change from run to run."""

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
MIN_DB = -80.0
COLOUR_MAP = "magma"
# Okabe & Ito's palette: told apart by colour-blind people, and by marker and dash in grey.
STYLES: dict[str, dict[str, Any]] = {
    "noisy": {"color": "#555555", "linestyle": "-", "label": "noisy input"},
    "wiener": {"color": "#D55E00", "linestyle": "--", "marker": "s", "label": "Wiener filter"},
    "denoised": {"color": "#0072B2", "linestyle": "-", "marker": "o", "label": "network"},
}
STYLE: dict[str, Any] = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


def spectrogram_triptych(
    waveforms: Mapping[str, Waveform],
    sample_rate: int,
    path: str | os.PathLike[str],
    title: str,
) -> None:
    """Draw named waveforms, float32 [n_samples], as spectrograms one above the other.

    They share one dB scale, from the strongest bin of them all to 80 dB under it.
    """
    params = _picture_params(sample_rate)
    pictures = _levels_db(list(waveforms.values()), params)
    seconds = max(len(waveform) for waveform in waveforms.values()) / sample_rate
    with _figure(path, 8, 1.2 + 2.1 * len(pictures)) as figure:
        every = figure.subplots(len(pictures), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, name, levels in zip(every, waveforms, pictures, strict=True):
            image = _draw_levels(axes, levels, params.hop_length / sample_rate, sample_rate / 2)
            axes.set_title(name, loc="left", fontsize=11)
            axes.set_xlim(0, seconds)
        every[-1].set_xlabel("Time (s)")
        figure.supylabel("Frequency (Hz)", fontsize=11)
        figure.colorbar(image, ax=list(every), label="Level (dB re common peak)", aspect=40)
        figure.suptitle(title, x=0.02, ha="left")


def improvement_by_snr(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Draw what each method wins over the noisy input against the input's SNR.

    `table` is report.improvement_by_snr's: snr_db, and for wiener and denoised the mean and the
    ends of its interval, `<method>_low` and `<method>_high`.
    """
    aside = np.ptp(table["snr_db"]) / 160  # so that one method's bars do not hide the other's
    with _figure(path, 7, 4.5) as figure:
        axes = figure.subplots()
        axes.axhline(0, linewidth=1.5, **STYLES["noisy"])
        _draw_improvement(axes, table, "wiener", -aside)
        _draw_improvement(axes, table, "denoised", aside)
        axes.set_xticks(table["snr_db"])
        axes.set_xlabel("SNR of the noisy input (dB)")
        axes.set_ylabel("SI-SDR improvement (dB)")
        axes.set_title("Won over the noisy input; bars: 95 % over speakers", loc="left")
        figure.legend(loc="outside lower center", ncols=3)  # no curve can hide there


def learning_curve(history: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Draw the losses of training and validation by epoch, the best epoch marked.

    `history` has the columns epoch, loss, validation_loss.
    """
    best = history.loc[history["validation_loss"].idxmin()]
    with _figure(path, 7, 4.5) as figure:
        axes = figure.subplots()
        for column, method, label in (
            ("loss", "wiener", "training"),
            ("validation_loss", "denoised", "validation"),
        ):
            style = {**STYLES[method], "label": label, "markersize": 4}
            axes.plot(history["epoch"], history[column], **style)
        label = f"best epoch, {best['epoch']:g}"
        axes.axvline(best["epoch"], color="#555555", linestyle=":", label=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("Epoch")
        axes.set_ylabel("Loss")
        axes.set_title("Learning curve", loc="left")
        axes.legend()


@contextmanager
def _figure(path: str | os.PathLike[str], width: float, height: float) -> Iterator[Figure]:
    """Yield a figure, in inches, that is written to `path` at the end.

    The reader's own matplotlib style is set aside, and the PNG names no version of the software.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
        yield figure
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png", metadata={"Software": None})


def _picture_params(sample_rate: int) -> SpectrogramParams:
    """Return windows of about 24 ms: harmonics and onsets both show."""
    hop_length = 8 * max(1, round(0.006 * sample_rate / 8))
    return SpectrogramParams(4 * hop_length, hop_length, 4 * hop_length)


def _levels_db(waveforms: list[Waveform], params: SpectrogramParams) -> list[Levels]:
    """Return each waveform's level [n_frames, n_bins] in dB under the peak of them all."""
    magnitudes = [magnitude(stft(waveform, params)) for waveform in waveforms]
    peak = max(float(m.max()) for m in magnitudes) or 1.0
    floor = np.float32(10 ** (MIN_DB / 20))
    # The natural logarithm: NumPy's float32 log10 differs from processor to processor.
    to_db = np.float32(20 / math.log(10))
    return [to_db * np.log(np.maximum(m / np.float32(peak), floor)) for m in magnitudes]


def _draw_levels(axes: Axes, levels: Levels, hop_seconds: float, highest_hz: float) -> AxesImage:
    n_frames, n_bins = levels.shape
    bin_hz = highest_hz / (n_bins - 1)
    # A pixel reaches half a hop and half a bin to each side of its centre.
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
    axes.set_ylim(0, highest_hz)
    return image


def _draw_improvement(axes: Axes, table: pd.DataFrame, method: str, aside: float) -> None:
    spread = [table[method] - table[f"{method}_low"], table[f"{method}_high"] - table[method]]
    axes.errorbar(table["snr_db"] + aside, table[method], yerr=spread, capsize=4, **STYLES[method])
