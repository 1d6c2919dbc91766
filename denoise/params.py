"""params.yaml as frozen dataclasses, one a section, validated as a whole before any work."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from denoise.errors import ParamsError
from denoise.schema import Choices, Range, build

NOISE_KINDS = ("white", "pink", "brown", "blue", "violet", "hum", "babble", "speech", "recordings")
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class SyntheticParams:
    """The built-in corpus: how many voices, how often each says each digit; other words."""

    speakers: Annotated[int, Range(4, 100)]
    repetitions: Annotated[int, Range(1, 1000)]
    words: Annotated[int, Range(0, 100_000)]
    seed: Annotated[int, Range(0, LARGEST_SEED)]


@dataclass(frozen=True)
class KaggleParams:
    """The data set on Kaggle and what it must hold to be accepted."""

    dataset: str
    version: Annotated[int, Range(1, 10_000)]
    files: Annotated[int, Range(1, 10_000_000)]
    speakers: Annotated[int, Range(1, 1_000_000)]


@dataclass(frozen=True)
class DownloadParams:
    """Where the corpus and the recordings of noise come from."""

    source: Annotated[str, Choices("synthetic", "kaggle", "local")]
    synthetic: SyntheticParams
    kaggle: KaggleParams
    local: str
    noise: str


@dataclass(frozen=True)
class SampleParams:
    """How many utterances are drawn, and how their speakers are split."""

    size: Annotated[int, Range(3, 10_000_000)]
    validation_fraction: Annotated[float, Range(0.01, 0.8)]
    test_fraction: Annotated[float, Range(0.01, 0.8)]
    seed: Annotated[int, Range(0, LARGEST_SEED)]


@dataclass(frozen=True)
class AudioParams:
    """The form each clip is brought to."""

    sample_rate: Annotated[int, Range(4000, 96_000)]
    duration_seconds: Annotated[float, Range(0.1, 60.0)]

    @property
    def n_samples(self) -> int:
        """Samples in a clip."""
        return round(self.sample_rate * self.duration_seconds)


@dataclass(frozen=True)
class SpectrogramParams:
    """The short-time Fourier transform, in samples."""

    n_fft: Annotated[int, Range(16, 16_384)]
    hop_length: Annotated[int, Range(4, 16_384)]
    win_length: Annotated[int, Range(16, 16_384)]

    @property
    def n_bins(self) -> int:
        """Frequency bins of a frame, from 0 Hz to the Nyquist frequency."""
        return self.n_fft // 2 + 1


@dataclass(frozen=True)
class VoicesParams:
    """How training hears each clip: 1 is as recorded; faster, and its voice is higher too."""

    speeds: Annotated[tuple[float, ...], Range(0.5, 2.0)]

    @property
    def others(self) -> list[float]:
        """The speeds but 1."""
        return [speed for speed in self.speeds if speed != 1]


@dataclass(frozen=True)
class NoiseWeights:
    """How often training hears each kind of noise, relative to the others; 0 is never."""

    white: Annotated[float, Range(0, 1000)]
    pink: Annotated[float, Range(0, 1000)]
    brown: Annotated[float, Range(0, 1000)]
    blue: Annotated[float, Range(0, 1000)]
    violet: Annotated[float, Range(0, 1000)]
    hum: Annotated[float, Range(0, 1000)]
    babble: Annotated[float, Range(0, 1000)]
    speech: Annotated[float, Range(0, 1000)]
    recordings: Annotated[float, Range(0, 1000)]


@dataclass(frozen=True)
class NoiseParams:
    """The noise that training hears."""

    weights: NoiseWeights
    snr_db: Annotated[tuple[float, ...], Range(-60.0, 60.0)]
    copies: Annotated[int, Range(1, 100)]
    seed: Annotated[int, Range(0, LARGEST_SEED)]


@dataclass(frozen=True)
class SkipAutoencoderParams:
    """The size of the default network."""

    channels: Annotated[int, Range(4, 512)]
    context: Annotated[int, Range(1, 4096)]
    bands: Annotated[int, Range(4, 1024)]
    compression: Annotated[float, Range(0.05, 1.0)]
    level_seconds: Annotated[float, Range(0.05, 5.0)]


@dataclass(frozen=True)
class ModelParams:
    """Which network, and its size."""

    architecture: Annotated[str, Choices("skip_autoencoder", "reference")]
    skip_autoencoder: SkipAutoencoderParams
    seed: Annotated[int, Range(0, LARGEST_SEED)]


@dataclass(frozen=True)
class LossWeights:
    """What each part of the default network's loss weighs."""

    magnitude: Annotated[float, Range(0.0, 100.0)]
    phase: Annotated[float, Range(0.0, 100.0)]
    intelligibility: Annotated[float, Range(0.0, 100.0)]
    hearing: Annotated[float, Range(0.0, 100.0)]
    timbre: Annotated[float, Range(0.0, 100.0)]
    waveform: Annotated[float, Range(0.0, 100.0)]


@dataclass(frozen=True)
class TrainParams:
    """How the network is fitted."""

    epochs: Annotated[int, Range(1, 100_000)]
    batch_size: Annotated[int, Range(1, 4096)]
    optimizer: Annotated[str, Choices("muon", "adam")]
    learning_rate: Annotated[float, Range(1e-7, 1.0)]
    kernel_factor: Annotated[float, Range(1e-3, 1e3)]
    beta_2: Annotated[float, Range(0.5, 0.99999)]
    schedule: Annotated[str, Choices("cosine", "plateau")]
    warm_up: Annotated[int, Range(0, 100_000)]
    settled: Annotated[float, Range(0.0, 1.0)]
    patience: Annotated[int, Range(1, 100_000)]
    loss: LossWeights
    remix: bool
    untouched: Annotated[float, Range(0.0, 1.0)]
    equalise_db: Annotated[float, Range(0.0, 40.0)]
    narrowed: Annotated[float, Range(0.0, 1.0)]
    words: Annotated[float, Range(0.0, 1.0)]
    backwards: Annotated[float, Range(0.0, 1.0)]
    excerpt_seconds: Annotated[float, Range(0.4, 3600.0)]
    threads: Annotated[int, Range(1, 256)]
    seed: Annotated[int, Range(0, LARGEST_SEED)]


