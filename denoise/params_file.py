"""Reads params.yaml and validates it as a whole, before any stage starts to work."""

import os
from pathlib import Path
from typing import Any

import yaml

from denoise.errors import ParamsError
from denoise.params import Params
from denoise.schema import build

RENAMED = {
    "download.synthetic.words": "download.synthetic.oov_utterances",
    "voices": "features",
    "voices.speeds": "features.speed_perturbation",
    "noise.copies": "noise.noisy_versions",
    "model.skip_autoencoder.context": "model.skip_autoencoder.bottleneck_channels",
    "model.skip_autoencoder.bands": "model.skip_autoencoder.subbands",
    "model.skip_autoencoder.level_seconds": ("model.skip_autoencoder.normalisation_window_seconds"),
    "train.kernel_factor": "train.muon_learning_rate_multiplier",
    "train.warm_up": "train.warmup_steps",
    "train.settled": "train.frozen_batch_norm_fraction",
    "train.loss.magnitude": "train.loss.compressed_magnitude",
    "train.loss.phase": "train.loss.compressed_complex",
    "train.loss.intelligibility": "train.loss.estoi",
    "train.loss.hearing": "train.loss.pesq",
    "train.loss.timbre": "train.loss.log_mel",
    "train.loss.waveform": "train.loss.si_sdr",
    "train.remix": "train.dynamic_mixing",
    "train.untouched": "train.clean_probability",
    "train.equalise_db": "train.random_eq_db",
    "train.narrowed": "train.band_limit_probability",
    "train.words": "train.oov_probability",
    "train.backwards": "train.time_reversal_probability",
    "train.excerpt_seconds": "train.crop_seconds",
    "train.threads": "train.data_shards, recogniser.threads and evaluate.threads",
    "listener": "recogniser",
    "listener.kinds": "recogniser.noise_types",
    "listener.copies": "recogniser.noisy_versions",
    "evaluate.kinds": "evaluate.noise_types",
}
"""Former keys and their present names, for errors that say what to write instead."""


ESTOI_SEGMENT_SECONDS = 0.384
"""The length of ESTOI's segments, and of those that the loss compares."""


def load_params(path: str | os.PathLike[str]) -> Params:
    """Read and validate a params file; raises ParamsError naming key, value and range."""
    try:
        tree = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"No params at {path}. Run from the project's folder.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ParamsError(f"{path} is not YAML: {error}") from error
    return parse_params(tree)


def parse_params(tree: Any) -> Params:
    """Turn the parsed YAML into Params; raises ParamsError naming key, value and range."""
    _check_renamed(tree)
    params: Params = build(Params, tree)
    _check_spectrogram(params)
    _check_crop(params)
    _check_sets(params)
    _check_sources(params)
    return params


def _check_renamed(tree: Any, prefix: str = "") -> None:
    """Raise ParamsError for a key that has another name now; the innermost key is reported."""
    if not isinstance(tree, dict):
        return
    for name, value in tree.items():
        key = f"{prefix}{name}"
        _check_renamed(value, f"{key}.")
        if key in RENAMED:
            raise ParamsError(f"{key}: this key was renamed; write {RENAMED[key]} instead.")


def _check_spectrogram(params: Params) -> None:
    """Check that windows fit each other and the clips."""
    spectrogram = params.spectrogram
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
    if spectrogram.hop_length % params.export.frame_shifts:
        raise ParamsError(
            f"export.frame_shifts: {params.export.frame_shifts} does not divide "
            f"spectrogram.hop_length, {spectrogram.hop_length}."
        )
    if params.audio.n_samples < spectrogram.n_fft:
        raise ParamsError(
            f"audio.duration_seconds: {params.audio.duration_seconds} gives "
            f"{params.audio.n_samples} samples, fewer than spectrogram.n_fft, {spectrogram.n_fft}."
        )


