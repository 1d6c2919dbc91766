"""Decoding audio: every format gives the same clip, and broken files give errors."""

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoise.dsp.audio import (
    MAX_AMPLITUDE,
    MAX_CHANNELS,
    SILENCE_RMS,
    change_speed,
    decode,
    fit_length,
    is_silent,
    load_clip,
    load_utterance,
    out_of_range,
    remove_dc,
    resample,
    rms,
)
from denoise.errors import AudioError
from denoise.params import AudioParams
from tests.corpora import encode, noise_waveform

PARAMS = AudioParams(sample_rate=8000, duration_seconds=0.5)
LOSSLESS = [
    ("WAV", "PCM_U8", 2**-6),
    ("WAV", "PCM_16", 2**-14),
    ("WAV", "PCM_24", 2**-22),
    ("WAV", "FLOAT", 0),
    ("WAV", "DOUBLE", 0),
    ("FLAC", "PCM_16", 2**-14),
    ("FLAC", "PCM_24", 2**-22),
    ("AIFF", "PCM_16", 2**-14),
    ("NIST", "PCM_16", 2**-14),
]
FORMATS = [*[(file_format, subtype) for file_format, subtype, _ in LOSSLESS], ("OGG", "VORBIS")]


def tone(hertz: float, seconds: float, sample_rate: int, channels: int = 1) -> np.ndarray:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return np.tile(0.5 * np.sin(2 * np.pi * hertz * time)[:, None], channels)