@dataclass(frozen=True)
class ListenerParams:
    """How the machine listener learns digits, clean and in noise of its own."""

    size: Annotated[int, Range(1, 10_000_000)]
    kinds: Annotated[tuple[str, ...], Choices(*NOISE_KINDS[:-1])]  # no recordings
    snr_db: Annotated[tuple[float, ...], Range(-60.0, 60.0)]
    copies: Annotated[int, Range(1, 100)]
    channels: Annotated[int, Range(1, 512)]
    clean_epochs: Annotated[int, Range(1, 10_000)]
    noisy_epochs: Annotated[int, Range(1, 10_000)]
    learning_rate: Annotated[float, Range(1e-7, 1.0)]
    seed: Annotated[int, Range(0, LARGEST_SEED)]


@dataclass(frozen=True)
class EvaluateParams:
    """What the test speakers are disturbed with, and what is measured."""

    kinds: Annotated[tuple[str, ...], Choices(*NOISE_KINDS)]
    snr_db: Annotated[tuple[float, ...], Range(-60.0, 60.0)]
    pesq: Annotated[str, Choices("auto", "never")]
    seed: Annotated[int, Range(0, LARGEST_SEED)]


@dataclass(frozen=True)
class Params:
    """The whole of params.yaml."""

    download: DownloadParams
    sample: SampleParams
    audio: AudioParams
    spectrogram: SpectrogramParams
    voices: VoicesParams
    noise: NoiseParams
    model: ModelParams
    train: TrainParams
    listener: ListenerParams
    reconstruction: Annotated[str, Choices("noisy_phase", "griffin_lim")]
    evaluate: EvaluateParams


def load_params(path: str | os.PathLike[str]) -> Params:
    """Read and validate a params file; raises ParamsError naming key, value and range."""
    import yaml  # the light tool, which has these dataclasses too, comes without

    try:
        tree = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"No params at {path}. Run from the project's folder.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ParamsError(f"{path} is not YAML: {error}") from error
    return parse_params(tree)


def parse_params(tree: Any) -> Params:
    """Turn the parsed YAML into Params; raises ParamsError naming key, value and range."""
    params: Params = build(Params, tree)
    _check_together(params)
    return params


def _check_together(params: Params) -> None:
    """Hold keys against each other that are each in range but impossible together."""
    spectrogram, sample = params.spectrogram, params.sample
    if spectrogram.n_fft % 2:
        raise ParamsError(f"spectrogram.n_fft: {spectrogram.n_fft} is odd; it must be even.")
    if not spectrogram.hop_length <= spectrogram.win_length // 2:
        raise ParamsError(
            f"spectrogram.hop_length: {spectrogram.hop_length} lies outside 4 to "
            f"{spectrogram.win_length // 2}, half of spectrogram.win_length."
        )
    if spectrogram.win_length > spectrogram.n_fft:
        raise ParamsError(
            f"spectrogram.win_length: {spectrogram.win_length} lies outside 16 to "
            f"{spectrogram.n_fft}, spectrogram.n_fft."
        )
    if sample.validation_fraction + sample.test_fraction > 0.9:
        raise ParamsError(
            "sample.validation_fraction + sample.test_fraction: "
            f"{sample.validation_fraction + sample.test_fraction:g} lies outside 0.02 to 0.9; "
            "training needs the rest."
        )
    for section, snr_db in (("noise", params.noise.snr_db), ("listener", params.listener.snr_db)):
        if len(snr_db) != 2 or snr_db[0] > snr_db[1]:
            raise ParamsError(
                f"{section}.snr_db: {list(snr_db)} is not [lowest, highest], two values."
            )
    if not any(vars(params.noise.weights).values()):
        raise ParamsError("noise.weights: all are 0; at least one kind must be more than 0.")
    speeds = params.voices.speeds
    if 1 not in speeds or len(set(speeds)) < len(speeds):
        raise ParamsError(f"voices.speeds: {list(speeds)} must hold 1 and no value twice.")
    if len(set(params.evaluate.snr_db)) < len(params.evaluate.snr_db):
        raise ParamsError(f"evaluate.snr_db: {list(params.evaluate.snr_db)} names a value twice.")
    _check_sources(params)
    if params.audio.n_samples < spectrogram.n_fft:
        raise ParamsError(
            f"audio.duration_seconds: {params.audio.duration_seconds} gives "
            f"{params.audio.n_samples} samples, fewer than spectrogram.n_fft, {spectrogram.n_fft}."
        )


def _check_sources(params: Params) -> None:
    """Hold the folders of recordings against what asks for them."""
    download = params.download
    if download.source == "local" and not download.local:
        raise ParamsError(
            "download.local: '' names no folder or zip, and download.source is local."
        )
    reasons = {
        "noise.weights.recordings is more than 0": params.noise.weights.recordings > 0,
        "evaluate.kinds holds recordings": "recordings" in params.evaluate.kinds,
    }
    for reason, is_asked_for in reasons.items():
        if is_asked_for and not download.noise:
            raise ParamsError(f"download.noise: '' names no folder or zip, and {reason}.")
