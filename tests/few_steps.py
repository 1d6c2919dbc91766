"""Take a few steps of both trainings on made-up data; print what each gives, as JSON.

`tests/test_processors.py` runs this on several processors: `python -m tests.few_steps`.
"""

import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import stages  # sets what must be set before TensorFlow is imported
from denoise.network.determinism import make_deterministic
from denoise.params import Params, SpectrogramParams
from denoise.params_file import load_params

BATCH, N_FRAMES = 4, 21
N_SHARDS = 2
SPECTROGRAM = SpectrogramParams(n_fft=128, hop_length=64, win_length=128)
SAMPLE_RATE = 8000
NETWORK = {"channels": 8, "bottleneck_channels": 8, "subbands": 8, "dilations": (2,)}
RECOGNISER_CHANNELS = 8
RATE = 0.003
Results = dict[str, str]


def main() -> None:
    """Print a dictionary from the name of a result to its hash, in the order of computation."""
    make_deterministic(inter_op_threads=N_SHARDS)
    print(json.dumps({**denoiser_steps(), **recogniser_steps()}))


def digest(*arrays: Any) -> str:
    """Return a hash of arrays or of numbers."""
    import numpy as np

    return sha256(b"".join(np.asarray(array).tobytes() for array in arrays)).hexdigest()[:16]


def tiny_params(architecture: str = "skip_autoencoder", causal: bool = False) -> Params:
    """Return the committed params with a tiny network, whose spectrograms are small."""
    params = load_params(stages.ROOT / "params.yaml")
    network = replace(params.model.skip_autoencoder, **NETWORK, causal=causal)
    return replace(
        params,
        audio=replace(params.audio, sample_rate=SAMPLE_RATE),
        spectrogram=SPECTROGRAM,
        model=replace(params.model, architecture=architecture, skip_autoencoder=network),
    )


def tiny_training(params: Params, precision: str = "float32") -> tuple[Any, Any, Any]:
    """Return a TrainStep of the network of `tiny_params`, and a batch of noise.

    The batch is an STFT and its pair of spectrograms.
    """
    import numpy as np

    from denoise.network.architectures import build_model
    from denoise.training.augmentation import band_limit, mix_at_snr, random_eq
    from denoise.training.data import to_network_input
    from denoise.training.losses import loss_for
    from denoise.training.muon import build_optimizer
    from denoise.training.train_step import TrainStep

    model = build_model(params.model, SPECTROGRAM, SAMPLE_RATE, precision=precision)
    step = TrainStep(model, loss_for(params, 1.0), build_optimizer(params.train, model), N_SHARDS)
    rng = np.random.default_rng(1)
    shape = (2, 2, BATCH, N_FRAMES, SPECTROGRAM.n_bins)
    parts = rng.standard_normal(shape, np.float32) * rng.random(shape, np.float32)
    clean, noise = parts[0] + np.complex64(1j) * parts[1]
    clean = random_eq(clean, 6.0, rng)
    noisy = mix_at_snr(clean, noise, rng.uniform(-8, 10, BATCH).astype(np.float32))
    return step, *to_network_input(*band_limit(noisy, clean, 0.5, rng))


def denoiser_steps() -> Results:
    """Take a step with batch normalisation of each kind, and validate."""
    step, stft, pair = tiny_training(tiny_params())
    results = {"batch": digest(stft, pair[1]), "first weights": digest(*step.model.weights)}
    for name, is_frozen in (("first", False), ("second", False), ("frozen", True)):
        results[f"loss of the {name} step"] = digest(step.step(stft, pair, RATE, is_frozen))
        results[f"weights after the {name} step"] = digest(*step.state)
    results["validation loss"] = digest(step.loss(stft, pair))
    return results


def recogniser_steps() -> Results:
    """Train a recogniser for two steps of one epoch each, and validate after each."""
    import numpy as np

    from denoise.params import AudioParams
    from denoise.recogniser.data import DigitDataset
    from denoise.recogniser.model import RecogniserConfig
    from denoise.recogniser.train import train_recogniser

    config = RecogniserConfig(AudioParams(SAMPLE_RATE, 0.25), RECOGNISER_CHANNELS)
    recogniser = config.build_recogniser(1)
    rng = np.random.default_rng(2)
    shape = (1, 10, *recogniser.input_shape[1:])
    versions = rng.standard_normal(shape, np.float32).astype(np.float16)
    dataset = DigitDataset(versions, np.arange(10) % 10)
    train_recogniser(recogniser, dataset, dataset, [RATE, RATE], rng)
    return {"recogniser": digest(*recogniser.get_weights())}


if __name__ == "__main__":
    main()
