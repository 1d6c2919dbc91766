"""All that a file holds is read: streams that were joined, and lengths that a header hides."""

import io
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from denoise.containers import chunk_sizes, decoding
from denoise.containers.decoding import decode_mono_blocks, read_part, trim
from denoise.containers.mpeg_audio import find_streams, parse_header
from denoise.containers.part_file import Part, PartFile
from denoise.containers.recording_parts import MAX_OGG_GAPS, find_parts, ogg_pages
from denoise.errors import AudioError, DenoiseError
from denoise.inference import reader
from denoise.inference.audio_io import AudioFormat, Encoding, can_write, writing
from denoise.inference.file_denoiser import denoise_file
from denoise.inference.reader import reading
from tests.networks import gain_network

ID3V1 = b"TAG" + b" " * 125
N = 20_011  # odd, and a multiple of no block
RATE = 16_000
NOT_EXACT = {  # libsndfile writes no length that could be read
    ("AIFF", "IMA_ADPCM"),
    ("AU", "G721_32"),
    ("AU", "G723_24"),
    ("AU", "G723_40"),
    ("PAF", "PCM_24"),
    ("VOC", "ALAW"),
    ("VOC", "ULAW"),
    ("W64", "GSM610"),
    ("W64", "IMA_ADPCM"),
    ("W64", "MS_ADPCM"),
}
WRITTEN_BY_US = {("WAV", "IMA_ADPCM")}  # a length that libsndfile writes wrong
WRITTEN_BY_US |= {("AIFF", code) for code in ("PCM_S8", "PCM_U8", "ULAW", "ALAW")}
UNREADABLE = {("AIFF", "DWVW_12"), ("MP3", "MPEG_LAYER_I"), ("MP3", "MPEG_LAYER_II")}
UNREADABLE |= {("WAV", "MPEG_LAYER_III")}
KINDS = sorted(
    {(name, subtype) for name in soundfile.available_formats() if name != "RAW"
     for subtype in soundfile.available_subtypes(name)} - UNREADABLE
)  # fmt: skip