def _check_crop(params: Params) -> None:
    """Check that frames are close enough for the crops and the loss of the training."""
    rate, hop_length = params.audio.sample_rate, params.spectrogram.hop_length
    seconds = min(params.train.crop_seconds, params.audio.duration_seconds)
    if params.train.dynamic_mixing and seconds * rate / hop_length < 2:
        raise ParamsError(
            f"spectrogram.hop_length: {hop_length} at audio.sample_rate, {rate}, gives a crop of "
            f"{seconds:g} s fewer than 2 frames. Lower it, or raise train.crop_seconds."
        )
    is_compared = params.model.architecture != "reference"  # whose loss has no segments
    if is_compared and not round(ESTOI_SEGMENT_SECONDS * rate / hop_length):
        raise ParamsError(
            f"spectrogram.hop_length: {hop_length} at audio.sample_rate, {rate}, gives the loss no "
            f"frame in {ESTOI_SEGMENT_SECONDS:g} s. Lower it."
        )


def _check_sets(params: Params) -> None:
    """Check fractions that share a whole, ranges, and lists that must not repeat a value."""
    sample = params.sample
    if sample.validation_fraction + sample.test_fraction > 0.9:
        raise ParamsError(
            "sample.validation_fraction + sample.test_fraction: "
            f"{sample.validation_fraction + sample.test_fraction:g} lies outside 0.02 to 0.9; "
            "training needs the rest."
        )
    ranges = {"noise": params.noise.snr_db, "recogniser": params.recogniser.snr_db}
    for section, snr_db in ranges.items():
        if len(snr_db) != 2 or snr_db[0] > snr_db[1]:
            raise ParamsError(
                f"{section}.snr_db: {list(snr_db)} is not [lowest, highest], two values."
            )
    if not any(params.noise.weights.by_type().values()):
        raise ParamsError("noise.weights: all are 0; at least one type must be more than 0.")
    _check_loss(params)
    speeds = params.features.speed_perturbation
    if 1 not in speeds or len(set(speeds)) < len(speeds):
        raise ParamsError(
            f"features.speed_perturbation: {list(speeds)} must hold 1 and no value twice."
        )
    for name in ("room_probability", "second_noise_probability"):
        value = getattr(params.train, name)
        if value and params.features.cache != "waveforms":
            raise ParamsError(
                f"train.{name}: {value} needs waveforms in features.cache; with spectrograms it "
                "must be 0."
            )
    if params.features.cache == "waveforms" and not params.train.dynamic_mixing:
        raise ParamsError(
            "train.dynamic_mixing: false needs spectrograms in features.cache; waveforms are "
            "always mixed anew."
        )
    if len(set(params.evaluate.snr_db)) < len(params.evaluate.snr_db):
        raise ParamsError(f"evaluate.snr_db: {list(params.evaluate.snr_db)} names a value twice.")


def _check_loss(params: Params) -> None:
    """Check that no phase of the training has a loss that is always 0."""
    weights = {"train.loss": params.train.loss}
    if params.train.fine_tuning.epochs:
        weights["train.fine_tuning.loss"] = params.train.fine_tuning.loss
    for key, loss in weights.items():
        terms = {**vars(loss), "extensions": any(loss.extensions.values())}
        if params.model.architecture != "reference" and not any(terms.values()):
            raise ParamsError(f"{key}: all are 0; at least one term must be more than 0.")


def _check_sources(params: Params) -> None:
    """Check that a folder of recordings is named wherever one is needed."""
    download = params.download
    if download.source == "local" and not download.local:
        raise ParamsError(
            "download.local: '' names no folder or zip, and download.source is local."
        )
    if download.source == "open" and not download.open.speech:
        raise ParamsError("download.open.speech: [] names no speech, and download.source is open.")
    reasons = {
        "noise.weights.recordings is more than 0": params.noise.weights.recordings > 0,
        "evaluate.noise_types holds recordings": "recordings" in params.evaluate.noise_types,
    }
    for reason, is_needed in reasons.items():
        if is_needed and not (download.noise or download.open.noise):
            raise ParamsError(
                f"download.noise: '' names no folder or zip, download.open.noise is empty, and "
                f"{reason}."
            )