def pitch_of(waveform: np.ndarray, sample_rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return float(spectrum.argmax()) * sample_rate / len(waveform)


def error_of(content: bytes, max_seconds: float = 60.0) -> str:
    with pytest.raises(AudioError) as raised:
        decode(content, max_seconds)
    return str(raised.value)


def encode_flac_with_length(n_samples: int, waveform: np.ndarray) -> bytes:
    """Return FLAC with `n_samples` in its header: the last 36 of the 64 bits from byte 18 on."""
    content = encode(waveform, "FLAC")
    other_bits = int.from_bytes(content[18:26], "big") >> 36
    return content[:18] + (other_bits << 36 | n_samples).to_bytes(8, "big") + content[26:]


@pytest.mark.parametrize(("file_format", "subtype", "quantum"), LOSSLESS)
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_lossless_formats_are_decoded_exactly(
    file_format: str, subtype: str, quantum: float, channels: int
) -> None:
    original = noise_waveform(1, channels=channels).astype(np.float32)
    waveform, sample_rate = decode(encode(original, file_format, subtype, 11_025))
    assert (waveform.dtype, waveform.shape, sample_rate) == (np.float32, original.shape, 11_025)
    assert np.abs(waveform - original).max() <= quantum


@pytest.mark.parametrize(("file_format", "subtype"), FORMATS)
@pytest.mark.parametrize(("sample_rate", "channels"), [(8000, 1), (22_050, 2), (48_000, 3)])
def test_a_clip_has_the_same_rate_length_and_type_from_any_format(
    file_format: str, subtype: str, sample_rate: int, channels: int
) -> None:
    recording = tone(440, 0.8, sample_rate, channels) + 0.2
    clip = load_clip(encode(recording, file_format, subtype, sample_rate), PARAMS)
    assert (clip.dtype, clip.shape) == (np.float32, (4000,))
    assert abs(pitch_of(clip, 8000) - 440) <= 2
    assert rms(clip) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_channels_are_averaged() -> None:
    left, right = tone(440, 0.5, 8000), tone(1000, 0.5, 8000)
    clip = load_clip(encode(np.hstack([left, right]), subtype="FLOAT"), PARAMS)
    np.testing.assert_allclose(clip, ((left + right) / 2)[:, 0], atol=1e-6)


@pytest.mark.parametrize("offset", [-0.45, 0.01, 0.45])
def test_the_dc_offset_is_removed_before_padding_and_cropping(offset: float) -> None:
    short = 0.05 * tone(440, 0.25, 8000)
    clip = load_clip(encode(short + offset, subtype="FLOAT"), PARAMS)
    np.testing.assert_allclose(clip[1000:3000], short[:, 0], atol=1e-6)
    assert not clip[:1000].any() and not clip[3000:].any()


@given(offset=st.floats(-10, 10), seed=st.integers(0, 99), n_samples=st.integers(1, 999))
def test_without_dc_the_mean_is_zero(offset: float, seed: int, n_samples: int) -> None:
    waveform = np.random.default_rng(seed).standard_normal(n_samples).astype(np.float32)
    centred = remove_dc(waveform + np.float32(offset))
    assert abs(centred.mean(dtype=np.float64)) < 1e-6
    np.testing.assert_allclose(centred, waveform - waveform.mean(), atol=1e-5)


@given(
    waveform=st.lists(st.floats(-1, 1, width=16), min_size=1, max_size=40),
    n_samples=st.integers(1, 60),
)
def test_a_clip_is_padded_evenly_or_cropped_to_the_most_energy(
    waveform: list[float], n_samples: int
) -> None:
    original = np.array(waveform, np.float32)
    fitted = fit_length(original, n_samples)
    assert fitted.shape == (n_samples,)
    missing = n_samples - len(original)
    if missing >= 0:
        before = missing // 2
        np.testing.assert_array_equal(fitted[before : before + len(original)], original)
        assert not fitted[:before].any() and not fitted[before + len(original) :].any()
    else:
        starts = range(1 - missing)
        windows = [original[start : start + n_samples] for start in starts]
        assert any(np.array_equal(fitted, window) for window in windows)
        assert rms(fitted) == pytest.approx(max(map(rms, windows)), abs=1e-9)


@given(before=st.integers(0, 900), n_speech=st.integers(1, 300), after=st.integers(0, 900))
def test_cropping_keeps_the_speech(before: int, n_speech: int, after: int) -> None:
    speech = np.random.default_rng(n_speech).uniform(0.2, 0.5, n_speech).astype(np.float32)
    room_noise = 0.001 * np.random.default_rng(before).standard_normal(before + n_speech + after)
    room_noise[before : before + n_speech] = 0
    recording = (room_noise + np.pad(speech, (before, after))).astype(np.float32)
    fitted = fit_length(recording, 301)
    assert np.isin(speech, fitted).all()


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_changing_the_speed_changes_pitch_and_duration(speed: float) -> None:
    changed = change_speed(tone(1000, 0.5, 22_050)[:, 0], speed, 22_050)
    assert len(changed) == pytest.approx(0.5 * 22_050 / speed, abs=1)
    spectrum = np.abs(np.fft.rfft(changed * np.hanning(len(changed))))
    loudest = np.fft.rfftfreq(len(changed), 1 / 22_050)[np.argmax(spectrum)]
    assert loudest == pytest.approx(1000 * speed, abs=3)


@pytest.mark.parametrize(("from_rate", "to_rate"), [(44_100, 22_050), (8000, 22_050)])
def test_resampling_keeps_pitch_level_and_duration(from_rate: int, to_rate: int) -> None:
    before, expected = (tone(1000, 0.5, rate)[:, 0] for rate in (from_rate, to_rate))
    after = resample(before.astype(np.float32), from_rate, to_rate)
    assert after.dtype == np.float32
    assert len(after) == len(expected)
    inner = slice(to_rate // 20, -to_rate // 20)
    np.testing.assert_allclose(after[inner], expected[inner], atol=1e-3)


def test_a_file_object_a_path_and_bytes_give_the_same_waveform(tmp_path: Path) -> None:
    content = encode(noise_waveform(3), "FLAC")
    (tmp_path / "clip").write_bytes(content)
    for source in (io.BytesIO(content), tmp_path / "clip", str(tmp_path / "clip")):
        np.testing.assert_array_equal(decode(source)[0], decode(content)[0])


@pytest.mark.parametrize(
    "content", [b"", b"RIFF", b"\0" * 5000, b"<html>503</html>", bytes(range(256)) * 40]
)
def test_bytes_that_are_not_audio_are_an_error(content: bytes) -> None:
    assert "no audio that can be read" in error_of(content)


@pytest.mark.parametrize("file_format", ["WAV", "AIFF", "OGG"])
def test_a_file_without_samples_is_an_error(file_format: str) -> None:
    content = encode(np.empty((0, 1)), file_format, "VORBIS" if file_format == "OGG" else "PCM_16")
    assert "no samples" in error_of(content)


@pytest.mark.parametrize(("file_format", "subtype"), FORMATS)
@given(fraction=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_an_error_or_a_shorter_waveform(
    file_format: str, subtype: str, fraction: float
) -> None:
    content = encode(noise_waveform(4), file_format, subtype)
    complete, _ = decode(content)
    try:
        waveform, _ = decode(content[: int(fraction * len(content))])
    except AudioError:
        return
    assert file_format != "FLAC"  # it stores its length and has checksums
    np.testing.assert_array_equal(waveform, complete[: len(waveform)])


@pytest.mark.parametrize(("file_format", "subtype"), FORMATS)
@given(
    position=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255), seed=st.integers(0, 9)
)
def test_a_changed_byte_gives_an_error_or_a_valid_clip(
    file_format: str, subtype: str, position: float, value: int, seed: int
) -> None:
    content = bytearray(encode(noise_waveform(seed, 0.02), file_format, subtype))
    content[int(position * min(len(content), 200))] = value
    try:
        clip = load_clip(bytes(content), PARAMS)
    except AudioError:
        return
    assert clip.shape == (4000,)
    assert np.isfinite(clip).all() and rms(clip) > 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_samples_that_are_not_finite_are_an_error(bad: float, subtype: str) -> None:
    waveform = noise_waveform(5)
    waveform[700] = bad
    assert "not finite" in error_of(encode(waveform, subtype=subtype))


@pytest.mark.parametrize("sign", [-1, 1])
def test_samples_beyond_the_maximum_amplitude_are_an_error(sign: int) -> None:
    waveform = noise_waveform(5, channels=2)
    waveform[70] = sign * 1.01 * MAX_AMPLITUDE
    assert "1e+10" in error_of(encode(waveform, subtype="FLOAT"))
    waveform[70] = sign * 0.99 * MAX_AMPLITUDE
    assert np.isfinite(load_clip(encode(waveform, subtype="FLOAT"), PARAMS)).all()


@pytest.mark.parametrize("claimed", [0, 2**36 - 1, 10**6])
def test_the_length_in_a_flac_header_is_ignored(claimed: int) -> None:
    waveform = noise_waveform(6, 1.7)
    content = encode_flac_with_length(claimed, waveform)
    tracemalloc.start()
    decoded, _ = decode(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(decoded, waveform, atol=2**-14)
    assert peak < 4_000_000


@pytest.mark.parametrize("file_format", ["WAV", "FLAC"])
def test_too_long_audio_is_an_error_before_all_of_it_is_in_memory(file_format: str) -> None:
    content = encode(np.zeros((2_000_000, 1)), file_format)
    tracemalloc.start()
    assert error_of(content, max_seconds=5) == "It is longer than 5 s."
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000 + (len(content) if file_format == "WAV" else 0)


def test_audio_of_the_maximum_length_is_decoded() -> None:
    assert len(decode(encode(noise_waveform(7, 0.5)), max_seconds=0.5)[0]) == 4000
    assert "longer than 0.5 s" in error_of(encode(noise_waveform(7, 4001 / 8000)), 0.5)


@pytest.mark.parametrize("sample_rate", [1, 3999, 192_001])
def test_the_error_for_an_unsupported_sample_rate_has_the_range(sample_rate: int) -> None:
    error = error_of(encode(noise_waveform(8), sample_rate=sample_rate))
    assert f"{sample_rate} Hz" in error and "4000 to 192000" in error


def test_the_error_for_too_many_channels_has_their_number() -> None:
    error = error_of(encode(noise_waveform(8, channels=9)))
    assert "9 channels are not supported, only 1 to 8." in error


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((4000, 1), None),
        ((192_000, MAX_CHANNELS), None),
        ((3999, 9), (4000, 3999)),
        ((192_001, 1), (192_000, 192_001)),
        ((8000, 0), (1, 0)),
        ((8000, MAX_CHANNELS + 1), (MAX_CHANNELS, MAX_CHANNELS + 1)),
        ((8000, 3, 2), (2, 3)),
    ],
)
def test_an_unsupported_format_names_the_bound_and_the_value(
    arguments: tuple[int, ...], expected: tuple[int, int] | None
) -> None:
    excess = out_of_range(*arguments)
    assert (excess and excess[1:]) == expected


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_the_error_for_a_silent_recording_has_its_rms(offset: float) -> None:
    quiet = 1.9 * SILENCE_RMS * tone(440, 0.5, 8000) + offset
    with pytest.raises(AudioError, match=r"It is silent: its RMS, 6\.7e-05, is below 1e-04"):
        load_clip(encode(quiet, subtype="FLOAT"), PARAMS)


def test_a_recording_that_is_too_short_for_one_sample_is_an_error() -> None:
    with pytest.raises(AudioError, match="no samples"):
        load_utterance(encode(np.ones((1, 1)), sample_rate=48_000), PARAMS)


def test_a_quiet_recording_is_not_silent() -> None:
    clip = load_clip(encode(4 * SILENCE_RMS * tone(440, 0.5, 8000), subtype="FLOAT"), PARAMS)
    assert not is_silent(clip)
    assert is_silent(clip / np.float32(2))


def test_channels_in_opposite_phase_are_silent() -> None:
    left = tone(440, 0.5, 8000)
    with pytest.raises(AudioError, match="silent"):
        load_clip(encode(np.hstack([left, -left])), PARAMS)


@given(amplitude=st.floats(1e-6, 1e6), n_samples=st.integers(1, 500))
def test_the_rms_of_a_square_wave_is_its_amplitude(amplitude: float, n_samples: int) -> None:
    wave = np.float32(amplitude) * (-1) ** np.arange(n_samples, dtype=np.float32)
    assert rms(wave.astype(np.float32)) == pytest.approx(amplitude, rel=1e-6)


def test_sphere_compressed_by_shorten_is_named_as_such(tmp_path: Path) -> None:
    sphere = encode(tone(440, 0.5, 8000), "NIST")
    content = sphere.replace(b"-s3 pcm", b"-s26 pcm,embedded-shorten-v2.00", 1)
    path = tmp_path / "x.sph"
    path.write_bytes(content)
    for source in (content, io.BytesIO(content), path, str(path)):
        with pytest.raises(AudioError, match="compressed by Shorten"):
            decode(source)
    other = sphere.replace(b"-s3 pcm", b"-s4 mu-l", 1)
    with pytest.raises(AudioError) as raised:
        decode(other)
    assert "Shorten" not in str(raised.value)


def test_a_path_that_cannot_be_opened_is_no_audio(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.wav", tmp_path):
        with pytest.raises(AudioError, match="no audio"):
            decode(path)
