"""The networks, their losses and the training loop, on spectrograms of tones in noise."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from denoise.dsp.stft import count_frames
from denoise.errors import ModelError, TrainingError
from denoise.evaluation.metrics import si_sdr_db
from denoise.features.cache import SpectrogramCache, SplitWriter, make_clip_rows
from denoise.inference.denoiser import Denoiser
from denoise.network.saved_model import ModelConfig, load_model, save_model
from denoise.params import Params, SpectrogramParams
from denoise.params_file import load_params
from denoise.training.augmentation import Augmentation
from denoise.training.checkpoint import Checkpoint, best_epoch, fingerprint
from denoise.training.data import BatchSource, to_network_input
from denoise.training.losses import loss_for, peak_for
from denoise.training.train_step import TrainStep
from denoise.training.trainer import (
    fit,
    has_frozen_batch_norm,
    is_finished,
    learning_rates,
    mean_loss,
    prefetch,
)
from stages.train import settings_of
from tests.closures import ROOT

N_SAMPLES = 8000
COMMITTED = load_params(ROOT / "params.yaml")
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))


def tiny(architecture: str, epochs: int = 8) -> Params:
    network = dataclasses.replace(COMMITTED.model.skip_autoencoder, channels=8, dilations=(1, 2))
    model = dataclasses.replace(
        COMMITTED.model, architecture=architecture, skip_autoencoder=network
    )
    train = dataclasses.replace(
        COMMITTED.train,
        epochs=epochs,
        batch_size=2,
        data_shards=2,
        learning_rate=0.005,
        warmup_steps=5,
    )
    spectrogram = SpectrogramParams(256, 128, 256)
    return dataclasses.replace(COMMITTED, model=model, train=train, spectrogram=spectrogram)


class PowerCutError(Exception):
    pass


def tone_and_noise(rng: np.random.Generator, snr_db: float = 0) -> tuple[np.ndarray, np.ndarray]:
    time = np.arange(N_SAMPLES) / 22050
    clean = sum(np.sin(2 * np.pi * rng.uniform(100, 3000) * time) for _ in range(3))
    noise = rng.standard_normal(N_SAMPLES) * clean.std() * 10 ** (-snr_db / 20)
    return clean.astype(np.float32), (clean + noise).astype(np.float32)


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("features")
    params = tiny("reference").spectrogram
    rng = np.random.default_rng(0)
    for split, count in (("train", 18), ("validation", 4)):
        writer = SplitWriter(folder, split, params, count_frames(N_SAMPLES, params))
        for _ in range(count):
            clean, noisy = tone_and_noise(rng)
            writer.append(make_clip_rows(clean, [noisy], [], params))
        writer.close()
    return folder


def train(params: Params, caches: Path, scratch: Path, key: str = "k", on_epoch=lambda e: None):
    train_source, validation = (
        BatchSource(cache, ["white"] * len(cache), params.train.batch_size, params.train.seed)
        for cache in (SpectrogramCache(caches, split) for split in ("train", "validation"))
    )
    peak = peak_for(params, train_source)
    config = ModelConfig(params.audio, params.spectrogram, params.model, peak)
    model = config.build_model()
    sources = (train_source, validation)
    checkpoint = Checkpoint(scratch, key)
    loss, augmentation = loss_for(params, peak), Augmentation.from_params(params)
    history = fit(model, loss, sources, params.train, augmentation, checkpoint, on_epoch)
    return model, config, history


@pytest.fixture(scope="module", params=["skip_autoencoder", "reference"])
def trained(request: pytest.FixtureRequest, caches: Path, tmp_path_factory):
    return train(tiny(request.param), caches, tmp_path_factory.mktemp("scratch") / "train")


def test_training_lowers_the_loss(trained) -> None:
    _, _, history = trained
    assert [entry["epoch"] for entry in history] == list(range(1, 9))
    assert history[-1]["loss"] < history[0]["loss"]


def test_the_validation_loss_is_the_mean_over_all_its_clips(trained, caches: Path) -> None:
    model, config, history = trained
    cache = SpectrogramCache(caches, "validation")
    stft, pair = to_network_input(cache.noisy(np.arange(4)), cache.clean(np.arange(4)))
    params = dataclasses.replace(COMMITTED, spectrogram=config.spectrogram, model=config.model)
    loss = loss_for(params, config.peak)
    clips = [
        float(loss(tuple(part[i : i + 1] for part in pair), model(stft[i : i + 1])))
        for i in range(4)
    ]
    assert np.ptp(clips) > 1e-3
    assert min(entry["validation_loss"] for entry in history) == pytest.approx(np.mean(clips), 1e-3)


def test_reference_has_the_published_number_of_weights() -> None:
    params = tiny("reference")
    model = ModelConfig(params.audio, params.spectrogram, params.model, 2.0).build_model()
    assert model.count_params() == 28_353


@pytest.mark.parametrize("frames", [1, 2, 31, 64])
def test_mask_has_the_shape_of_its_input_and_no_level(trained, frames: int) -> None:
    model, config, _ = trained
    rng = np.random.default_rng(frames)
    noisy = rng.standard_normal((2, frames, config.spectrogram.n_bins, 2), dtype=np.float32)
    mask = np.asarray(model(noisy))
    assert mask.shape == noisy.shape[:3]
    for gain in (0.01, 10.0):
        np.testing.assert_allclose(np.asarray(model(noisy * np.float32(gain))), mask, atol=1e-4)


def test_the_receptive_field_is_what_the_documentation_says() -> None:
    config = ModelConfig(COMMITTED.audio, COMMITTED.spectrogram, COMMITTED.model, 1.0)
    model, hop_length = config.build_model(), COMMITTED.spectrogram.hop_length
    rng = np.random.default_rng(0)
    noisy = rng.standard_normal((1, 201, COMMITTED.spectrogram.n_bins, 2), dtype=np.float32)
    changed = noisy.copy()
    changed[0, 100] *= 1000
    masks = [np.asarray(model(stft))[0] for stft in (noisy, changed)]
    (affected,) = np.nonzero(np.any(masks[0] != masks[1], axis=1))
    n_frames = max(100 - affected.min(), affected.max() - 100)
    seconds = (n_frames * hop_length + COMMITTED.spectrogram.win_length / 2) / 22050
    assert seconds == pytest.approx(0.98, abs=0.005)
    assert n_frames == config.spec().receptive_field_frames


def test_mask_of_silence_is_finite(trained) -> None:
    model, config, _ = trained
    silence = np.zeros((1, 20, config.spectrogram.n_bins, 2), np.float32)
    assert np.isfinite(np.asarray(model(silence))).all()


def test_a_saved_model_gives_the_same_masks_and_the_same_bytes(trained, tmp_path: Path) -> None:
    model, config, _ = trained
    save_model(tmp_path / "a", model, config)
    loaded, same = load_model(tmp_path / "a")
    assert same == config
    noisy = np.random.default_rng(1).standard_normal((1, 9, config.spectrogram.n_bins, 2))
    np.testing.assert_array_equal(np.asarray(loaded(noisy)), np.asarray(model(noisy)))
    save_model(tmp_path / "b", loaded, config)
    for name in ("config.json", "weights.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_denoiser_keeps_length_and_helps(trained, tmp_path: Path, rate: int) -> None:
    model, config, _ = trained
    save_model(tmp_path / "model", model, config)
    denoiser = Denoiser.load(tmp_path / "model")
    clean, noisy = tone_and_noise(np.random.default_rng(7))
    assert denoiser.denoise(noisy, rate).shape == noisy.shape
    if config.model.architecture == "skip_autoencoder" and rate == 22050:
        assert si_sdr_db(clean, denoiser.denoise(noisy, rate)) > si_sdr_db(clean, noisy) + 1


@pytest.mark.slow
def test_same_seed_same_weights_and_an_interrupted_training_too(
    caches: Path, tmp_path: Path
) -> None:
    params = tiny("skip_autoencoder", epochs=2)
    whole, _, history = train(params, caches, tmp_path / "whole", key="another training's")

    def cut(epoch: dict[str, float]) -> None:
        raise PowerCutError

    with pytest.raises(PowerCutError):
        train(params, caches, tmp_path / "cut", on_epoch=cut)
    seen: list[float] = []
    resumed, _, again = train(
        params, caches, tmp_path / "cut", on_epoch=lambda epoch: seen.append(epoch["epoch"])
    )
    assert seen == [1, 2]
    assert again == history
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_prefetched_batches_come_in_order_and_errors_are_raised() -> None:
    def draw(number: int) -> tuple[np.ndarray, np.ndarray]:
        if number == 3:
            raise PowerCutError
        return np.full((1, 2, 3), number, np.complex64), np.zeros((1, 2, 3), np.complex64)

    taken = [stft[0, 0, 0, 0] for stft, _ in prefetch(draw, 3, "")]
    assert taken == [0, 1, 2]
    with pytest.raises(PowerCutError):
        list(prefetch(draw, 4, ""))


def test_only_the_same_training_resumes_a_checkpoint(trained, tmp_path: Path) -> None:
    model, config, _ = trained
    history = epochs(3, 2, 1)
    Checkpoint(tmp_path / "state", "one").save(model.weights, history)
    fresh = config.build_model()
    assert Checkpoint(tmp_path / "state", "other").load(fresh.weights) == []
    assert Checkpoint(tmp_path / "nothing", "one").load(fresh.weights) == []
    assert Checkpoint(tmp_path / "state", "one").load(fresh.weights) == history
    for one, other in zip(model.get_weights(), fresh.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    (tmp_path / "state" / "last.npz").write_bytes(b"cut short")
    with pytest.raises(ModelError, match=r"last\.npz does not fit"):
        Checkpoint(tmp_path / "state", "one").load(fresh.weights)


def test_a_checkpoint_is_recovered_after_a_kill_in_the_middle_of_a_save(
    trained, tmp_path: Path
) -> None:
    model, config, _ = trained
    history = epochs(3, 2, 1)
    checkpoint = Checkpoint(tmp_path / "state", "one")
    checkpoint.save(model.weights, history)
    checkpoint.folder.rename(tmp_path / ".state.4000000000.former")  # no process has this number
    assert checkpoint.load(config.build_model().weights) == history


def test_a_checkpoint_restores_the_best_epoch(trained, tmp_path: Path) -> None:
    _, config, _ = trained
    model = config.build_model()
    checkpoint, history = Checkpoint(tmp_path / "state", "one"), []
    for number, loss in enumerate((2.0, 1.0, 3.0)):
        model.set_weights([np.full_like(w, number) for w in model.get_weights()])
        history.append({"validation_loss": loss})
        checkpoint.save(model.weights, history)
    checkpoint.load_best(model.weights)
    assert all((weight == 1).all() for weight in model.get_weights())


@pytest.mark.parametrize("key", PIPELINE["stages"]["train"]["params"])
def test_a_checkpoint_belongs_to_the_values_of_all_params_of_the_stage(key: str) -> None:
    def settings(params: Params) -> str:
        return settings_of(params, ModelConfig(params.audio, params.spectrogram, params.model, 1.0))

    def changed(part: Any, names: list[str]) -> Any:
        if not names:
            return "another value"
        return dataclasses.replace(part, **{names[0]: changed(getattr(part, names[0]), names[1:])})

    assert settings(COMMITTED) == settings(load_params(ROOT / "params.yaml"))
    assert settings(COMMITTED) != settings(changed(COMMITTED, key.split(".")))


def test_fingerprint_changes_with_settings_and_content(tmp_path: Path) -> None:
    file = tmp_path / "cache.npy"
    file.write_bytes(b"one")
    first = fingerprint("a", [file])
    assert first == fingerprint("a", [file]) != fingerprint("b", [file])
    file.write_bytes(b"two")
    assert first != fingerprint("a", [file])


def epochs(*validation_losses: float) -> list[dict[str, float]]:
    return [{"validation_loss": loss} for loss in validation_losses]


def test_training_stops_after_patience_or_the_last_epoch() -> None:
    params = dataclasses.replace(COMMITTED.train, epochs=6, patience=2)
    assert not is_finished(params, [])
    assert not is_finished(params, epochs(3, 2, 2.5))
    assert is_finished(params, epochs(3, 2, 2.5, 2.1))
    assert is_finished(params, epochs(6, 5, 4, 3, 2, 1))
    assert best_epoch(epochs(3, 1, 2)) == 1


@pytest.mark.parametrize(("fraction", "first"), [(0.0, 8), (0.25, 6), (1.0, 0)])
def test_the_last_epochs_have_frozen_batch_norm(fraction: float, first: int) -> None:
    params = dataclasses.replace(COMMITTED.train, epochs=8, frozen_batch_norm_fraction=fraction)
    found = [has_frozen_batch_norm(params, epochs(*range(done))) for done in range(8)]
    assert found == [done >= first for done in range(8)]


@pytest.mark.parametrize(
    ("fraction", "n_epochs", "n_frozen"),
    [(0.7, 10, 7), (0.3, 10, 3), (0.1, 10, 1), (0.9, 10, 9), (0.5, 42, 21), (0.55, 100, 55)],
)
def test_the_number_of_frozen_epochs_is_rounded_to_the_nearest(
    fraction: float, n_epochs: int, n_frozen: int
) -> None:
    params = dataclasses.replace(
        COMMITTED.train, epochs=n_epochs, frozen_batch_norm_fraction=fraction
    )
    frozen = [has_frozen_batch_norm(params, epochs(*range(done))) for done in range(n_epochs)]
    assert sum(frozen) == n_frozen


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_is_an_error_that_names_the_batch(bad: float) -> None:
    losses = iter([1.0, 2.0, bad, 3.0])
    batches = [(np.zeros((2, 1)), (np.zeros(1), np.zeros(1)))] * 4
    with pytest.raises(
        TrainingError, match=r"is -?(nan|inf) in epoch 1/2, batch 3: .*learning_rate"
    ):
        mean_loss(lambda stft, pair: next(losses), batches, "epoch 1/2")


@pytest.mark.slow
def test_a_training_that_diverges_ends_and_keeps_the_last_good_epoch(
    caches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = tiny("skip_autoencoder", epochs=3)
    step = TrainStep.step

    def diverge(self: TrainStep, *arguments: object) -> float:
        loss = step(self, *arguments)  # type: ignore[arg-type]
        steps.append(loss)
        return np.nan if len(steps) == 12 else loss

    steps: list[float] = []
    monkeypatch.setattr(TrainStep, "step", diverge)
    with pytest.raises(TrainingError, match="epoch 2/3, batch 3"):
        train(params, caches, tmp_path / "state")
    state = json.loads((tmp_path / "state" / "state.json").read_text())
    assert [entry["epoch"] for entry in state["history"]] == [1]
    assert all(np.isfinite(w).all() for w in np.load(tmp_path / "state" / "last.npz").values())


def test_learning_rate_schedules() -> None:
    cosine = dataclasses.replace(
        COMMITTED.train, epochs=10, learning_rate=1.0, schedule="cosine", warmup_steps=0
    )
    rates = [learning_rates(cosine, epochs(*range(done)))[0] for done in range(10)]
    assert rates[0] == 1.0 and rates == sorted(rates, reverse=True) and rates[-1] < 0.1
    plateau = dataclasses.replace(cosine, schedule="plateau")
    assert learning_rates(plateau, epochs(4, 3, 2, 1))[0] == 1.0
    assert learning_rates(plateau, epochs(1, 2, 3, 4))[0] == 0.5
    assert learning_rates(plateau, epochs(4, 3.99999, 3.99998, 3.99997))[0] == 1.0


def test_learning_rate_warms_up_and_falls_within_an_epoch() -> None:
    params = dataclasses.replace(
        COMMITTED.train, epochs=2, learning_rate=1.0, schedule="cosine", warmup_steps=4
    )
    first = learning_rates(params, [], 40)
    assert first[0] == pytest.approx(0.25) and np.argmax(first) == 3
    last = learning_rates(params, epochs(1), 40)
    assert first[-1] > last[0] > last[-1] > 0


def test_missing_and_foreign_models_say_what_to_do(trained, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"No model at .*nothing.*dvc repro"):
        load_model(tmp_path / "nothing")
    model, config, _ = trained
    save_model(tmp_path / "model", model, config)
    weights = tmp_path / "model" / "weights.npz"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="does not fit"):
        load_model(tmp_path / "model")
    weights.write_bytes(b"")
    with pytest.raises(ModelError, match="does not fit"):
        load_model(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="is not the config of a model"):
        load_model(tmp_path / "model")
