"""The routes of denoise serve: responses, refusals, and what no response may reveal."""

import dataclasses
import gc
import io
import json
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from denoise.dsp import formats
from denoise.errors import UsageError
from denoise.network.spec import MaskNetwork
from denoise.server import private_folder, request_files
from denoise.server.app import create_app
from denoise.server.cli import make_parser
from denoise.server.context import ServerContext
from denoise.server.file_names import make_disposition
from denoise.server.jobs.store import JobStore
from denoise.server.limits import Limits, round_up_to_milliseconds
from denoise.server.problems import BY_STATUS, KINDS, ProblemError
from denoise.server.routes import ROUTES
from tests.closures import ROOT
from tests.corpora import encode
from tests.networks import RATE, gain_network
from tests.test_audio import encode_flac_with_length

LIMITS = Limits(body_bytes=200_000, channel_seconds=20, deadline_seconds=30, workers=1, queue=0)
NOISY = (0.1 * np.random.default_rng(5).standard_normal((3000, 1))).astype(np.float32)
WAV = encode(NOISY, "WAV", "FLOAT", RATE)
NO_SAMPLES = encode(np.zeros((0, 1)))
AUDIO_PATHS = [route.path for route in ROUTES if route.uses_worker]


def make_context(
    network: MaskNetwork | None = None, token: str = "", **changes: Any
) -> ServerContext:
    limits = dataclasses.replace(LIMITS, **changes)
    return ServerContext(network or gain_network(0.5), limits, token or None)


def client_of(context: ServerContext) -> FlaskClient:
    return create_app(context).test_client()


@pytest.fixture
def client() -> FlaskClient:
    return client_of(make_context())


def form(content: bytes, name: str = "talk.wav", field: str = "file") -> dict[str, Any]:
    return {"data": {field: (io.BytesIO(content), name)}}


def problem_of(response: TestResponse, status: int) -> dict[str, Any]:
    """Check that a response is a problem of this status that reveals no internals; return it."""
    assert response.status_code == status, response.data[:300]
    assert response.mimetype == "application/problem+json"
    problem = json.loads(response.data)
    assert problem["status"] == status
    kind = problem["type"].removeprefix("urn:denoise:")
    assert KINDS[kind] == (status, problem["title"])
    for leaked in ("/tmp", "Traceback", "libsndfile", "Error", "Format not", ".py"):
        assert leaked not in response.text
    return problem


def decode(response: TestResponse) -> tuple[np.ndarray, int]:
    assert response.status_code == 200, response.data[:300]
    return soundfile.read(io.BytesIO(response.data), dtype="float32", always_2d=True)


@pytest.mark.parametrize("body", [{"data": WAV, "content_type": "audio/wav"}, form(WAV)])
def test_a_recording_is_denoised(client: FlaskClient, body: dict[str, Any]) -> None:
    response = client.post("/v1/denoise", **body)
    samples, rate = decode(response)
    assert rate == RATE
    np.testing.assert_allclose(samples, NOISY / 2, atol=1e-6)
    names = ("Sample-Rate", "Channels", "Seconds")
    assert [response.headers[f"Audio-{name}"] for name in names] == [str(RATE), "1", "0.375000"]
    assert response.mimetype == "audio/wav"
    assert response.content_length == len(response.data)


@pytest.mark.parametrize(
    ("query", "factor"),
    [("strength=0", 1), ("strength=0.5", 0.75), ("residual=true", 0.5), ("residual=0", 0.5)],
)
def test_options_have_the_library_s_effect(client: FlaskClient, query: str, factor: float) -> None:
    samples, _ = decode(client.post(f"/v1/denoise?{query}", data=WAV))
    np.testing.assert_allclose(samples, NOISY * factor, atol=1e-6)


@pytest.mark.parametrize("choice", formats.CHOICES)
def test_every_format_is_read_and_written(client: FlaskClient, choice: str) -> None:
    response = client.post(f"/v1/denoise?format={choice}", data=WAV)
    samples, rate = decode(response)
    assert (rate, len(samples)) == (RATE, len(NOISY))
    assert soundfile.info(io.BytesIO(response.data)).format == formats.BY_EXTENSION[choice]
    again = client.post("/v1/denoise", data=response.data, content_type="audio/x")
    assert again.mimetype == response.mimetype
    assert len(decode(again)[0]) == len(NOISY)


