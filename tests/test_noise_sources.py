"""Noise recordings: random segments, never silent, and the same from one seed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from denoise.corpus.archive import CorpusArchive, Utterance
from denoise.dsp.audio import SILENCE_RMS, rms
from denoise.errors import CorpusError
from denoise.noise.archive import NoiseArchive, create_noise_archive
from denoise.noise.mixing import utterance_rng
from denoise.noise.sources import RecordedNoiseSource, SpeechSource, segment_of
from denoise.params import AudioParams, Params
from tests.corpora import encode, noise_waveform, write_recordings
from tests.test_features import BAD, manifest_of, recordings

CLIP = AudioParams(sample_rate=8000, duration_seconds=0.25)


def write_noise(path: Path, *waveforms: np.ndarray, sample_rate: int = 8000) -> Path:
    """Write each waveform, [n_samples], as a recording of one piece."""
    with create_noise_archive(path) as writer:
        for number, waveform in enumerate(waveforms):
            writer.add(number, 0, encode(waveform, sample_rate=sample_rate))
    return path


def drawn(path: Path, draws: int, params: AudioParams = CLIP, seed: int = 0) -> list[np.ndarray]:
    """Draw from all recordings."""
    with NoiseArchive(path) as archive:
        noise = RecordedNoiseSource(archive, archive.recordings, params.sample_rate)
        rngs = [np.random.default_rng([seed, number]) for number in range(draws)]
        return [noise(rng, params.n_samples) for rng in rngs]


def tone(hertz: float, n_samples: int, sample_rate: int = 8000) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(n_samples) / sample_rate)


def pitch_of(waveform: np.ndarray, sample_rate: int = 8000) -> float:
    power = np.abs(np.fft.rfft(waveform)) ** 2
    return float(np.fft.rfftfreq(len(waveform), 1 / sample_rate)[power.argmax()])


def test_babble_is_made_of_training_speakers_whatever_is_broken(
    tmp_path: Path, tiny_params: Params
) -> None:
    levels = {"01": 0.2, "02": 0.4, "03": 0.6, "04": 0.8}
    tone = np.sin(np.arange(2000))[:, None]
    content = {u: encode(levels[u.speaker_id] * tone) for u in recordings()}
    content[Utterance("01", 0, 0)] = BAD["silent"]
    content[Utterance("02", 0, 0)] = BAD["no audio"]
    path = write_recordings(tmp_path / "corpus.zip", content, {})
    rng = np.random.default_rng(0)
    with CorpusArchive(path) as corpus:
        speech = SpeechSource(corpus, manifest_of(content), tiny_params.audio.sample_rate)
        found = {round(rms(speech(rng, 2000)) * 2**0.5, 1) for _ in range(60)}
    assert found == {0.2, 0.4}


def test_training_speech_that_is_all_broken_is_an_error(
    tmp_path: Path, tiny_params: Params
) -> None:
    content = dict.fromkeys(recordings(), b"")
    path = write_recordings(tmp_path / "corpus.zip", content, {})
    with CorpusArchive(path) as corpus:
        speech = SpeechSource(corpus, manifest_of(content), tiny_params.audio.sample_rate)
        with pytest.raises(CorpusError, match="100 training recordings in a row"):
            speech(np.random.default_rng(0), 2000)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sample_rate=st.sampled_from([4000, 8000, 11_025, 44_100, 48_000, 192_000]),
    to_rate=st.sampled_from([4000, 8000, 16_000, 22_050, 96_000]),
    seconds=st.floats(0.1, 0.9),
)
def test_a_segment_has_the_clips_rate_and_length(
    tmp_path: Path, sample_rate: int, to_rate: int, seconds: float
) -> None:
    waveform = tone(500, round(seconds * sample_rate), sample_rate) + 0.3
    path = write_noise(tmp_path / "noise.zip", waveform, sample_rate=sample_rate)
    params = AudioParams(sample_rate=to_rate, duration_seconds=0.333)
    (segment,) = drawn(path, 1, params)
    assert (segment.dtype, segment.shape) == (np.float32, (params.n_samples,))
    assert abs(segment.mean(dtype=np.float64)) < 1e-6
    assert pitch_of(segment, to_rate) == pytest.approx(500, abs=5)


def test_segments_start_anywhere_and_equal_the_recording(tmp_path: Path) -> None:
    waveform = noise_waveform(1, 1.0)[:, 0]
    starts = []
    for segment in drawn(write_noise(tmp_path / "noise.zip", waveform), 200):
        start = int(np.correlate(waveform, segment, "valid").argmax())
        part = waveform[start : start + len(segment)]
        np.testing.assert_allclose(segment, part - part.mean(), atol=1e-4)
        starts.append(start)
    assert min(starts) < 300 and max(starts) > 5700 and len(set(starts)) > 150


@given(n_samples=st.integers(1, 60), wanted=st.integers(1, 200), seed=st.integers(0, 99))
def test_short_recordings_repeat_and_long_ones_are_cut(
    n_samples: int, wanted: int, seed: int
) -> None:
    waveform = np.arange(n_samples, dtype=np.float32)
    segment = segment_of(waveform, wanted, np.random.default_rng(seed))
    assert len(segment) == wanted
    np.testing.assert_array_equal(segment, (segment[0] + np.arange(wanted)) % n_samples)


def test_looped_segments_start_anywhere() -> None:
    firsts = {segment_of(np.arange(9.0), 20, np.random.default_rng(s))[0] for s in range(99)}
    assert firsts == set(range(9))


def test_every_recording_and_every_piece_is_drawn(tmp_path: Path) -> None:
    pitches = [500.0, 1000.0, 2000.0]
    with create_noise_archive(tmp_path / "noise.zip") as writer:
        writer.add(0, 0, encode(tone(500, 4000)))
        for piece in range(9):
            writer.add(1, piece, encode(tone(1000 if piece else 2000, 4000)))
    found = [round(pitch_of(segment)) for segment in drawn(tmp_path / "noise.zip", 300)]
    assert set(found) == set(pitches)
    assert found.count(500) == pytest.approx(150, abs=40)  # each recording as often, however long


def test_the_same_generator_gives_the_same_bytes(tmp_path: Path) -> None:
    path = write_noise(tmp_path / "noise.zip", *(noise_waveform(n, 1.0)[:, 0] for n in range(4)))
    with NoiseArchive(path) as archive:
        noise = RecordedNoiseSource(archive, archive.recordings, CLIP.sample_rate)
        first = noise(utterance_rng(1, "3_07_12"), 2000).tobytes()
        assert noise(utterance_rng(1, "3_07_12"), 2000).tobytes() == first
        assert noise(utterance_rng(2, "3_07_12"), 2000).tobytes() != first


def test_silent_segments_are_drawn_again(tmp_path: Path) -> None:
    loud = noise_waveform(1, 1.0)[:, 0]
    mixed = np.concatenate([np.full(8000, 0.2), loud])
    for segment in drawn(write_noise(tmp_path / "noise.zip", 0 * loud, mixed), 100):
        assert rms(segment) > 1e-3


def test_dither_of_one_bit_counts_as_silence(tmp_path: Path) -> None:
    loud = noise_waveform(1, 1.0)[:, 0]
    dither = np.random.default_rng(2).integers(-1, 2, 8000) / 2**15
    assert 0 < rms(dither) < SILENCE_RMS
    path = write_noise(tmp_path / "noise.zip", dither, np.concatenate([dither, loud]))
    for segment in drawn(path, 100):
        assert rms(segment) > SILENCE_RMS


def test_a_nearly_silent_recording_gives_its_loudest_segment(tmp_path: Path) -> None:
    sparse = np.zeros(60 * 8000)
    sparse[300_000:300_400] = noise_waveform(1, 0.05)[:, 0]
    segments = drawn(write_noise(tmp_path / "noise.zip", sparse), 20)
    assert min(rms(segment) for segment in segments) > 0.05


def test_recordings_that_are_all_silent_are_an_error(tmp_path: Path) -> None:
    path = write_noise(tmp_path / "noise.zip", np.zeros(8000), np.full(900, 0.5))
    with pytest.raises(CorpusError, match=r"100 segments in a row .* silent at 8000 Hz"):
        drawn(path, 1)


def test_an_empty_archive_is_an_error_where_noise_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"holds no recording\. Set download.noise"):
        drawn(write_noise(tmp_path / "noise.zip"), 1)


def test_a_piece_that_is_no_audio_is_an_error_that_names_it(tmp_path: Path) -> None:
    with create_noise_archive(tmp_path / "noise.zip") as writer:
        writer.add(0, 0, b"no audio")
    with pytest.raises(
        CorpusError, match=r"noise/00000/000.wav cannot be used.*--force import_noise"
    ):
        drawn(tmp_path / "noise.zip", 1)
