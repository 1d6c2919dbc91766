"""Speech-like waveforms for tests: harmonics, formants, syllables and pauses."""

import numpy as np

SAMPLE_RATE = 22_050


def voice(seed: int = 0, seconds: float = 1.0, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Return float32 [n_samples] with an RMS of 0.05, silent in the first and the last fifth."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    pitch = rng.uniform(100, 220) * (1 + 0.1 * np.sin(2 * np.pi * 1.5 * time))
    angle = 2 * np.pi * np.cumsum(pitch) / sample_rate
    formants = rng.uniform((300, 1200, 2300), (800, 2000, 3000))
    harmonics = sum(
        np.exp(-(((number * 160 - formant) / 200) ** 2)) * np.sin(number * angle)
        for number in range(1, 25)
        for formant in formants
    )
    syllables = np.clip(np.sin(2 * np.pi * (time / seconds - 0.2) / 0.4), 0, None) ** 0.5
    inside = (time > 0.2 * seconds) & (time < 0.8 * seconds)
    speech = harmonics * (syllables + 0.3) * inside
    return (0.05 * speech / np.sqrt(np.mean(speech**2))).astype(np.float32)


def white(clean: np.ndarray, snr_db: float, seed: int = 1) -> np.ndarray:
    """Return float32 white noise of the shape of `clean`, at an SNR of `snr_db`."""
    noise = np.random.default_rng(seed).standard_normal(len(clean))
    noise_rms = np.sqrt(np.mean(np.square(clean, dtype=np.float64))) * 10 ** (-snr_db / 20)
    return (noise_rms * noise).astype(np.float32)
