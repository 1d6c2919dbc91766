"""Tests of the plots: reproducible bytes, atomic writes, and correct content."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from denoise.evaluation import plots
from tests.speechlike import SAMPLE_RATE, voice, white

CLEAN = voice()
WAVEFORMS = {"clean": CLEAN, "noisy": CLEAN + white(CLEAN, 0), "denoised": 0.1 * CLEAN}
IMPROVEMENT = pd.DataFrame(
    {
        "snr_db": [-6.0, 0.0, 6.0],
        "wiener": [9.0, 8.0, 6.0],
        "wiener_low": [8.0, 7.0, 5.0],
        "wiener_high": [10.0, 9.0, 7.0],
        "denoised": [12.0, 11.0, 9.0],
        "denoised_low": [11.0, 10.0, 8.0],
        "denoised_high": [13.0, 12.0, 10.0],
    }
)
HISTORY = pd.DataFrame(
    {"epoch": [1, 2, 3, 4], "loss": [4.0, 3, 2, 1], "validation_loss": [4.0, 2.5, 2, 3]}
)


def draw_spectrograms(path: Path) -> None:
    plots.plot_spectrograms(WAVEFORMS, SAMPLE_RATE, path, "Speaker 07, digit 3")


def draw_improvement(path: Path) -> None:
    plots.plot_improvement_by_snr(IMPROVEMENT, path)


def draw_learning_curve(path: Path) -> None:
    plots.plot_learning_curve(HISTORY, path)


Draw = Callable[[Path], None]
every_plot = pytest.mark.parametrize(
    "draw", [draw_spectrograms, draw_improvement, draw_learning_curve]
)


@every_plot
def test_plot_has_the_same_bytes_whatever_the_user_s_matplotlib_style(
    draw: Draw, tmp_path: Path
) -> None:
    draw(tmp_path / "first.png")
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black", "savefig.dpi": 50}):
        draw(tmp_path / "second.png")
        assert matplotlib.rcParams["font.size"] == 20
    content = (tmp_path / "first.png").read_bytes()
    assert content == (tmp_path / "second.png").read_bytes()
    assert b"atplotlib" not in content
    assert imread(tmp_path / "first.png").std() > 0.05


@every_plot
def test_failed_write_keeps_the_previous_file(
    draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"before")

    def fail(figure: Figure, file: Path, **options: Any) -> None:
        file.write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk is full"):
        draw(path)
    assert [file.name for file in tmp_path.iterdir()] == ["picture.png"]
    assert path.read_bytes() == b"before"


def test_spectrograms_share_one_scale_and_have_labels(drawn: list[Any], tmp_path: Path) -> None:
    draw_spectrograms(tmp_path / "picture.png")
    *panels, bar = drawn[0].axes
    assert [panel.get_title(loc="left") for panel in panels] == list(WAVEFORMS)
    images = [panel.images[0] for panel in panels]
    assert {image.get_clim() for image in images} == {(-80, 0)}
    levels = [image.get_array() for image in images]
    assert max(level.max() for level in levels) == pytest.approx(0, abs=1e-4)
    assert levels[0].max() - levels[2].max() == pytest.approx(20, abs=0.01)
    assert min(level.min() for level in levels) == pytest.approx(-80, abs=1e-4)
    assert panels[-1].get_xlabel() == "Time (s)"
    assert "Hz" in drawn[0].get_supylabel()
    assert "dB" in bar.get_ylabel()
    assert panels[0].get_xlim() == pytest.approx((0, 1))
    assert panels[0].get_ylim() == pytest.approx((0, SAMPLE_RATE / 2))


def test_tone_appears_at_its_frequency_and_time(drawn: list[Any], tmp_path: Path) -> None:
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tone = np.where(time > 0.75, np.sin(2 * np.pi * 5000 * time), 0).astype(np.float32)
    plots.plot_spectrograms({"tone": tone}, SAMPLE_RATE, tmp_path / "tone.png", "A tone")
    image = drawn[0].axes[0].images[0]
    left, right, bottom, top = image.get_extent()
    levels = image.get_array()
    n_bins, n_frames = levels.shape
    bin_number, _ = np.unravel_index(np.argmax(levels), levels.shape)
    assert bottom + (bin_number + 0.5) * (top - bottom) / n_bins == pytest.approx(5000, abs=45)
    onset = np.argmax(levels.max(axis=0) > -6)
    assert left + (onset + 0.5) * (right - left) / n_frames == pytest.approx(0.75, abs=0.01)


def test_scale_does_not_depend_on_silence_in_the_clip(drawn: list[Any], tmp_path: Path) -> None:
    noise = {"noise": white(CLEAN, 0)}
    plots.plot_spectrograms(noise, SAMPLE_RATE, tmp_path / "noise.png", "Noise")
    image = drawn[0].axes[0].images[0]
    assert image.get_array().min() > -75
    assert image.get_clim() == (-80, 0)


def test_silence_can_be_plotted(drawn: list[Any], tmp_path: Path) -> None:
    silence = np.zeros(3000, np.float32)
    plots.plot_spectrograms({"silence": silence}, 8000, tmp_path / "picture.png", "None")
    levels = np.ma.filled(drawn[0].axes[0].images[0].get_array(), np.nan)
    np.testing.assert_allclose(levels, -80, atol=1e-4)


def test_improvement_plot_shows_both_methods_with_intervals(
    drawn: list[Any], tmp_path: Path
) -> None:
    draw_improvement(tmp_path / "picture.png")
    axes = drawn[0].axes[0]
    means = [c.lines[0].get_ydata().tolist() for c in axes.containers]
    assert means == [[9, 8, 6], [12, 11, 9]]
    bars = axes.containers[1].lines[2][0].get_segments()
    assert [bar[:, 1].tolist() for bar in bars] == [[11, 13], [10, 12], [8, 10]]
    labels = {text.get_text() for text in drawn[0].legends[0].get_texts()}
    assert labels == {"noisy input", "Wiener filter", "denoised"}
    assert axes.get_xticks().tolist() == [-6, 0, 6]


def test_improvement_of_one_speaker_at_one_snr_can_be_plotted(
    drawn: list[Any], tmp_path: Path
) -> None:
    one_speaker = IMPROVEMENT.head(1).assign(wiener_low=np.nan, wiener_high=np.nan)
    plots.plot_improvement_by_snr(one_speaker, tmp_path / "picture.png")
    assert len(drawn[0].axes[0].containers) == 2


def test_learning_curve_marks_the_best_epoch(drawn: list[Any], tmp_path: Path) -> None:
    draw_learning_curve(tmp_path / "picture.png")
    axes = drawn[0].axes[0]
    training, validation, best = axes.lines
    assert training.get_ydata().tolist() == [4, 3, 2, 1]
    assert validation.get_ydata().tolist() == [4, 2.5, 2, 3]
    assert list(best.get_xdata()) == [3, 3]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["training", "validation", "best epoch (3)"]
