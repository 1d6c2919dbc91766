"""Simulate rooms by the image-source method (Allen & Berkley, JASA 65(4), 1979)."""

import math

import numpy as np
from numpy.random import Generator
from scipy.signal import butter, fftconvolve, sosfilt

from denoise.dsp.audio import Waveform

SPEED_OF_SOUND = 343.0  # m/s
SIZES_METRES = ((3.0, 8.0), (3.0, 6.0), (2.4, 3.5))  # length, width, height
REVERBERATION_SECONDS = (0.2, 0.8)  # time to fall by 60 dB
DISTANCES_METRES = (0.5, 2.5)  # from the speaker to the microphone
EARLY_SECONDS = 0.05
WALL_METRES = 0.4  # between a wall and the speaker or the microphone
SABINE = 0.161  # s/m
MIN_HZ = 100.0


def put_in_room(speech: Waveform, sample_rate: int, rng: Generator) -> tuple[Waveform, Waveform]:
    """Return speech, float32 [n_samples], with the early echoes and with all echoes of a room.

    The early ones, up to 50 ms, help the listener; a denoiser should keep them.
    """
    response = draw_room_response(sample_rate, rng)
    early = response[: round(EARLY_SECONDS * sample_rate)]
    with_early, with_all = (
        fftconvolve(speech, echoes)[: len(speech)].astype(np.float32)
        for echoes in (early, response)
    )
    return with_early, with_all


def draw_room_response(sample_rate: int, rng: Generator) -> Waveform:
    """Draw a room with a speaker and a microphone; the response begins with the direct sound, 1."""
    size = np.array([rng.uniform(*bounds) for bounds in SIZES_METRES])
    seconds = float(rng.uniform(*REVERBERATION_SECONDS))
    microphone = rng.uniform(WALL_METRES, size - WALL_METRES)
    direction = rng.standard_normal(3)
    direction *= rng.uniform(*DISTANCES_METRES) / np.linalg.norm(direction)
    speaker = np.clip(microphone + direction, WALL_METRES, size - WALL_METRES)
    if np.allclose(speaker, microphone):  # both were pushed into one corner
        speaker = size / 2
    return room_response(size, speaker, microphone, seconds, sample_rate)


def room_response(
    size: np.ndarray, speaker: np.ndarray, microphone: np.ndarray, seconds: float, sample_rate: int
) -> Waveform:
    """Return the impulse response of a box, its walls equal, without the delay of the direct sound.

    `size` and the positions are in metres, [3]. The absorption follows from the reverberation time
    by Sabine's formula. All images have the same sign, so that the many late ones add up below
    100 Hz; a high-pass filter removes this from the echoes, as the paper does.
    """
    surface = 2 * (size[0] * size[1] + size[1] * size[2] + size[2] * size[0])
    absorption = min(0.99, SABINE * float(np.prod(size)) / (seconds * surface))
    reach = SPEED_OF_SOUND * seconds
    offsets, reflections = zip(
        *(_image_offsets(*axis, reach) for axis in zip(size, speaker, microphone, strict=True)),
        strict=True,
    )
    squares = [np.square(offset) for offset in offsets]
    distance = np.sqrt(squares[0][:, None, None] + squares[1][:, None] + squares[2])
    count = reflections[0][:, None, None] + reflections[1][:, None] + reflections[2]
    direct = float(np.linalg.norm(speaker - microphone))
    amplitude = math.sqrt(1 - absorption) ** count * direct / distance
    index = np.rint((distance - direct) / SPEED_OF_SOUND * sample_rate).astype(int)
    n_samples = round(seconds * sample_rate)
    is_inside = index < n_samples
    echoes = np.bincount(index[is_inside], amplitude[is_inside], n_samples)
    echoes[0] -= 1
    response = sosfilt(butter(2, MIN_HZ, "highpass", fs=sample_rate, output="sos"), echoes)
    response[0] += 1
    return response.astype(np.float32)


def _image_offsets(
    size: float, speaker: float, microphone: float, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return where the images of the speaker are along one axis, and how often each reflects."""
    order = np.arange(-math.ceil(reach / (2 * size)), math.ceil(reach / (2 * size)) + 1)
    offsets = [2 * order * size + speaker - microphone, 2 * order * size - speaker - microphone]
    reflections = [2 * np.abs(order), np.abs(2 * order - 1)]
    return np.concatenate(offsets), np.concatenate(reflections)