def test_a_result_too_large_for_its_format_names_formats_that_hold_it(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("denoise.inference.audio_io.MAX_BYTES", 1000)
    problem = problem_of(client.post("/v1/denoise?format=wav", data=WAV), 422)
    assert "at most 4 GiB" in problem["detail"] and "FLAC" in problem["detail"]
    assert client.post("/v1/denoise?format=flac", data=WAV).status_code == 200


@pytest.mark.parametrize(
    ("name", "plain", "full"),
    [
        ("talk.wav", "talk-denoised.wav", None),
        ("../../etc/passwd", "passwd-denoised.wav", None),
        ("..\\..\\a b.mp3", "a_b-denoised.wav", "a b-denoised.wav"),
        ("日本.wav", "recording-denoised.wav", "日本-denoised.wav"),
        ("Интервью 1.wav", "1-denoised.wav", "Интервью 1-denoised.wav"),
        ("Mu\u0308ller.wav", "Muller-denoised.wav", "Müller-denoised.wav"),
        (
            "\u0645\u06cc\u200c\u0631.wav",
            "recording-denoised.wav",
            "\u0645\u06cc\u200c\u0631-denoised.wav",
        ),
        ("a\u202evaw.exe.wav", "avaw.exe-denoised.wav", None),
        ('x";y.wav', "x_y-denoised.wav", "x_;y-denoised.wav"),
        ("", "recording-denoised.wav", None),
        (" .. .wav", "recording-denoised.wav", None),
        ("a" * 300, "a" * 160 + "-denoised.wav", None),
        ("日" * 300, "recording-denoised.wav", "日" * 53 + "-denoised.wav"),
    ],
    ids=ascii,
)
def test_names_in_any_script_come_back(name: str, plain: str, full: str | None) -> None:
    header = make_disposition(name, "-denoised", "wav")
    assert re.fullmatch(
        r"""attachment; filename="[\w.-]+"(; filename\*=UTF-8''[\w.~%-]+)?""", header
    )
    assert header.isascii()
    assert re.findall('filename="(.*?)"', header) == [plain]
    names = [unquote(each) for each in re.findall(r"filename\*=UTF-8''(.*)", header)]
    assert names == ([] if full is None else [full])


@pytest.mark.parametrize("name", ["talk.wav", "Интервью.wav"])
def test_the_answer_has_the_name_of_the_form_s_file(client: FlaskClient, name: str) -> None:
    header = client.post("/v1/denoise", **form(WAV, name)).headers["Content-Disposition"]
    assert header == make_disposition(name, "-denoised", "wav")


def test_a_name_cannot_add_a_header(client: FlaskClient) -> None:
    response = client.post("/v1/denoise", **form(WAV, 'x".wav\r\nSet-Cookie: a'))
    assert "Set-Cookie" not in response.headers and "\r" not in str(
        response.headers["Content-Disposition"]
    )


def test_the_root_route_returns_samples_as_numbers(client: FlaskClient) -> None:
    stereo = np.hstack([NOISY, 3 * NOISY])
    response = client.post("/", **form(encode(stereo, "WAV", "FLOAT", RATE)))
    body = json.loads(response.data)
    assert list(body) == ["data"]
    np.testing.assert_allclose(body["data"], NOISY[:, 0], atol=1e-6)


def test_samples_of_many_blocks_form_one_list(client: FlaskClient) -> None:
    long = encode(np.tile(NOISY, (50, 1)), "OGG", "VORBIS", RATE)
    body = json.loads(client.post("/", **form(long)).data)
    assert len(body["data"]) == 150_000


@pytest.mark.parametrize("n_samples", [1, 700, 70_000])
def test_the_spectrogram_shows_a_tone_at_its_frequency(client: FlaskClient, n_samples: int) -> None:
    seconds = np.arange(n_samples) / RATE
    tone = np.sin(2 * np.pi * 1000 * seconds)[:, None]
    body = client.post("/v1/spectrogram", data=encode(tone, "WAV")).get_json()
    db = np.array(body["db"])
    assert db.shape == (len(body["seconds"]), len(body["hz"])) and len(db) <= 400
    assert body["duration_seconds"] == n_samples / RATE
    assert 0 <= body["seconds"][0] <= body["seconds"][-1] <= n_samples / RATE
    if n_samples > 512:
        assert body["seconds"][-1] + body["seconds"][1] >= n_samples / RATE
        middle = db[len(db) // 2]
        assert abs(body["hz"][int(middle.argmax())] - 1000) < 2 * RATE / 512
        assert middle.max() == pytest.approx(0, abs=1.5)


def test_merged_columns_keep_a_sound_at_its_time(client: FlaskClient) -> None:
    late = np.zeros((19 * RATE, 1))
    late[15 * RATE : 16 * RATE] = 0.5
    body = client.post("/v1/spectrogram", data=encode(late, "WAV", "PCM_U8", RATE)).get_json()
    assert 200 <= len(body["db"]) <= 400
    loudest = [body["seconds"][i] for i, row in enumerate(body["db"]) if row[0] > -20]
    assert 14.8 < min(loudest) < 15.2 and 15.8 < max(loudest) < 16.2


def test_routes_without_audio(client: FlaskClient) -> None:
    assert client.get("/v1/model").get_json()["sample_rate"] == RATE
    assert client.get("/v1/limits").get_json()["body_bytes"] == LIMITS.body_bytes
    assert client.get("/livez").get_json() == {"status": "alive"}
    assert client.get("/readyz").get_json() == {"status": "ready"}


def test_the_openapi_document_lists_exactly_flask_s_routes() -> None:
    app = create_app(make_context())
    served = {
        (rule.rule.replace("<", "{").replace(">", "}"), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
    }
    document = app.test_client().get("/openapi.json").get_json()
    assert served == {(path, method) for path, of in document["paths"].items() for method in of}
    assert document["openapi"] == "3.1.0"
    names = [each["operationId"] for of in document["paths"].values() for each in of.values()]
    assert len(names) == len(set(names))


def test_metrics_count_requests_and_audio(client: FlaskClient) -> None:
    client.post("/v1/denoise", data=WAV)
    client.post("/v1/denoise", data=b"x")
    client.get("/etc/passwd")
    response = client.get("/metrics")
    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
    text = response.text
    assert 'denoise_requests_total{route="/v1/denoise",status="200"} 1.0\n' in text
    assert 'denoise_requests_total{route="/v1/denoise",status="415"} 1.0\n' in text
    assert 'denoise_requests_total{route="none",status="404"} 1.0\n' in text
    assert 'denoise_request_seconds_count{route="/v1/denoise"} 2.0\n' in text
    assert 'denoise_request_seconds_bucket{le="60.0",route="/v1/denoise"} 2.0\n' in text
    assert "denoise_audio_seconds_total 0.375\n" in text
    assert "denoise_requests_in_flight 1.0\n" in text  # this one
    assert "denoise_work_queue_size 0.0\n" in text
    assert "_created" not in text


def test_request_seconds_fall_into_their_buckets() -> None:
    metrics = make_context().metrics
    for seconds in (1 / 256, 1 / 32, 59, 901):
        metrics.count_request("/", 200, seconds)
    text = metrics.to_text().decode()
    found = re.findall(r'^denoise_request_seconds_bucket{le="(.*)",route="/"} (.*)$', text, re.M)
    counts = {float(bound): float(count) for bound, count in found}
    assert (min(counts), max(counts.keys() - {np.inf})) == (0.005, 900)
    assert [counts[bound] for bound in (0.005, 0.025, 0.05, 30, 900, np.inf)] == [1, 1, 2, 2, 3, 4]
    assert 'denoise_request_seconds_sum{route="/"} 960.03515625\n' in text


def test_each_server_has_metrics_of_its_own() -> None:
    clients = [client_of(make_context()) for _ in range(2)]
    clients[0].get("/livez")
    counts = ['{route="/livez",status="200"} 1.0' in each.get("/metrics").text for each in clients]
    assert counts == [True, False]


@pytest.mark.parametrize("path", ["/v1/limits", "/nothing", "/v1/denoise"])
def test_every_response_has_the_security_headers(client: FlaskClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("strength=1.5", {"limit": 1, "actual": 1.5}),
        ("strength=-1", {"limit": 0, "actual": -1}),
        ("strength=inf", {"limit": 1}),
        ("strength=nan", {}),
        ("strength=loud", {}),
        ("strength=1&strength=0", {}),
        ("residual=perhaps", {}),
        ("format=exe", {}),
        ("shell=1", {}),
    ],
)
def test_400_for_a_bad_query(client: FlaskClient, query: str, numbers: dict[str, float]) -> None:
    problem = problem_of(client.post(f"/v1/denoise?{query}", data=WAV), 400)
    assert {key: problem[key] for key in ("limit", "actual") if key in problem} == numbers


@pytest.mark.parametrize(
    "body",
    [
        {"data": b""},
        form(b""),
        form(WAV, field="other"),
        {"data": {"file": [(io.BytesIO(WAV), "a"), (io.BytesIO(WAV), "b")]}},
        {"data": {"file": "text"}, "content_type": "multipart/form-data"},
        {"data": b"--x\r\nbroken", "content_type": "multipart/form-data; boundary=x"},
        {"data": {**form(WAV)["data"], **{f"field{i}": "x" for i in range(40)}}},
    ],
)
def test_400_for_a_body_without_one_file(client: FlaskClient, body: dict[str, Any]) -> None:
    problem_of(client.post("/v1/denoise", **body), 400)


def test_401_without_the_token() -> None:
    client = client_of(make_context(token="s3cret"))
    for header in ("", "Bearer", "Bearer wrong", "Basic s3cret", "Bearer s3cret\xe9"):
        for method, path in (("POST", "/v1/denoise"), ("POST", "/"), ("GET", "/metrics")):
            response = client.open(path, method=method, headers={"Authorization": header})
            problem_of(response, 401)
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
    right = {"Authorization": "bearer s3cret"}
    assert client.post("/v1/denoise", data=WAV, headers=right).status_code == 200
    assert client.get("/livez").status_code == client.get("/readyz").status_code == 200


@pytest.mark.parametrize("path", AUDIO_PATHS)
@pytest.mark.parametrize(
    "header",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "http://localhost:1"},
        {"Origin": "null"},
    ],
)
def test_403_for_other_sites(client: FlaskClient, path: str, header: dict[str, str]) -> None:
    problem_of(client.post(path, **form(WAV), headers=header), 403)
    own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert client.post(path, **form(WAV), headers=own).status_code == 200


