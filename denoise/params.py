"""The sections of params.yaml as frozen dataclasses; each field carries its type and range.

`params_file` reads and validates it. Inference uses some of them, so they import little.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from denoise.schema import Choices, Names, OfExtensions, Range

NOISE_TYPES = (
    "white",
    "pink",
    "brown",
    "blue",
    "violet",
    "hum",
    "textures",
    "babble",
    "speech",
    "recordings",
)
MAX_SEED = 2**32 - 1


@dataclass(frozen=True)
class SyntheticParams:
    """The built-in corpus: what it says, its size, and the out-of-vocabulary speech of digits."""

    content: Annotated[str, Choices("digits", "sentences")]
    speakers: Annotated[int, Range(4, 100)]
    repetitions: Annotated[int, Range(1, 1000)]
    oov_utterances: Annotated[int, Range(0, 100_000)]
    seed: Annotated[int, Range(0, MAX_SEED)]


@dataclass(frozen=True)
class KaggleParams:
    """The data set on Kaggle and what it must hold to be accepted."""

    dataset: str
    version: Annotated[int, Range(1, 10_000)]
    files: Annotated[int, Range(1, 10_000_000)]
    speakers: Annotated[int, Range(1, 1_000_000)]


@dataclass(frozen=True)
class OpenParams:
    """The entries of the catalogue of open recordings that are fetched, and local mirrors."""

    speech: Annotated[tuple[str, ...], Names()]
    noise: Annotated[tuple[str, ...], Names()]
    mirrors: str


@dataclass(frozen=True)
class DownloadParams:
    """Where the corpus and the noise recordings come from."""

    source: Annotated[str, Choices("synthetic", "kaggle", "local", "open", or_extension="sources")]
    synthetic: SyntheticParams
    kaggle: KaggleParams
    open: OpenParams
    local: str
    local_content: Annotated[str, Choices("auto", "digits", "speech")]
    max_damaged_fraction: Annotated[float, Range(0.0, 1.0)]
    noise: str


@dataclass(frozen=True)
class SampleParams:
    """How many utterances are drawn, and how their speakers are split."""

    size: Annotated[int, Range(3, 10_000_000)]
    max_per_speaker: Annotated[int, Range(1, 10_000_000)]
    validation_fraction: Annotated[float, Range(0.01, 0.8)]
    test_fraction: Annotated[float, Range(0.01, 0.8)]
    seed: Annotated[int, Range(0, MAX_SEED)]


@dataclass(frozen=True)
class AudioParams:
    """The sample rate and the length of each clip."""

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
class FeaturesParams:
    """What is cached for training, and the speeds at which clips are played."""

    cache: Annotated[str, Choices("spectrograms", "waveforms")]
    speed_perturbation: Annotated[tuple[float, ...], Range(0.5, 2.0)]

    @property
    def other_speeds(self) -> list[float]:
        """The speed factors other than 1."""
        return [speed for speed in self.speed_perturbation if speed != 1]


@dataclass(frozen=True)
class NoiseWeights:
    """The relative probability of each noise type in training; 0 is never."""

    white: Annotated[float, Range(0, 1000)]
    pink: Annotated[float, Range(0, 1000)]
    brown: Annotated[float, Range(0, 1000)]
    blue: Annotated[float, Range(0, 1000)]
    violet: Annotated[float, Range(0, 1000)]
    hum: Annotated[float, Range(0, 1000)]
    textures: Annotated[float, Range(0, 1000)]
    babble: Annotated[float, Range(0, 1000)]
    speech: Annotated[float, Range(0, 1000)]
    recordings: Annotated[float, Range(0, 1000)]
    extensions: Annotated[Mapping[str, float], OfExtensions("noise", 0, 1000)] = field(
        default_factory=dict
    )

    def by_type(self) -> dict[str, float]:
        """Return the weight of each noise type, those in the folder `extensions` last."""
        weights = {name: getattr(self, name) for name in NOISE_TYPES}
        return {**weights, **self.extensions}


@dataclass(frozen=True)
class NoiseParams:
    """The noise of the training and validation clips."""

    weights: NoiseWeights
    snr_db: Annotated[tuple[float, ...], Range(-60.0, 60.0)]
    noisy_versions: Annotated[int, Range(1, 100)]
    seed: Annotated[int, Range(0, MAX_SEED)]


@dataclass(frozen=True)
class SkipAutoencoderParams:
    """The size of the default network."""

    channels: Annotated[int, Range(4, 512)]
    bottleneck_channels: Annotated[int, Range(1, 4096)]
    subbands: Annotated[int, Range(4, 1024)]
    dilations: Annotated[tuple[int, ...], Range(1, 256)]
    compression: Annotated[float, Range(0.05, 1.0)]
    normalisation_window_seconds: Annotated[float, Range(0.05, 5.0)]
    causal: bool
    frames_per_step: Annotated[int, Range(1, 8)] = 1


@dataclass(frozen=True)
class ModelParams:
    """Which network, and its size."""

    architecture: Annotated[
        str, Choices("skip_autoencoder", "reference", or_extension="architectures")
    ]
    skip_autoencoder: SkipAutoencoderParams
    seed: Annotated[int, Range(0, MAX_SEED)]


@dataclass(frozen=True)
class LossWeights:
    """The weight of each term of `SpectralLoss`, that of all architectures but `reference`."""

    compressed_magnitude: Annotated[float, Range(0.0, 100.0)]
    compressed_complex: Annotated[float, Range(0.0, 100.0)]
    estoi: Annotated[float, Range(0.0, 100.0)]
    pesq: Annotated[float, Range(0.0, 100.0)]
    log_mel: Annotated[float, Range(0.0, 100.0)]
    si_sdr: Annotated[float, Range(0.0, 100.0)]
    extensions: Annotated[Mapping[str, float], OfExtensions("losses", 0.0, 100.0)] = field(
        default_factory=dict
    )


@dataclass(frozen=True)
class FineTuningParams:
    """Further epochs after those of the training, with a loss and a learning rate of their own."""

    epochs: Annotated[int, Range(0, 100_000)]
    learning_rate: Annotated[float, Range(1e-7, 1.0)]
    room_target_seconds: Annotated[float, Range(0.0, 10.0)]
    loss: LossWeights


@dataclass(frozen=True)
class TrainParams:
    """How the network is trained."""

    epochs: Annotated[int, Range(1, 100_000)]
    batch_size: Annotated[int, Range(1, 4096)]
    optimizer: Annotated[str, Choices("muon", "adam")]
    learning_rate: Annotated[float, Range(1e-7, 1.0)]
    muon_learning_rate_multiplier: Annotated[float, Range(1e-3, 1e3)]
    beta_2: Annotated[float, Range(0.5, 0.99999)]
    schedule: Annotated[str, Choices("cosine", "plateau")]
    warmup_steps: Annotated[int, Range(0, 100_000)]
    frozen_batch_norm_fraction: Annotated[float, Range(0.0, 1.0)]
    patience: Annotated[int, Range(1, 100_000)]
    loss: LossWeights
    dynamic_mixing: bool
    clean_probability: Annotated[float, Range(0.0, 1.0)]
    random_eq_db: Annotated[float, Range(0.0, 40.0)]
    band_limit_probability: Annotated[float, Range(0.0, 1.0)]
    oov_probability: Annotated[float, Range(0.0, 1.0)]
    time_reversal_probability: Annotated[float, Range(0.0, 1.0)]
    room_probability: Annotated[float, Range(0.0, 1.0)]
    room_target_seconds: Annotated[float, Range(0.0, 10.0)]
    second_noise_probability: Annotated[float, Range(0.0, 1.0)]
    crop_seconds: Annotated[float, Range(0.4, 3600.0)]
    data_shards: Annotated[int, Range(1, 256)]
    workers: Annotated[int, Range(1, 1024)]
    precision: Annotated[str, Choices("float32", "mixed_bfloat16")]
    fine_tuning: FineTuningParams
    seed: Annotated[int, Range(0, MAX_SEED)]


@dataclass(frozen=True)
class ExportParams:
    """How the exported network runs."""

    frame_shifts: Annotated[int, Range(1, 8)]
    mask_power: Annotated[float, Range(1.0, 3.0)]


@dataclass(frozen=True)
class RecogniserParams:
    """How the digit recognisers are trained, on clean speech and in noise."""

    size: Annotated[int, Range(1, 10_000_000)]
    noise_types: Annotated[
        tuple[str, ...], Choices(*NOISE_TYPES[:-1], or_extension="noise")
    ]  # no recordings
    snr_db: Annotated[tuple[float, ...], Range(-60.0, 60.0)]
    noisy_versions: Annotated[int, Range(1, 100)]
    channels: Annotated[int, Range(1, 512)]
    clean_epochs: Annotated[int, Range(1, 10_000)]
    noisy_epochs: Annotated[int, Range(1, 10_000)]
    learning_rate: Annotated[float, Range(1e-7, 1.0)]
    threads: Annotated[int, Range(1, 256)]
    seed: Annotated[int, Range(0, MAX_SEED)]


@dataclass(frozen=True)
class EvaluateParams:
    """The test conditions, and what is measured."""

    noise_types: Annotated[tuple[str, ...], Choices(*NOISE_TYPES, or_extension="noise")]
    snr_db: Annotated[tuple[float, ...], Range(-60.0, 60.0)]
    pesq: Annotated[str, Choices("auto", "never")]
    threads: Annotated[int, Range(1, 256)]
    seed: Annotated[int, Range(0, MAX_SEED)]


@dataclass(frozen=True)
class ParallelParams:
    """Where the stages work on many clips at once. Results do not depend on it."""

    jobs: Annotated[int, Range(0, 1024)]
    scheduler: str


@dataclass(frozen=True)
class Params:
    """The whole of params.yaml."""

    download: DownloadParams
    sample: SampleParams
    audio: AudioParams
    spectrogram: SpectrogramParams
    features: FeaturesParams
    noise: NoiseParams
    model: ModelParams
    train: TrainParams
    export: ExportParams
    recogniser: RecogniserParams
    reconstruction: Annotated[str, Choices("noisy_phase", "griffin_lim")]
    evaluate: EvaluateParams
    parallel: ParallelParams
