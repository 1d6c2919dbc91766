"""The channels of a result are those of the same speakers, in every format."""

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from denoise.inference.channel_order import name_speakers, needs_reordering
from denoise.inference.file_denoiser import Options, denoise_file
from denoise.inference.sound_encoder import SoundCodec, SoundEncoder
from tests.networks import RATE, gain_network

TONES = (300, 500, 700, 100, 1100, 1300, 1500, 1700)  # of each channel, in the order of WAV
# left, centre, right, side left, side right, back left, back right (or back), low frequencies
VORBIS = {
    3: (300, 700, 500),
    4: (300, 500, 700, 100),
    5: (300, 700, 500, 100, 1100),
    6: (300, 700, 500, 1100, 1300, 100),
    7: (300, 700, 500, 1300, 1500, 1100, 100),
    8: (300, 700, 500, 1500, 1700, 1100, 1300, 100),
}
SUBTYPES = {"wav": "PCM_16", "flac": "PCM_16", "aiff": "PCM_16", "ogg": "VORBIS", "opus": "OPUS"}
MASKS = {3: 0x7, 4: 0x33, 5: 0x37, 6: 0x3F, 7: 0x70F, 8: 0x63F}


def write_tones(path: Path, tones: tuple[int, ...], format: str | None = None) -> Path:
    times = np.arange(2 * RATE) / RATE
    samples = 0.2 * np.sin(2 * np.pi * np.outer(times, tones))
    extension = path.suffix[1:]
    file_format = format or {"opus": "OGG"}.get(extension, extension.upper())
    soundfile.write(path, samples, RATE, SUBTYPES[extension], format=file_format)
    return path


def read_samples(path: Path) -> np.ndarray:
    samples: np.ndarray = soundfile.read(path, dtype="float32", always_2d=True)[0]
    return samples


def read_tones(path: Path) -> tuple[int, ...]:
    samples = read_samples(path)[:RATE]
    return tuple(int(tone) for tone in np.abs(np.fft.rfft(samples, axis=0)).argmax(axis=0))


def read_mask(path: Path) -> int | None:
    """Return the speakers in the header of a WAV file, None if it states none."""
    head = path.read_bytes()[:200]
    at = head.index(b"fmt ")
    is_extended = head[at + 8 : at + 10] == b"\xfe\xff"
    return int.from_bytes(head[at + 28 : at + 32], "little") if is_extended else None


def convert(source: Path, name: str) -> Path:
    target = source.parent / name
    denoise_file(gain_network(1.0), source, target, Options(strength=0.0))
    return target


def in_order(extension: str, channels: int) -> tuple[int, ...]:
    return VORBIS[channels] if extension in ("ogg", "opus") else TONES[:channels]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("wav", "ogg"),
        ("flac", "opus"),
        ("ogg", "flac"),
        ("opus", "wav"),
        ("ogg", "ogg"),
        ("ogg", "opus"),
        ("wav", "aiff"),
    ],
)
@pytest.mark.parametrize("channels", VORBIS)
def test_each_channel_stays_with_its_speaker(
    source: str, target: str, channels: int, tmp_path: Path
) -> None:
    recording = write_tones(tmp_path / f"in.{source}", in_order(source, channels))
    assert read_tones(convert(recording, f"out.{target}")) == in_order(target, channels)


@pytest.mark.parametrize("channels", [1, 2])
def test_one_or_two_channels_stay_as_they_are(channels: int, tmp_path: Path) -> None:
    recording = write_tones(tmp_path / "in.wav", TONES[:channels])
    assert read_tones(convert(recording, "out.ogg")) == TONES[:channels]
    assert read_mask(convert(tmp_path / "out.ogg", "out.wav")) is None


def test_media_are_in_the_order_of_wav(tmp_path: Path) -> None:
    """PyAV gives all formats in this order, even Vorbis."""
    av = pytest.importorskip("av")
    source = tmp_path / "in.mka"
    plain = write_tones(tmp_path / "plain.wav", TONES[:6])
    samples = soundfile.read(plain, dtype="int16")[0]
    with av.open(str(source), "w") as file:
        stream = file.add_stream("flac", rate=RATE, layout="5.1", format="s16")
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", "5.1")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        for part in (frame, None):
            file.mux(stream.encode(part))
    assert read_tones(convert(source, "out.ogg")) == VORBIS[6]
    assert read_tones(convert(source, "out.wav")) == TONES[:6]
    assert read_mask(tmp_path / "out.wav") == MASKS[6]


@pytest.mark.parametrize("extension", ["flac", "ogg", "opus"])
@pytest.mark.parametrize("channels", VORBIS)
def test_a_wav_from_another_format_states_its_speakers(
    extension: str, channels: int, tmp_path: Path
) -> None:
    recording = write_tones(tmp_path / f"in.{extension}", in_order(extension, channels))
    assert read_mask(convert(recording, "out.wav")) == MASKS[channels]


@pytest.mark.parametrize("mask", [0x3F, 0x60F])
def test_a_wav_keeps_its_speakers(mask: int, tmp_path: Path) -> None:
    plain = write_tones(tmp_path / "plain.wav", TONES[:6])
    assert read_mask(convert(plain, "still.wav")) is None
    recording = write_tones(tmp_path / "in.wav", TONES[:6], "WAVEX")
    encoded = bytearray(recording.read_bytes())
    at = encoded.index(b"fmt ") + 28
    encoded[at : at + 4] = mask.to_bytes(4, "little")
    recording.write_bytes(encoded)
    assert read_mask(convert(recording, "out.wav")) == mask
    assert read_tones(tmp_path / "out.wav") == TONES[:6]


@pytest.mark.parametrize("channels", [6, 8])
def test_the_sound_of_a_video_is_encoded_with_all_channels(channels: int, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    samples = read_samples(write_tones(tmp_path / "in.wav", TONES[:channels]))
    layout, path = {6: "5.1", 8: "7.1"}[channels], tmp_path / "out.flac"
    choice = SoundCodec("flac", "flac", RATE, "s16", layout, None)
    with av.open(str(path), "w") as file:
        encoder = SoundEncoder(av, file, choice, RATE, 0.0)
        for start in range(0, len(samples), 5000):
            for packet in encoder.encode(samples[start : start + 5000]):
                file.mux(packet)
        for packet in encoder.encode(samples[:0], is_last=True):
            file.mux(packet)
    np.testing.assert_allclose(read_samples(path), samples, atol=2**-14)


def test_speakers_that_wav_cannot_state_are_unknown() -> None:
    assert name_speakers(["FL", "FR", "FC", "LFE", "BL", "BR"]) == 0x3F
    for names in (["FL", "FR"], ["NONE"] * 6, ["FL", "FR", "WL", "WR"], ["FL", "FC", "FR"]):
        assert name_speakers(names) == 0


@pytest.mark.parametrize(("family", "expected"), [(0, False), (1, True), (255, False)])
def test_numbered_channels_of_opus_are_not_reordered(family: int, expected: bool) -> None:
    head = b"OpusHead\x01\x06" + bytes(8) + bytes([family])
    assert needs_reordering("OPUS", io.BytesIO(b"OggS" + bytes(40) + head)) is expected
    assert not needs_reordering("OPUS", io.BytesIO(b"OggS"))
    assert not needs_reordering("PCM_16", io.BytesIO(head))