def test_404_and_405(client: FlaskClient) -> None:
    problem_of(client.get("/nothing/../here"), 404)
    for method, path, allowed in (
        ("GET", "/v1/denoise", {"POST"}),
        ("OPTIONS", "/v1/denoise", {"POST"}),
        ("PUT", "/v1/limits", {"GET", "HEAD"}),
        ("DELETE", "/", {"GET", "HEAD", "POST"}),
    ):
        response = client.open(path, method=method)
        problem_of(response, 405)
        assert set(response.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize("path", AUDIO_PATHS)
def test_413_for_a_body_that_is_too_large(client: FlaskClient, path: str) -> None:
    limit = LIMITS.body_bytes
    large = form(b"x" * limit)
    problem = problem_of(client.post(path, **large), 413)
    assert problem["limit"] == limit and problem["actual"] > limit


def test_413_for_a_large_body_without_content_length(client: FlaskClient) -> None:
    chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    for size, status in ((LIMITS.body_bytes + 1, 413), (len(WAV), 200)):
        content = io.BytesIO((WAV + b"\0" * size)[:size])
        body = {"input_stream": content, "content_type": "audio/wav"}
        response = client.post("/v1/denoise", **body, environ_overrides=chunked)
        assert response.status_code == status
        if status == 413:
            assert problem_of(response, 413)["limit"] == LIMITS.body_bytes


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "image/png"])
def test_415_for_other_content_types(client: FlaskClient, media_type: str) -> None:
    problem_of(client.post("/v1/denoise", data=WAV, content_type=media_type), 415)
    problem_of(client.post("/", data=WAV, content_type="audio/wav"), 415)


