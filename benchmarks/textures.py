"""Time the synthetic noise `textures` and draw a gallery: `python -m benchmarks.textures`.

It prints the mean processor time per draw of each model and of their mixture, and writes the
spectrograms of twelve draws, or of twelve draws from one model, as a PNG file.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from denoise.dsp.audio import Waveform
from denoise.dsp.stft import magnitude, stft
from denoise.evaluation.plots import COLOUR_MAP, DOTS_PER_INCH, png_figure
from denoise.noise.textures import MODELS, draw_model, textures
from denoise.params import SpectrogramParams

GALLERY = Path(".scratch/textures.png")
MIXTURE = "textures"
N_PANELS = 12
COLUMNS = 3
RANGE_DB = 70.0


def draw(name: str, seed: int, n_samples: int, sample_rate: int) -> Waveform:
    """Draw from a model, or from the mixture of them."""
    rng = np.random.default_rng([seed, n_samples])
    if name == MIXTURE:
        return textures(rng, n_samples, sample_rate)
    return draw_model(rng, name, n_samples, sample_rate)


def time_draws(name: str, n_draws: int, n_samples: int, sample_rate: int) -> list[float]:
    """Return the processor time of each draw in ms."""
    draw(name, 0, n_samples, sample_rate)
    times = []
    for seed in range(n_draws):
        started = time.process_time()
        draw(name, seed, n_samples, sample_rate)
        times.append(1000 * (time.process_time() - started))
    return times


def gallery_names(model: str | None) -> list[str]:
    """Name the model of each panel: each once and the mixture, or one model in all panels."""
    return [model] * N_PANELS if model else [*MODELS, *[MIXTURE] * N_PANELS][:N_PANELS]


def plot_gallery(
    names: Sequence[str], seed: int, n_samples: int, sample_rate: int, path: Path
) -> None:
    """Plot the spectrogram of one draw per name; the scale ends RANGE_DB below each peak."""
    n_rows = -(-len(names) // COLUMNS)
    with png_figure(path, 4.0 * COLUMNS, 2.3 * n_rows, DOTS_PER_INCH * 0.75) as figure:
        panels = figure.subplots(n_rows, COLUMNS, sharex=True, sharey=True).ravel()
        for number, (axes, name) in enumerate(zip(panels, names, strict=False)):
            _draw_panel(axes, draw(name, seed + number, n_samples, sample_rate), sample_rate)
            axes.set_title(name, loc="left", fontsize=11)
        figure.supxlabel("Time (s)", fontsize=11)
        figure.supylabel("Frequency (kHz)", fontsize=11)


def _draw_panel(axes: Axes, waveform: Waveform, sample_rate: int) -> None:
    n_fft = 2 * round(0.016 * sample_rate)
    params = SpectrogramParams(n_fft=n_fft, hop_length=n_fft // 4, win_length=n_fft)
    spectrogram = magnitude(stft(waveform, params))
    level_db = 20 * np.log10(np.maximum(spectrogram / spectrogram.max(), 1e-9))
    extent = (0, len(waveform) / sample_rate, 0, sample_rate / 2000)
    axes.imshow(
        level_db.T,
        origin="lower",
        aspect="auto",
        extent=extent,
        cmap=COLOUR_MAP,
        vmin=-RANGE_DB,
        vmax=0,
    )
    axes.grid(visible=False)


def main() -> None:
    """Print the times and write the gallery."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a draw")
    parser.add_argument("--rate", type=int, default=22_050, help="sample rate in Hz")
    parser.add_argument("--draws", type=int, default=200, help="draws that are timed per model")
    parser.add_argument("--seed", type=int, default=0, help="of the gallery's first draw")
    parser.add_argument("--model", choices=list(MODELS), help="fill the gallery with one model")
    parser.add_argument("--gallery", type=Path, default=GALLERY, help="the PNG file to write")
    options = parser.parse_args()
    n_samples = round(options.seconds * options.rate)
    for name in [*MODELS, MIXTURE] if options.draws else []:
        times = time_draws(name, options.draws, n_samples, options.rate)
        slow = np.quantile(times, 0.95)
        print(f"{name:10s} mean {np.mean(times):5.2f} ms, 95th percentile {slow:5.2f} ms")
    names = gallery_names(options.model)
    plot_gallery(names, options.seed, n_samples, options.rate, options.gallery)
    print(f"{options.gallery}: {', '.join(names)}")


if __name__ == "__main__":
    main()