def make_speech(n_samples: int = N, channels: int = 1, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    tone = 0.3 * np.sin(2 * np.pi * 300 * np.arange(n_samples) / RATE)
    noisy = tone[:, None] + 0.02 * rng.standard_normal((n_samples, channels))
    return noisy.astype(np.float32)


def encode(name: str, subtype: str, samples: np.ndarray | None = None) -> bytes:
    file = io.BytesIO()
    samples = make_speech() if samples is None else samples
    soundfile.write(file, samples, RATE, subtype=subtype, format=name)
    return file.getvalue()


def encode_mp3(
    mode: str, seed: int = 0, n_samples: int = N, samples: np.ndarray | None = None
) -> bytes:
    file = io.BytesIO()
    settings = {"bitrate_mode": mode, "compression_level": 0.5}
    with soundfile.SoundFile(file, "w", RATE, 1, "MPEG_LAYER_III", format="MP3", **settings) as mp3:
        mp3.write(make_speech(n_samples, seed=seed) if samples is None else samples)
    return file.getvalue()


def read_all(path: Path) -> np.ndarray:
    with reading(path) as source:
        return np.concatenate(list(source.blocks()))


def read_bytes(folder: Path, encoded: bytes, name: str = "in") -> np.ndarray:
    path = folder / name
    path.write_bytes(encoded)
    return read_all(path)


@pytest.mark.parametrize(("name", "subtype"), KINDS)
def test_a_recording_comes_back_whole(name: str, subtype: str, tmp_path: Path) -> None:
    source = tmp_path / "in"
    try:
        soundfile.write(source, make_speech(), RATE, subtype=subtype, format=name)
    except soundfile.LibsndfileError:
        pytest.skip("libsndfile does not write this")
    if (name, subtype) not in WRITTEN_BY_US | NOT_EXACT:
        assert len(read_all(source)) == N
    assert 0 <= len(read_all(source)) - N < 512


@pytest.mark.parametrize(("name", "subtype"), sorted(WRITTEN_BY_US))
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_result_says_its_exact_length(
    name: str, subtype: str, channels: int, tmp_path: Path
) -> None:
    target, samples = tmp_path / "out", make_speech(channels=channels)
    encoding = Encoding(name, subtype)
    if not can_write(AudioFormat(RATE, channels), encoding):
        pytest.skip("libsndfile does not write this")
    with writing(target, AudioFormat(RATE, channels), encoding) as sink:
        sink.write(samples)
    assert read_all(target).shape == samples.shape


@pytest.mark.parametrize(
    ("name", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("FLAC", "PCM_16")]
)
def test_joined_recordings_come_back_as_all_of_them(
    name: str, subtype: str, tmp_path: Path
) -> None:
    parts = [encode(name, subtype, make_speech(N, seed=seed)) for seed in range(3)]
    separate = np.concatenate([read_bytes(tmp_path, part) for part in parts])
    joined = read_bytes(tmp_path, b"".join(parts))
    assert len(joined) == 3 * N
    np.testing.assert_array_equal(joined, separate)


@pytest.mark.parametrize("mode", ["CONSTANT", "AVERAGE", "VARIABLE"])
@pytest.mark.parametrize("between", [b"", ID3V1, b"ID3\x04\0\0\0\0\x01\0" + b"\0" * 128])
def test_joined_mp3_files_come_back_as_all_of_them(
    mode: str, between: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    parts = [encode_mp3(mode, seed) for seed in range(3)]
    separate = np.concatenate([read_bytes(tmp_path, part) for part in parts])
    joined = read_bytes(tmp_path, between.join(parts))
    assert len(joined) == 3 * N
    np.testing.assert_array_equal(joined, separate)
    assert capfd.readouterr() == ("", "")


def without_first_frame(mp3: bytes) -> bytes:
    """Return an MP3 file without the frame that counts the others."""
    head = parse_header(mp3[:4])
    assert head is not None
    return mp3[head.n_bytes :]


def test_the_header_of_a_later_mp3_part_is_corrected_too(tmp_path: Path) -> None:
    """The second header counts the frames of its own recording, and a third one has none."""
    first, second, third = (encode_mp3("CONSTANT", seed, 4 * N) for seed in range(3))
    joined = read_bytes(tmp_path, first + second + without_first_frame(third))
    assert len(joined) > 12 * N
    separate = read_bytes(tmp_path, second + without_first_frame(third))
    np.testing.assert_array_equal(joined[4 * N :], separate)


def flac_without_comments(samples: np.ndarray) -> bytes:
    """Return a FLAC file whose only block of metadata is STREAMINFO, which is thus the last one."""
    encoded = encode("FLAC", "PCM_16", samples)
    at, is_last = 4, False
    while not is_last:
        is_last = bool(encoded[at] & 0x80)
        at += 4 + int.from_bytes(encoded[at + 1 : at + 4], "big")
    return b"fLaC\x80" + encoded[5:42] + encoded[at:]


@pytest.mark.parametrize("stripped", ["first", "second", "both"])
def test_joined_flac_files_without_comments_come_back_as_all_of_them(
    stripped: str, tmp_path: Path
) -> None:
    samples = [make_speech(seed=seed) for seed in range(2)]
    first, second = (
        flac_without_comments(each)
        if stripped in (name, "both")
        else encode("FLAC", "PCM_16", each)
        for name, each in zip(("first", "second"), samples, strict=True)
    )
    joined = read_bytes(tmp_path, first + second)
    np.testing.assert_allclose(joined, np.concatenate(samples), atol=1e-4)


def test_flac_in_the_metadata_of_flac_is_no_recording(tmp_path: Path) -> None:
    inner, outer = encode("FLAC", "PCM_16", make_speech(seed=1)), encode("FLAC", "PCM_16")
    block = b"\x02" + (4 + len(inner)).to_bytes(3, "big") + b"test" + inner  # for an application
    np.testing.assert_array_equal(
        read_bytes(tmp_path, outer[:42] + block + outer[42:]), read_bytes(tmp_path, outer)
    )


def test_the_result_of_joined_recordings_has_all_of_them(tmp_path: Path) -> None:
    source, target = tmp_path / "two.mp3", tmp_path / "out.mp3"
    source.write_bytes(encode_mp3("VARIABLE", 0) + encode_mp3("VARIABLE", 1))
    report = denoise_file(gain_network(0.5), source, target)
    assert report.n_samples == len(read_all(target)) == 2 * N


def test_joined_recordings_that_differ_are_refused(tmp_path: Path) -> None:
    encoded = encode("OGG", "VORBIS") + encode("OGG", "VORBIS", make_speech(N, channels=2))
    with pytest.raises(AudioError, match=r"16000 Hz with 1 channel\(s\), then 16000 Hz with 2"):
        read_bytes(tmp_path, encoded)


@pytest.mark.parametrize("told", [1, 40, 100])
def test_an_mp3_whose_header_ends_it_early_is_read_to_its_end(told: int, tmp_path: Path) -> None:
    """The header in the first frame counts frames, and libmpg123 stops there."""
    encoded = bytearray(encode_mp3("CONSTANT", n_samples=4 * N))
    whole = read_bytes(tmp_path, bytes(encoded))
    at = encoded.index(b"Info")
    flags, n_frames = struct.unpack(">II", encoded[at + 4 : at + 12])
    assert flags & 1 and n_frames > 100
    encoded[at + 8 : at + 12] = struct.pack(">I", told)
    np.testing.assert_array_equal(read_bytes(tmp_path, bytes(encoded)), whole)


@pytest.mark.parametrize("is_cut", [True, False])
def test_the_length_of_an_mp3_is_counted_where_its_header_is_wrong(
    is_cut: bool, tmp_path: Path
) -> None:
    """Otherwise the bit rate of the result is too low by the same factor."""
    path, n_samples = tmp_path / "in.mp3", 16 * N
    if is_cut:
        encoded = encode_mp3("CONSTANT", n_samples=n_samples)
        encoded = encoded[: len(encoded) // 4]
    else:  # libmpg123 guesses from the first frame, which is small
        samples = make_speech(n_samples)
        samples[:N] = 0
        encoded = encode_mp3("VARIABLE", samples=samples)
        head = parse_header(encoded[:4])
        assert head is not None and b"Xing" in encoded[: head.n_bytes]
        encoded = encoded[head.n_bytes :]
    path.write_bytes(encoded)
    n_read = len(read_all(path))
    with reading(path) as source:
        assert source.declared_samples == pytest.approx(n_read, abs=5 * 576)
        bit_rate = 8 * len(encoded) * RATE / n_read
        assert source.encoding.bit_rate == pytest.approx(bit_rate, rel=0.1)


def test_a_decoder_that_stops_early_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_half(sound: soundfile.SoundFile) -> Iterator[np.ndarray]:
        yield sound.read(N // 2, dtype="float32", always_2d=True)

    monkeypatch.setattr(decoding, "read_blocks", read_half)
    for encoded in (encode_mp3("VARIABLE"), encode("OGG", "VORBIS")):
        with pytest.raises(
            AudioError, match=r"damaged: 0\.6 s of at least 1\.[12] s can be decoded"
        ):
            read_bytes(tmp_path, encoded)


@pytest.mark.parametrize("size", [2, 100, 4097, N])
def test_a_wav_with_a_size_that_is_too_small_is_read_to_its_end(size: int, tmp_path: Path) -> None:
    encoded = bytearray(encode("WAV", "PCM_16", np.full((N, 1), -0.01, np.float32)))
    encoded[40:44] = struct.pack("<I", size)
    assert len(read_bytes(tmp_path, bytes(encoded))) == N
    encoded[4:8] = struct.pack("<I", 36 + size)  # now all that follows is junk behind the file
    assert len(read_bytes(tmp_path, bytes(encoded))) == size // 2


@pytest.mark.parametrize(("name", "field", "size"), [("AIFF", b"SSND", 8), ("AU", b".snd", 0)])
def test_an_aiff_or_au_file_that_was_never_closed_is_read_to_its_end(
    name: str, field: bytes, size: int, tmp_path: Path
) -> None:
    encoded = bytearray(encode(name, "PCM_16"))
    at = encoded.index(field) + (4 if name == "AIFF" else 8)
    encoded[at : at + 4] = struct.pack(">I", size)
    if name == "AIFF":
        at = encoded.index(b"COMM") + 10
        encoded[at : at + 4] = bytes(4)
    if encoded[4:8] == bytes(4):
        pytest.skip("little-endian AU")
    assert len(read_bytes(tmp_path, bytes(encoded))) == N


def test_a_lost_page_of_ogg_is_an_error(tmp_path: Path) -> None:
    encoded = bytearray(encode("OGG", "VORBIS", make_speech(10 * RATE)))
    middle = len(encoded) // 2
    encoded[middle : middle + 64] = bytes(64)
    with pytest.raises(AudioError, match=r"damaged: [89]\.\d s of at least 9\.9 s"):
        read_bytes(tmp_path, bytes(encoded))


@pytest.mark.parametrize("name", ["FLAC", "MP3"])
def test_damage_is_an_error_that_says_where(name: str, tmp_path: Path) -> None:
    samples = make_speech(10 * RATE)
    encoded = bytearray(encode("FLAC", "PCM_16", samples) if name == "FLAC" else
                        encode_mp3("VARIABLE", n_samples=10 * RATE))  # fmt: skip
    middle = len(encoded) // 2
    encoded[middle : middle + 2000] = bytes(2000)
    with pytest.raises(AudioError, match=r"damaged: it cannot be decoded from \d\.\d s on"):
        read_bytes(tmp_path, bytes(encoded))


def test_an_id3_tag_behind_flac_is_no_damage(tmp_path: Path) -> None:
    assert len(read_bytes(tmp_path, encode("FLAC", "PCM_16") + ID3V1)) == N


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF])
@pytest.mark.parametrize("riff_size", [None, 0, 0xFFFFFFFF])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_wav_that_was_never_closed_is_read_to_its_end(
    size: int, riff_size: int | None, subtype: str, tmp_path: Path
) -> None:
    encoded = bytearray(encode("WAV", subtype))
    whole = read_bytes(tmp_path, bytes(encoded))
    at = encoded.index(b"data") + 4
    del encoded[at + 4 + N * whole.itemsize :]  # what follows the audio
    encoded[at : at + 4] = struct.pack("<I", size)
    if riff_size is not None:
        encoded[4:8] = struct.pack("<I", riff_size)
    n_samples = len(read_bytes(tmp_path, bytes(encoded)))
    assert n_samples in (N, N + 1)  # a chunk that follows floats of an odd size


def make_wav(said: int, audio: bytes, trailing: bytes = b"") -> bytes:
    """Return a mono WAV file of 16 bits with tags, whose header says `said` bytes of audio."""
    tags = b"LIST" + struct.pack("<I", 18) + b"INFOINAM" + struct.pack("<I", 6) + b"Title\0"
    fmt = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    start = b"RIFF" + struct.pack("<I", said) + b"WAVE"
    return start + fmt + tags + b"data" + struct.pack("<I", said) + audio + trailing


@pytest.mark.parametrize("trailing", [b"", b"junk\x04\0\0\0abcd", b"junk\x1c\0\0\0" + bytes(28)])
@pytest.mark.parametrize("kind", ["zero", "largest", "last bits"])
def test_a_wav_longer_than_its_size_can_say_is_read_to_its_end(
    kind: str, trailing: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest size of a chunk is a stand-in, since 4 GiB take long to read."""
    largest = 2**15 - 1
    monkeypatch.setattr(chunk_sizes, "MAX_SIZE", largest)
    monkeypatch.setattr(chunk_sizes, "MAX_TRAILER_BYTES", 1000)
    audio = (make_speech() * 32_767).astype("<i2")
    said = {"zero": 0, "largest": largest, "last bits": audio.nbytes % (largest + 1)}[kind]
    path = tmp_path / "in.wav"
    path.write_bytes(make_wav(said, audio.tobytes(), trailing if kind == "last bits" else b""))
    with reading(path) as source:
        assert source.declared_samples == N
        assert source.tags["title"] == "Title"
    np.testing.assert_array_equal(read_all(path)[:, 0] * np.float32(2**15), audio[:, 0])


@pytest.mark.parametrize("said", [0, 2**32 - 1, (5 * 2**30) % 2**32])
def test_five_gibibytes_of_wav_are_declared(said: int, tmp_path: Path) -> None:
    path = tmp_path / "in.wav"
    header = make_wav(said, b"")
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + 5 * 2**30)  # a sparse file
    with reading(path) as source:
        assert source.declared_samples == 5 * 2**29
        assert source.encoding == Encoding("RF64", "PCM_16")


def test_sizes_that_a_format_cannot_hold_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_sizes, "MAX_SIZE", 10_000)
    big_endian = bytearray(soundfile_bytes("WAV", endian="BIG"))
    at = big_endian.index(b"data") + 4
    big_endian[at : at + 4] = bytes(4)
    aiff = bytearray(soundfile_bytes("AIFF"))
    at = aiff.index(b"SSND") + 4
    aiff[at : at + 4] = (8).to_bytes(4, "big")
    for encoded in (big_endian, aiff):
        with pytest.raises(AudioError, match="longer than its header can say"):
            read_bytes(tmp_path, bytes(encoded))


def soundfile_bytes(name: str, endian: str = "FILE") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, make_speech(), RATE, format=name, endian=endian)
    return file.getvalue()


def test_a_wav_that_was_never_closed_may_be_named_mp3(tmp_path: Path) -> None:
    encoded = bytearray(encode("WAV", "PCM_16"))
    at = encoded.index(b"data") + 4
    encoded[at : at + 4] = bytes(4)
    assert len(read_bytes(tmp_path, bytes(encoded), "in.mp3")) == N


class FailingFile(io.BytesIO):
    """A file on a disk that fails behind `n_good` bytes."""

    n_good = 0

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= self.n_good:
            raise OSError(5, "Input/output error")
        return super().read(size)


@pytest.mark.parametrize("n_good", [0, 30_000])
def test_a_disk_that_fails_is_no_end_of_a_part(n_good: int) -> None:
    encoded = encode("WAV", "PCM_16")
    file = FailingFile(encoded)
    file.n_good = len(encoded)
    part_file = PartFile(file, Part(0, len(encoded), {}))
    with soundfile.SoundFile(part_file) as sound:
        file.n_good = n_good
        with pytest.raises(OSError, match="Input/output error"):
            list(read_part(sound, Part(0, len(encoded), {}), part_file))


@pytest.mark.parametrize(("name", "subtype"), [("WAV", "PCM_16"), ("OGG", "VORBIS")])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5])
def test_a_disk_that_fails_is_no_damage_of_a_recording_of_a_corpus(
    name: str, subtype: str, share: float
) -> None:
    encoded = encode(name, subtype, make_speech(10 * N))
    file = FailingFile(encoded)
    file.n_good = round(share * len(encoded))
    with pytest.raises(OSError, match="Input/output error"):
        list(decode_mono_blocks(file, 3600))


def test_a_corpus_has_no_recording_with_a_lost_page_of_ogg() -> None:
    encoded = bytearray(encode("OGG", "VORBIS", make_speech(10 * RATE)))
    middle = len(encoded) // 2
    encoded[middle : middle + 64] = bytes(64)
    with pytest.raises(AudioError, match=r"damaged: [89]\.\d s of at least 9\.9 s"):
        list(decode_mono_blocks(io.BytesIO(encoded), 3600))


def test_a_disk_that_fails_on_opening_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(file: object) -> None:
        raise OSError(5, "Input/output error")

    (tmp_path / "in.wav").write_bytes(encode("WAV", "PCM_16"))
    monkeypatch.setattr(reader, "sniff", fail)
    with pytest.raises(DenoiseError, match=r"in\.wav cannot be read: Input/output error\."):
        read_all(tmp_path / "in.wav")


@pytest.mark.parametrize(
    "encoded", [b"fLaC\0\0\0\x22", b"OggS\0\2" + bytes(21) + b"OggS\0\0" + bytes(21)]
)
def test_a_file_of_very_many_recordings_is_refused_soon(encoded: bytes, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(AudioError, match="more than 1000 recordings"):
        read_bytes(tmp_path, encoded * 200_000)
    assert time.monotonic() - started < 5


def test_mp3_of_very_many_recordings_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("denoise.containers.part_file.MAX_PARTS", 2)
    encoded = encode_mp3("CONSTANT")
    assert len(find_streams(io.BytesIO(2 * encoded), 2 * len(encoded))) == 2
    with pytest.raises(AudioError, match="more than 2 recordings"):
        find_streams(io.BytesIO(3 * encoded), 3 * len(encoded))


def test_a_wav_without_audio_holds_no_samples(tmp_path: Path) -> None:
    empty = encode("WAV", "PCM_16", np.zeros((0, 1), np.float32))
    for encoded in (empty, empty + b"LIST" + struct.pack("<I", 4) + b"INFO"):
        with pytest.raises(AudioError, match="no samples"):
            read_bytes(tmp_path, encoded)


@pytest.mark.parametrize("told", [N, N - 100, 1, 0, 2**31])
def test_the_fact_chunk_is_trusted_within_a_block_only(told: int, tmp_path: Path) -> None:
    encoded = bytearray(encode("WAV", "IMA_ADPCM"))
    at = encoded.index(b"fact") + 8
    encoded[at : at + 4] = struct.pack("<I", told)
    expected = told if told in (N, N - 100) else 20_340
    assert len(read_bytes(tmp_path, bytes(encoded))) == expected


@pytest.mark.parametrize("n_samples", [0, 5, 9, 10, 11, 25, 30, 31])
def test_trim(n_samples: int) -> None:
    def blocks() -> Iterator[np.ndarray]:
        yield from np.split(np.arange(30, dtype=np.float32)[:, None], 3)

    kept = list(trim(blocks(), n_samples, slack=20))
    n_kept = sum(map(len, kept))
    assert n_kept == (min(n_samples, 30) if 30 - n_samples <= 20 else 30)
    if kept:
        np.testing.assert_array_equal(np.concatenate(kept)[:, 0], np.arange(n_kept))


@pytest.mark.parametrize(
    ("head", "n_bytes", "n_samples"),
    [
        ("fffb9064", 417, 1152),  # MPEG 1 layer III, 128 kbit/s, 44.1 kHz
        ("fffb9264", 418, 1152),  # padded
        ("fff398c4", 360, 576),  # MPEG 2 layer III, 80 kbit/s, 16 kHz
        ("fffda404", 576, 1152),  # MPEG 1 layer II, 192 kbit/s, 48 kHz
        ("ffff1c04", None, None),  # a sample rate that is reserved
        ("fff15080", None, None),  # ADTS
    ],
)
def test_parse_header(head: str, n_bytes: int | None, n_samples: int | None) -> None:
    frame = parse_header(bytes.fromhex(head))
    actual = (None, None) if frame is None else (frame.n_bytes, frame.n_samples)
    assert actual == (n_bytes, n_samples)


def test_find_streams_skips_junk_and_finds_no_frames_in_noise() -> None:
    noise = np.random.default_rng(1).integers(0, 256, 100_000, dtype=np.uint8).tobytes()
    assert find_streams(io.BytesIO(noise), len(noise)) == []
    mp3 = encode_mp3("CONSTANT")
    (plain,) = find_streams(io.BytesIO(mp3), len(mp3))
    (stream,) = find_streams(io.BytesIO(noise[:5000] + mp3 + noise[:3000]), len(mp3) + 8000)
    assert plain.n_samples <= stream.n_samples <= plain.n_samples + 576


@pytest.mark.parametrize("change", ["half", "junk"])
def test_an_mp3_of_another_size_than_its_header_says_prints_nothing(
    change: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    encoded = encode_mp3("CONSTANT", n_samples=4 * N)
    changed = encoded[: len(encoded) // 2] if change == "half" else encoded + bytes(5000)
    n_samples = len(read_bytes(tmp_path, changed))
    assert n_samples == 4 * N if change == "junk" else 2 * N - 2000 < n_samples <= 2 * N
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("is_named", [True, False])
def test_a_large_tag_before_an_mp3_does_not_change_the_size_in_its_header(
    is_named: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The header counts from its own frame on, without a cover before it."""
    tag = b"ID3\x04\0\0\0\0\x7f\x7f" + bytes(2**14 - 1)
    encoded = tag + encode_mp3("CONSTANT", n_samples=4 * N)
    (part,) = find_parts(io.BytesIO(encoded), "mp3")
    assert not part.replaced
    assert len(read_bytes(tmp_path, encoded, "in.mp3" if is_named else "in")) == 4 * N
    cut = encoded[: len(encoded) - 5000]
    assert len(read_bytes(tmp_path, cut)) < 4 * N
    joined = encoded + encoded  # with the tag before the second one, too
    assert len(read_bytes(tmp_path, joined)) == 8 * N
    assert capfd.readouterr() == ("", "")


def test_junk_between_pages_of_ogg_is_not_searched_forever() -> None:
    page = b"OggS" + bytes(23)
    pages = list(ogg_pages(io.BytesIO((page + b"junk") * 5)))
    assert [position for position, _ in pages] == [0, 31, 62, 93, 124]
    started = time.process_time()
    n_pages = sum(1 for _ in ogg_pages(io.BytesIO((page + b"junk") * 300_000)))
    assert time.process_time() - started < 1
    assert n_pages == MAX_OGG_GAPS


@pytest.mark.parametrize(
    "encoded",
    [
        b"\xff" * 3_000_000,
        b"\xff\xfb" * 1_500_000,
        b"ID3\x04\0\0\0\0\0\0" * 300_000,
        b"OggS" * 750_000,
        b"RIFF\xff\xff\xff\xffWAVEdata\0\0\0\0" + b"JUNK\0\0\0\0" * 400_000,
        b"fLaC\x00\x00\x00\x22" * 1000,
        b".snd",
        b"FORM\0\0\0\0AIFF",
        b"RIFF\0\0\0\0WAVE",
        b"ID3",
        b"\xff\xfb",
    ],
    ids=lambda encoded: repr(encoded[:12]),
)
def test_hostile_bytes_are_refused_soon(encoded: bytes, tmp_path: Path) -> None:
    started = time.process_time()
    with pytest.raises(AudioError):
        read_bytes(tmp_path, encoded)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("encoded", [b"no recording", b"\xff" * 90_000, bytes(90_000)])
def test_what_is_no_mp3_is_refused_without_a_word_of_the_library(
    encoded: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AudioError, match=r"no audio that can be read: Format not recognised\."):
        read_bytes(tmp_path, encoded, "in.mp3")
    assert capfd.readouterr() == ("", "")


def test_an_mp3_with_junk_before_it_is_read(tmp_path: Path) -> None:
    assert len(read_bytes(tmp_path, bytes(100) + encode_mp3("CONSTANT"), "in.mp3")) == N