def test_422_where_the_output_format_does_not_support_the_channels(client: FlaskClient) -> None:
    wide = encode(np.zeros((100, 4)), "WAV", "PCM_16", RATE)
    assert "wav" in problem_of(client.post("/v1/denoise?format=mp3", data=wide), 422)["detail"]


def test_500_reveals_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def mask(_: np.ndarray) -> np.ndarray:
        raise RuntimeError("secret in /tmp")

    context = make_context(dataclasses.replace(gain_network(1), mask=mask))
    client = client_of(context)
    for path in ("/v1/denoise", "/"):
        assert "secret" not in problem_of(client.post(path, **form(WAV)), 500).values()
    assert "secret" in caplog.text
    assert client.get("/metrics").text.count("denoise_requests_in_flight 1.0\n") == 1


def test_503_while_the_queue_is_full_and_200_afterwards() -> None:
    responses: list[TestResponse] = []

    def mask(spectrograms: np.ndarray) -> np.ndarray:
        responses.append(client_of(context).post("/v1/denoise", data=WAV))
        return spectrograms[..., 0] * 0

    context = make_context(dataclasses.replace(gain_network(1), mask=mask))
    client = client_of(context)
    for _ in range(2):
        assert client.post("/v1/denoise", data=WAV).status_code == 200
    for response in responses:
        assert problem_of(response, 503)["limit"] == 1
        assert int(response.headers["Retry-After"]) > 0
    assert "denoise_busy_responses_total 2.0\n" in client.get("/metrics").text


def test_503_while_the_server_stops() -> None:
    context = make_context()
    client = client_of(context)
    context.is_stopping.set()
    for response in (client.get("/readyz"), client.post("/v1/denoise", data=WAV)):
        assert problem_of(response, 503)["type"] == "urn:denoise:stopping"
        assert "Retry-After" in response.headers
    assert client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    ("seconds", "rounded"),
    [(0.1001, 0.101), (600.00001, 600.001), (1.1, 1.1), (2.0, 2.0), (0.35, 0.35)],
)
def test_reported_seconds_are_rounded_up(seconds: float, rounded: float) -> None:
    assert round_up_to_milliseconds(seconds) == rounded


LONG = encode(np.tile(NOISY, (50, 1)), "OGG", "VORBIS", RATE)  # two blocks
WIDE = encode(NOISY * np.float32([1, 0.9, 0.8, 0.7]))  # one block per channel, all at the end


def stop_clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give deadlines a clock that stands still; return its only value, the time in seconds."""
    now = [0.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("denoise.server.limits.time", clock)
    return now


@pytest.mark.parametrize("path", ["/v1/denoise", "/"])
@pytest.mark.parametrize("sound", [LONG, WIDE], ids=["long", "wide"])
def test_504_stops_the_processing(path: str, sound: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    now = stop_clock(monkeypatch)

    def mask(spectrograms: np.ndarray) -> np.ndarray:
        calls.append(1)
        now[0] += 0.6
        return spectrograms[..., 0]

    slow = dataclasses.replace(gain_network(1), mask=mask)
    client = client_of(make_context(slow, deadline_seconds=0.5))
    problem = problem_of(client.post(path, **form(sound)), 504)
    assert (problem["limit"], problem["actual"]) == (0.5, 0.6)
    assert len(calls) == 1


def test_temporary_files_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n_folders: list[int] = []

    def mask(spectrograms: np.ndarray) -> np.ndarray:
        n_folders.append(len(list(tmp_path.iterdir())))
        return spectrograms[..., 0] * 0

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    client = client_of(make_context(dataclasses.replace(gain_network(1), mask=mask)))
    for path in AUDIO_PATHS:
        for content, status in ((WAV, 200), (NO_SAMPLES, 422), (b"", 400), (b"x", 415)):
            with warnings.catch_warnings(record=True) as caught:  # of folders left to the collector
                warnings.simplefilter("always")
                with client.post(path, **form(content)) as response:
                    assert response.status_code == status
                del response
                gc.collect()
            assert [each for each in caught if "TemporaryDirectory" in str(each.message)] == []
    assert set(n_folders) == {1}
    assert list(tmp_path.iterdir()) == []


def wav(samples: np.ndarray, rate: int = RATE) -> bytes:
    return encode(samples, "WAV", "FLOAT", rate)


def mp3_claiming(n_frames: int) -> bytes:
    content = encode(np.tile(NOISY, (5, 1)), "MP3", "MPEG_LAYER_III", RATE)
    offset = max(content.find(b"Info"), content.find(b"Xing")) + 8
    assert offset > 8
    return content[:offset] + n_frames.to_bytes(4, "big") + content[offset + 4 :]


SILENCE = np.zeros((30 * 48_000, 1), np.float32)  # a few kilobytes of FLAC
NAN, INFINITE = NOISY.copy(), NOISY.copy()
NAN[1000], INFINITE[2000] = np.nan, np.inf
HOSTILE: list[tuple[str, Callable[[], bytes], int, dict[str, float]]] = [
    ("a FLAC header of 2^36 samples", lambda: encode_flac_with_length(2**36 - 1, NOISY), 200, {}),
    ("a truncated FLAC", lambda: encode(NOISY, "FLAC", "PCM_16", RATE)[:-900], 422, {}),
    ("a truncated WAV", lambda: WAV[:-5000], 200, {}),
    (
        "a FLAC of much silence",
        lambda: encode(SILENCE, "FLAC", "PCM_16", 48_000),
        413,
        {"limit": 20},
    ),
    (
        "a sum of channels over the limit",
        lambda: encode(np.zeros((RATE * 6, 4)), "FLAC"),
        413,
        {"limit": 20},
    ),
    ("NaN", lambda: wav(NAN), 422, {}),
    ("infinity", lambda: wav(INFINITE), 422, {}),
    ("samples that overflow sums", lambda: wav(NOISY * 1e30), 422, {}),
    ("1 Hz", lambda: wav(NOISY, 1), 422, {"limit": 4000, "actual": 1}),
    ("1 MHz", lambda: wav(NOISY, 10**6), 422, {"limit": 192_000, "actual": 10**6}),
    ("9 channels", lambda: wav(np.zeros((9, 9))), 422, {"limit": 8, "actual": 9}),
    ("no samples", lambda: wav(np.zeros((0, 1))), 422, {}),
    ("random bytes", lambda: np.random.default_rng(0).bytes(9999), 415, {}),
    ("a header alone", lambda: b"RIFF\0\0\0\0WAVEfmt ", 415, {}),
    ("an HTML page", lambda: b"<html><script>", 415, {}),
    ("an MP3 header of 2^31 frames", lambda: mp3_claiming(2**31 - 1), 200, {}),
]


@pytest.mark.parametrize("path", AUDIO_PATHS)
@pytest.mark.parametrize(
    ("make", "status", "numbers"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE]
)
def test_hostile_audio(
    client: FlaskClient,
    path: str,
    make: Callable[[], bytes],
    status: int,
    numbers: dict[str, float],
) -> None:
    content = make()
    assert len(content) < LIMITS.body_bytes
    response = client.post(path, **form(content))
    if status == 200:
        assert response.status_code == 200
        return
    problem = problem_of(response, status)
    assert {key: problem[key] for key in numbers} == numbers
    if status == 413:
        assert problem["actual"] > problem["limit"]


@pytest.mark.parametrize(
    ("content", "seconds"),
    [(mp3_claiming(2**31 - 1), 1.875), (encode_flac_with_length(2**36 - 1, NOISY), 3000 / 8000)],
)
def test_the_decoded_duration_counts_and_not_the_header_s(
    client: FlaskClient, content: bytes, seconds: float
) -> None:
    response = client.post("/v1/denoise?format=wav", data=content)
    assert float(response.headers["Audio-Seconds"]) == pytest.approx(seconds, abs=0.2)
    assert len(decode(response)[0]) / decode(response)[1] == pytest.approx(seconds, abs=0.2)


@pytest.mark.parametrize("path", AUDIO_PATHS)
@pytest.mark.parametrize(("channels", "minutes"), [(1, 0.333), (2, 0.167)])
def test_413_tells_the_minutes_of_that_file_s_channels(
    path: str, channels: int, minutes: float
) -> None:
    n_blocks: list[int] = []

    def mask(spectrograms: np.ndarray) -> np.ndarray:
        n_blocks.append(len(spectrograms))
        return spectrograms[..., 0] * 0

    client = client_of(make_context(dataclasses.replace(gain_network(1), mask=mask)))
    content = encode(np.zeros((RATE * 21 // channels, channels)), "FLAC", "PCM_16", RATE)
    problem = problem_of(client.post(path, **form(content)), 413)
    assert problem["limit_minutes"] == minutes
    assert f" may last {minutes} minutes" in problem["detail"]
    assert ("fewer channels" in problem["detail"]) == (channels > 1)
    assert n_blocks == []  # nothing is denoised in vain


def test_the_limits_are_known_before_the_upload(client: FlaskClient) -> None:
    limits = client.get("/v1/limits").get_json()
    assert limits["minutes"] == {
        str(channels): pytest.approx(20 / 60 / channels, abs=0.001) for channels in range(1, 9)
    }
    document = client.get("/openapi.json").get_json()
    for path in AUDIO_PATHS:
        text = document["paths"][path]["post"]["requestBody"]["description"]
        assert "0.333 minutes of one channel or 0.167 minutes of two" in text
        assert "0.190735 MiB" in text


def test_an_hour_in_stereo_is_within_the_defaults() -> None:
    limits = Limits()
    assert limits.minutes(2) == 60
    assert limits.body_bytes > 3600 * 48_000 * 2 * 3
    limits.check_length(3600 * 48_000, 48_000, 2)
    with pytest.raises(ProblemError, match="with 2 channels may last 60 minutes"):
        limits.check_length(3601 * 48_000, 48_000, 2)


@pytest.mark.parametrize("is_installed", [True, False])
def test_the_formats_that_are_read_depend_on_the_extra(
    client: FlaskClient, is_installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("denoise.server.accepted_formats.has_media", lambda: is_installed)
    reads = client.get("/v1/limits").get_json()["reads"]
    assert {"wav", "flac", "ogg", "opus", "mp3", "aiff"} <= set(reads) and "voc" not in reads
    assert ("m4a" in reads) == is_installed
    detail = problem_of(client.post("/v1/denoise", data=b"x"), 415)["detail"]
    assert ("WebM" in detail) == is_installed


def test_every_status_and_route_is_documented() -> None:
    page = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
    for status in BY_STATUS:
        assert f"| {status} |" in page
    for route in ROUTES:
        assert f"`{route.method} {route.path}`" in page


def test_every_metric_is_documented_with_its_type(client: FlaskClient) -> None:
    page = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `(denoise_\w+)` \| (\w+) \|", page, flags=re.MULTILINE)
    served = re.findall(r"^# TYPE (\w+) (\w+)$", client.get("/metrics").text, flags=re.MULTILINE)
    assert sorted(documented) == sorted(served)


def test_every_option_is_documented() -> None:
    from denoise.cli import client

    page = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
    described = re.findall(r"^\| (`-.*?) \|", page, flags=re.MULTILINE)
    cells = {name for cell in described for name in re.findall(r"`(-.*?)`", cell)}
    parsers = (make_parser(), client.make_parser())
    options = {name for each in parsers for act in each._actions for name in act.option_strings}
    assert cells == options - {"-h", "--help"}


def test_the_files_of_requests_lie_in_a_private_folder(tmp_path: Path) -> None:
    folder = tmp_path / "requests"
    seen: list[list[str]] = []

    def mask(spectrograms: np.ndarray) -> np.ndarray:
        seen.append(sorted(path.name[:8] for path in folder.iterdir()))
        return np.full(spectrograms.shape[:-1], 0.5, np.float32)

    network = dataclasses.replace(gain_network(0.5), mask=mask)
    context = ServerContext(network, LIMITS, requests_folder=folder)
    client = client_of(context)
    for _ in range(2):
        (folder / "denoise-left").mkdir(parents=True, exist_ok=True)
        (folder / "denoise-left" / "in").write_bytes(WAV)
        folder.chmod(0o700)
        context.request_files.open()
        assert [path.name for path in folder.iterdir()] == ["lock"]
        assert client.post("/v1/denoise", data=WAV).status_code == 200
        assert {tuple(each) for each in seen} == {("denoise-", "lock")}
        assert [path.name for path in folder.iterdir()] == ["lock"]
        context.request_files.close()
        assert not folder.exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows deletes no file that is open")
def test_requests_do_not_fail_after_their_folder_was_removed(tmp_path: Path) -> None:
    folder = tmp_path / "requests"
    context = ServerContext(gain_network(0.5), LIMITS, requests_folder=folder)
    context.request_files.open()
    shutil.rmtree(folder)
    assert client_of(context).post("/v1/denoise", data=WAV).status_code == 200
    assert [path.name for path in folder.iterdir()] == ["lock"]
    context.request_files.close()


def test_a_folder_for_requests_that_cannot_be_used_stops_no_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "requests"
    contexts = [ServerContext(gain_network(0.5), LIMITS, requests_folder=folder) for _ in range(2)]
    for context in contexts:
        context.request_files.open()
        assert client_of(context).post("/v1/denoise", data=WAV).status_code == 200
    assert "Another server uses the folder" in caplog.text
    contexts[1].request_files.close()
    assert folder.exists()
    contexts[0].request_files.close()


@pytest.fixture
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def abandon(purpose: str = "jobs") -> Path:
    """Leave a folder as a killed server does; return its path."""
    path = private_folder.make_temporary_folder(purpose)
    private_folder.open_folder(path).close()
    (path / "in").write_bytes(WAV)
    return path


N_FILLED = 40  # so many that the lock file is hardly the last in the order of any file system


def fill(folder: Path) -> None:
    """Create recordings in a folder, half of them before its lock file."""
    lock = (folder / "lock").read_bytes()
    for number in range(N_FILLED):
        if number == N_FILLED // 2:
            (folder / "lock").unlink()
            (folder / "lock").write_bytes(lock)
        (folder / f"{number}").mkdir()
        (folder / f"{number}" / "in").write_bytes(WAV)


@pytest.fixture
def deleted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the files that are deleted during the test, in order."""
    names: list[str] = []
    unlink = os.unlink

    def remember(path: Any, **changes: Any) -> None:
        unlink(path, **changes)
        names.append(Path(path).name)

    monkeypatch.setattr(os, "unlink", remember)
    return names


def test_folders_of_killed_servers_are_deleted(temporary_folder: Path) -> None:
    for purpose in private_folder.PURPOSES:
        abandon(purpose)
    private_folder.remove_abandoned_folders()
    assert list(temporary_folder.iterdir()) == []


class KilledError(BaseException):
    """Stands for the end of a server that is killed."""


@pytest.mark.parametrize("n_deleted", [0, 1, N_FILLED // 2, N_FILLED])
def test_no_recording_stays_after_a_removal_that_is_cut_short(
    temporary_folder: Path, monkeypatch: pytest.MonkeyPatch, deleted: list[str], n_deleted: int
) -> None:
    fill(abandon())
    deleted.clear()
    unlink = os.unlink

    def unlink_some(path: Any, **changes: Any) -> None:
        if len(deleted) == n_deleted:
            raise KilledError
        unlink(path, **changes)

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(os, "unlink", unlink_some)
        private_folder.remove_abandoned_folders()
    assert len(list(temporary_folder.rglob("in"))) == N_FILLED + 1 - n_deleted
    private_folder.remove_abandoned_folders()
    assert (len(deleted), deleted[-1]) == (N_FILLED + 2, "lock")
    assert list(temporary_folder.iterdir()) == []


def test_the_lock_of_the_folder_for_requests_is_deleted_last(
    temporary_folder: Path, deleted: list[str]
) -> None:
    files = make_context().request_files
    files.open()
    (folder,) = temporary_folder.iterdir()
    fill(folder)
    deleted.clear()
    files.close()
    assert (len(deleted), deleted[-1]) == (N_FILLED + 1, "lock")
    assert list(temporary_folder.iterdir()) == []


def test_the_lock_of_the_folder_for_jobs_is_deleted_last(
    temporary_folder: Path, deleted: list[str]
) -> None:
    jobs = JobStore(None, Limits())
    for _ in range(3):
        with jobs.adding(len(WAV)) as (_, upload):
            upload.write_bytes(WAV)
    fill(upload.parent.parent)
    jobs.close()
    deleted.clear()
    del jobs
    gc.collect()
    assert (len(deleted), deleted[-1]) == (N_FILLED + 4, "lock")
    assert list(temporary_folder.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="not each user of Windows may create links")
def test_what_links_lead_to_is_not_deleted(temporary_folder: Path) -> None:
    mine = temporary_folder / "mine"
    mine.mkdir()
    (mine / "talk.wav").write_bytes(WAV)
    folder, link = abandon(), temporary_folder / "link"
    (folder / "folder").symlink_to(mine)
    (folder / "file").symlink_to(mine / "talk.wav")
    (folder / "nothing").symlink_to(mine / "nothing")
    link.symlink_to(folder)
    private_folder.remove_folder(link)
    assert (folder / "in").exists()
    private_folder.remove_abandoned_folders()
    assert set(temporary_folder.iterdir()) == {mine, link}
    assert (mine / "talk.wav").read_bytes() == WAV


def test_what_cannot_be_deleted_is_deleted_later(
    temporary_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = abandon()
    unlink = os.unlink

    def refuse(path: Any, **changes: Any) -> None:
        if Path(path).name == "in":
            raise PermissionError(13, "Permission denied")
        unlink(path, **changes)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        private_folder.remove_abandoned_folders()
    assert sorted(path.name for path in folder.iterdir()) == ["in", "lock"]
    private_folder.remove_abandoned_folders()
    assert not folder.exists()


@pytest.mark.parametrize("failing", ["make_temporary_folder", "_lock"])
def test_where_no_folder_for_requests_can_be_used_none_stays(
    temporary_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failing: str,
) -> None:
    def fail(_: Any) -> None:
        raise OSError(37, "No locks available")

    named = temporary_folder / "requests"
    with private_folder.open_folder(named):
        (named / "denoise-x").mkdir()
        module = request_files if failing == "make_temporary_folder" else private_folder
        monkeypatch.setattr(module, failing, fail)
        context = ServerContext(gain_network(0.5), LIMITS, requests_folder=named)
        context.request_files.open()
        assert "the files of requests will stay" in caplog.text
        assert client_of(context).post("/v1/denoise", data=WAV).status_code == 200
        context.request_files.close()
        assert [path.name for path in temporary_folder.iterdir()] == ["requests"]
        assert (named / "denoise-x").is_dir()


@pytest.mark.parametrize("n_written", [0, 9])
@pytest.mark.parametrize("name", ["requests", None])
def test_a_full_disk_stops_no_server_and_leaves_no_folder(
    temporary_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str | None, n_written: int
) -> None:
    write = os.write

    def fill_the_disk(file: int, content: bytes) -> int:
        if content != private_folder.LOCK_CONTENT:
            return write(file, content)
        if n_written == 0:
            raise OSError(28, "No space left on device")
        return write(file, content[:n_written])

    named = name and temporary_folder / name
    context = ServerContext(gain_network(0.5), LIMITS, requests_folder=named or None)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fill_the_disk)
        context.request_files.open()
        (folder,) = temporary_folder.iterdir()
        assert (folder / "lock").stat().st_size == 0
        with pytest.raises(UsageError, match="Another server uses"):
            private_folder.open_folder(folder)
    assert client_of(context).post("/v1/denoise", data=WAV).status_code == 200
    if os.name != "nt":  # there no other handle may read what is locked
        assert (folder / "lock").read_bytes() == private_folder.LOCK_CONTENT
    context.request_files.close()
    assert list(temporary_folder.iterdir()) == []


def test_the_folder_of_a_running_server_is_kept(temporary_folder: Path) -> None:
    path = abandon()
    with private_folder.open_folder(path):
        private_folder.remove_abandoned_folders()
        assert (path / "in").exists()


@pytest.mark.parametrize("moment", ["no lock file", "not locked"])
def test_the_folder_of_a_starting_server_is_kept(temporary_folder: Path, moment: str) -> None:
    path = private_folder.make_temporary_folder("jobs")
    if moment == "not locked":
        (path / "lock").touch()
    private_folder.remove_abandoned_folders()
    assert path.parent == temporary_folder and path.is_dir()
    private_folder.open_folder(path).close()


def test_folders_that_no_server_without_a_port_has_made_are_kept(
    temporary_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_port = private_folder.default_folder(8765, "jobs")
    abandon().rename(of_port)
    other_content = abandon()
    (other_content / "lock").write_bytes(private_folder.LOCK_CONTENT + b"mine")
    lock_is_folder = private_folder.make_temporary_folder("jobs")
    (lock_is_folder / "lock").mkdir()
    file = abandon().with_name("denoise-jobs-0-file")
    file.write_bytes(WAV)
    private_folder.remove_abandoned_folders()
    kept = {of_port, other_content, lock_is_folder, file}
    assert set(temporary_folder.iterdir()) == kept
    if os.name != "nt":
        elsewhere = temporary_folder / "elsewhere"
        link = abandon()
        link.rename(elsewhere)
        link.symlink_to(elsewhere)
        private_folder.remove_abandoned_folders()
        assert (elsewhere / "in").exists() and link.is_symlink()
        of_another = abandon()
        user = os.geteuid()
        monkeypatch.setattr(private_folder.os, "geteuid", lambda: user + 1)
        private_folder.remove_abandoned_folders()
        assert (of_another / "in").exists()
