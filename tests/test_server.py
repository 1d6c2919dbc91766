"""The routes of denoise serve: what they answer, refuse, and never say."""

import dataclasses
import gc
import io
import json
import re
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from denoise.dsp import formats
from denoise.network.spec import MaskNetwork
from denoise.server.app import create_app
from denoise.server.cli import make_parser
from denoise.server.context import ServerContext
from denoise.server.limits import Limits, thousandths_up
from denoise.server.problems import BY_STATUS, KINDS
from denoise.server.routes import ROUTES
from tests.closures import ROOT
from tests.corpora import encode
from tests.networks import RATE, gain_network
from tests.test_audio import flac_claiming

LIMITS = Limits(body_bytes=200_000, channel_seconds=20, deadline_seconds=30, slots=1, queue=0)
NOISY = (0.1 * np.random.default_rng(5).standard_normal((3000, 1))).astype(np.float32)
WAV = encode(NOISY, "WAV", "FLOAT", RATE)
NO_SAMPLES = encode(np.zeros((0, 1)))
WORKING = [route.path for route in ROUTES if route.works]


def make_service(
    network: MaskNetwork | None = None, token: str = "", **changes: Any
) -> ServerContext:
    limits = dataclasses.replace(LIMITS, **changes)
    return ServerContext(network or gain_network(0.5), limits, token or None)


def client_of(service: ServerContext) -> FlaskClient:
    return create_app(service).test_client()


@pytest.fixture
def client() -> FlaskClient:
    return client_of(make_service())


def form(content: bytes, name: str = "talk.wav", field: str = "file") -> dict[str, Any]:
    return {"data": {field: (io.BytesIO(content), name)}}


def refusal(response: TestResponse, status: int) -> dict[str, Any]:
    """Check that an answer is a problem of this status; return it."""
    assert response.status_code == status, response.data[:300]
    assert response.mimetype == "application/problem+json"
    told = json.loads(response.data)
    assert told["status"] == status
    kind = told["type"].removeprefix("urn:denoise:")
    assert KINDS[kind] == (status, told["title"])
    for leaked in ("/tmp", "Traceback", "libsndfile", "Error", "Format not", ".py"):
        assert leaked not in response.text
    return told


def heard(response: TestResponse) -> tuple[np.ndarray, int]:
    assert response.status_code == 200, response.data[:300]
    return soundfile.read(io.BytesIO(response.data), dtype="float32", always_2d=True)


@pytest.mark.parametrize("how", [{"data": WAV, "content_type": "audio/wav"}, form(WAV)])
def test_a_recording_comes_back_denoised(client: FlaskClient, how: dict[str, Any]) -> None:
    response = client.post("/v1/denoise", **how)
    samples, rate = heard(response)
    assert rate == RATE
    np.testing.assert_allclose(samples, NOISY / 2, atol=1e-6)
    told = [response.headers[f"Audio-{name}"] for name in ("Sample-Rate", "Channels", "Seconds")]
    assert told == [str(RATE), "1", "0.375000"]
    assert response.mimetype == "audio/wav"
    assert response.content_length == len(response.data)


@pytest.mark.parametrize(
    ("query", "factor"),
    [("strength=0", 1), ("strength=0.5", 0.75), ("residual=true", 0.5), ("residual=0", 0.5)],
)
def test_options_do_what_the_library_does(client: FlaskClient, query: str, factor: float) -> None:
    samples, _ = heard(client.post(f"/v1/denoise?{query}", data=WAV))
    np.testing.assert_allclose(samples, NOISY * factor, atol=1e-6)


@pytest.mark.parametrize("choice", formats.CHOICES)
def test_every_format_goes_in_and_out(client: FlaskClient, choice: str) -> None:
    response = client.post(f"/v1/denoise?format={choice}", data=WAV)
    samples, rate = heard(response)
    assert (rate, len(samples)) == (RATE, len(NOISY))
    assert soundfile.info(io.BytesIO(response.data)).format == formats.BY_EXTENSION[choice]
    again = client.post("/v1/denoise", data=response.data, content_type="audio/x")
    assert again.mimetype == response.mimetype
    assert len(heard(again)[0]) == len(NOISY)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("talk.wav", "talk-denoised.wav"),
        ("../../etc/passwd", "etc_passwd-denoised.wav"),
        ("..\\..\\a b.mp3", "a_b-denoised.wav"),
        ('x".wav\r\nSet-Cookie: a', "x.wavSet-Cookie_a"),
        ("日本.wav", "wav-denoised.wav"),
        (".." * 200 + "a" * 300, "a" * 80 + "-denoised.wav"),
    ],
)
def test_names_are_safe(client: FlaskClient, name: str, safe: str) -> None:
    response = client.post("/v1/denoise", **form(WAV, name))
    header = response.headers["Content-Disposition"]
    assert re.fullmatch(r'attachment; filename="[\w.-]{1,100}"', header, re.ASCII)
    if "\r" not in name:
        assert f'"{safe}"' in header
    assert ".." not in header and "Set-Cookie" not in response.headers


def test_the_reference_s_route_gives_numbers(client: FlaskClient) -> None:
    stereo = np.hstack([NOISY, 3 * NOISY])
    response = client.post("/", **form(encode(stereo, "WAV", "FLOAT", RATE)))
    told = json.loads(response.data)
    assert list(told) == ["data"]
    np.testing.assert_allclose(told["data"], NOISY[:, 0], atol=1e-6)


def test_numbers_of_many_blocks_are_one_list(client: FlaskClient) -> None:
    long = encode(np.tile(NOISY, (50, 1)), "OGG", "VORBIS", RATE)
    told = json.loads(client.post("/", **form(long)).data)
    assert len(told["data"]) == 150_000


@pytest.mark.parametrize("n_samples", [1, 700, 70_000])
def test_the_spectrogram_shows_where_a_tone_is(client: FlaskClient, n_samples: int) -> None:
    seconds = np.arange(n_samples) / RATE
    tone = np.sin(2 * np.pi * 1000 * seconds)[:, None]
    told = client.post("/v1/spectrogram", data=encode(tone, "WAV")).get_json()
    db = np.array(told["db"])
    assert db.shape == (len(told["seconds"]), len(told["hz"])) and len(db) <= 400
    assert told["duration_seconds"] == n_samples / RATE
    assert 0 <= told["seconds"][0] <= told["seconds"][-1] <= n_samples / RATE
    if n_samples > 512:
        assert told["seconds"][-1] + told["seconds"][1] >= n_samples / RATE
        middle = db[len(db) // 2]
        assert abs(told["hz"][int(middle.argmax())] - 1000) < 2 * RATE / 512
        assert middle.max() == pytest.approx(0, abs=1.5)


def test_a_late_sound_stays_late_however_long_it_is(client: FlaskClient) -> None:
    late = np.zeros((19 * RATE, 1))
    late[15 * RATE : 16 * RATE] = 0.5
    told = client.post("/v1/spectrogram", data=encode(late, "WAV", "PCM_U8", RATE)).get_json()
    assert 200 <= len(told["db"]) <= 400
    loudest = [told["seconds"][i] for i, row in enumerate(told["db"]) if row[0] > -20]
    assert 14.8 < min(loudest) < 15.2 and 15.8 < max(loudest) < 16.2


def test_light_routes(client: FlaskClient) -> None:
    assert client.get("/v1/model").get_json()["sample_rate"] == RATE
    assert client.get("/v1/limits").get_json()["body_bytes"] == LIMITS.body_bytes
    assert client.get("/livez").get_json() == {"status": "alive"}
    assert client.get("/readyz").get_json() == {"status": "ready"}


def test_the_openapi_document_has_flask_s_routes_and_no_other() -> None:
    app = create_app(make_service())
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


def test_meters_count(client: FlaskClient) -> None:
    client.post("/v1/denoise", data=WAV)
    client.post("/v1/denoise", data=b"x")
    client.get("/etc/passwd")
    text = client.get("/metrics").text
    assert 'denoise_requests_total{route="/v1/denoise",status="200"} 1\n' in text
    assert 'denoise_requests_total{route="/v1/denoise",status="415"} 1\n' in text
    assert 'denoise_requests_total{route="none",status="404"} 1\n' in text
    assert 'denoise_request_seconds_count{route="/v1/denoise"} 2\n' in text
    assert "denoise_audio_seconds_total 0.375\n" in text
    assert "denoise_in_flight 1\n" in text  # this one
    assert "denoise_places_taken 0\n" in text


@pytest.mark.parametrize("path", ["/v1/limits", "/nothing", "/v1/denoise"])
def test_every_answer_has_the_security_headers(client: FlaskClient, path: str) -> None:
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
    told = refusal(client.post(f"/v1/denoise?{query}", data=WAV), 400)
    assert {key: told[key] for key in ("limit", "actual") if key in told} == numbers


@pytest.mark.parametrize(
    "how",
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
def test_400_for_a_body_without_one_file(client: FlaskClient, how: dict[str, Any]) -> None:
    refusal(client.post("/v1/denoise", **how), 400)


def test_401_without_the_token() -> None:
    client = client_of(make_service(token="s3cret"))
    for header in ("", "Bearer", "Bearer wrong", "Basic s3cret", "Bearer s3cret\xe9"):
        for method, path in (("POST", "/v1/denoise"), ("POST", "/"), ("GET", "/metrics")):
            response = client.open(path, method=method, headers={"Authorization": header})
            refusal(response, 401)
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
    right = {"Authorization": "bearer s3cret"}
    assert client.post("/v1/denoise", data=WAV, headers=right).status_code == 200
    assert client.get("/livez").status_code == client.get("/readyz").status_code == 200


@pytest.mark.parametrize("path", WORKING)
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
    refusal(client.post(path, **form(WAV), headers=header), 403)
    own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert client.post(path, **form(WAV), headers=own).status_code == 200


def test_404_and_405(client: FlaskClient) -> None:
    refusal(client.get("/nothing/../here"), 404)
    for method, path, allowed in (
        ("GET", "/v1/denoise", {"POST"}),
        ("OPTIONS", "/v1/denoise", {"POST"}),
        ("PUT", "/v1/limits", {"GET", "HEAD"}),
        ("DELETE", "/", {"GET", "HEAD", "POST"}),
    ):
        response = client.open(path, method=method)
        refusal(response, 405)
        assert set(response.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize("path", WORKING)
def test_413_for_a_body_that_is_too_large(client: FlaskClient, path: str) -> None:
    most = LIMITS.body_bytes
    large = form(b"x" * most)
    told = refusal(client.post(path, **large), 413)
    assert told["limit"] == most and told["actual"] > most


def test_413_for_a_body_of_no_announced_length(client: FlaskClient) -> None:
    endless = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    for size, status in ((LIMITS.body_bytes + 1, 413), (len(WAV), 200)):
        content = io.BytesIO((WAV + b"\0" * size)[:size])
        how = {"input_stream": content, "content_type": "audio/wav"}
        response = client.post("/v1/denoise", **how, environ_overrides=endless)
        assert response.status_code == status
        if status == 413:
            assert refusal(response, 413)["limit"] == LIMITS.body_bytes


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "video/mp4"])
def test_415_for_other_content_types(client: FlaskClient, kind: str) -> None:
    refusal(client.post("/v1/denoise", data=WAV, content_type=kind), 415)
    refusal(client.post("/", data=WAV, content_type="audio/wav"), 415)


def test_422_where_the_format_asked_for_cannot_hold_it(client: FlaskClient) -> None:
    wide = encode(np.zeros((100, 4)), "WAV", "PCM_16", RATE)
    assert "wav" in refusal(client.post("/v1/denoise?format=mp3", data=wide), 422)["detail"]


def test_500_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def mask(_: np.ndarray) -> np.ndarray:
        raise RuntimeError("secret in /tmp")

    service = make_service(dataclasses.replace(gain_network(1), mask=mask))
    client = client_of(service)
    for path in ("/v1/denoise", "/"):
        assert "secret" not in refusal(client.post(path, **form(WAV)), 500).values()
    assert "secret" in caplog.text
    assert client.get("/metrics").text.count("denoise_in_flight 1\n") == 1


def test_503_when_all_places_are_taken_and_200_when_they_are_free_again() -> None:
    answers: list[TestResponse] = []

    def mask(spectrograms: np.ndarray) -> np.ndarray:
        answers.append(client_of(service).post("/v1/denoise", data=WAV))
        return spectrograms[..., 0] * 0

    service = make_service(dataclasses.replace(gain_network(1), mask=mask))
    client = client_of(service)
    for _ in range(2):
        assert client.post("/v1/denoise", data=WAV).status_code == 200
    for answer in answers:
        assert refusal(answer, 503)["limit"] == 1
        assert int(answer.headers["Retry-After"]) > 0
    assert "denoise_busy_total 2\n" in client.get("/metrics").text


def test_503_while_it_stops() -> None:
    service = make_service()
    client = client_of(service)
    service.is_stopping.set()
    for response in (client.get("/readyz"), client.post("/v1/denoise", data=WAV)):
        assert refusal(response, 503)["type"] == "urn:denoise:stopping"
        assert "Retry-After" in response.headers
    assert client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.1001, 0.101), (600.00001, 600.001), (1.1, 1.1), (2.0, 2.0), (0.35, 0.35)],
)
def test_what_is_over_a_limit_is_told_to_be_over_it(seconds: float, told: float) -> None:
    assert thousandths_up(seconds) == told


LONG = encode(np.tile(NOISY, (50, 1)), "OGG", "VORBIS", RATE)  # four blocks
WIDE = encode(np.tile(NOISY, (1, 4)))  # a block a channel, all at the end


@pytest.mark.parametrize("path", ["/v1/denoise", "/"])
@pytest.mark.parametrize("sound", [LONG, WIDE], ids=["long", "wide"])
def test_504_stops_the_work(path: str, sound: bytes) -> None:
    calls: list[int] = []

    def mask(spectrograms: np.ndarray) -> np.ndarray:
        calls.append(1)
        time.sleep(0.06)
        return spectrograms[..., 0]

    slow = dataclasses.replace(gain_network(1), mask=mask)
    client = client_of(make_service(slow, deadline_seconds=0.1))
    told = refusal(client.post(path, **form(sound)), 504)
    assert told["limit"] == 0.1 < told["actual"]
    assert len(calls) in (1, 2)


def test_nothing_is_left_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def mask(spectrograms: np.ndarray) -> np.ndarray:
        seen.append(len(list(tmp_path.iterdir())))
        return spectrograms[..., 0] * 0

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    client = client_of(make_service(dataclasses.replace(gain_network(1), mask=mask)))
    for path in WORKING:
        for content, status in ((WAV, 200), (NO_SAMPLES, 422), (b"", 400), (b"x", 415)):
            with warnings.catch_warnings(record=True) as caught:  # of what goes by chance alone
                warnings.simplefilter("always")
                with client.post(path, **form(content)) as response:
                    assert response.status_code == status
                del response
                gc.collect()
            assert [each for each in caught if "TemporaryDirectory" in str(each.message)] == []
    assert set(seen) == {1}
    assert list(tmp_path.iterdir()) == []


def wav(samples: np.ndarray, rate: int = RATE) -> bytes:
    return encode(samples, "WAV", "FLOAT", rate)


def mp3_that_claims(n_frames: int) -> bytes:
    content = encode(np.tile(NOISY, (5, 1)), "MP3", "MPEG_LAYER_III", RATE)
    place = max(content.find(b"Info"), content.find(b"Xing")) + 8
    assert place > 8
    return content[:place] + n_frames.to_bytes(4, "big") + content[place + 4 :]


SILENCE = np.zeros((30 * 48_000, 1), np.float32)  # a few kilobytes of FLAC
NAN, INFINITE = NOISY.copy(), NOISY.copy()
NAN[1000], INFINITE[2000] = np.nan, np.inf
HOSTILE: list[tuple[str, Callable[[], bytes], int, dict[str, float]]] = [
    ("a FLAC header of 2^36 samples", lambda: flac_claiming(2**36 - 1, NOISY), 200, {}),
    ("a truncated FLAC", lambda: encode(NOISY, "FLAC", "PCM_16", RATE)[:-900], 422, {}),
    ("a truncated WAV", lambda: WAV[:-5000], 200, {}),
    (
        "a FLAC of much silence",
        lambda: encode(SILENCE, "FLAC", "PCM_16", 48_000),
        413,
        {"limit": 20},
    ),
    ("channels that add up", lambda: encode(np.zeros((RATE * 6, 4)), "FLAC"), 413, {"limit": 20}),
    ("NaN", lambda: wav(NAN), 422, {}),
    ("infinity", lambda: wav(INFINITE), 422, {}),
    ("too loud for sums", lambda: wav(NOISY * 1e30), 422, {}),
    ("1 Hz", lambda: wav(NOISY, 1), 422, {"limit": 4000, "actual": 1}),
    ("1 MHz", lambda: wav(NOISY, 10**6), 422, {"limit": 192_000, "actual": 10**6}),
    ("9 channels", lambda: wav(np.zeros((9, 9))), 422, {"limit": 8, "actual": 9}),
    ("no samples", lambda: wav(np.zeros((0, 1))), 422, {}),
    ("random bytes", lambda: np.random.default_rng(0).bytes(9999), 415, {}),
    ("a header alone", lambda: b"RIFF\0\0\0\0WAVEfmt ", 415, {}),
    ("a page", lambda: b"<html><script>", 415, {}),
    ("an MP3 header that lies", lambda: mp3_that_claims(2**31 - 1), 200, {}),
]


@pytest.mark.parametrize("path", WORKING)
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
    told = refusal(response, status)
    assert {key: told[key] for key in numbers} == numbers
    if status == 413:
        assert told["actual"] > told["limit"]


@pytest.mark.parametrize(
    ("content", "seconds"),
    [(mp3_that_claims(2**31 - 1), 1.875), (flac_claiming(2**36 - 1, NOISY), 3000 / 8000)],
)
def test_what_lies_is_as_long_as_what_it_holds(
    client: FlaskClient, content: bytes, seconds: float
) -> None:
    response = client.post("/v1/denoise?format=wav", data=content)
    assert float(response.headers["Audio-Seconds"]) == pytest.approx(seconds, abs=0.2)
    assert len(heard(response)[0]) / heard(response)[1] == pytest.approx(seconds, abs=0.2)


def test_every_status_has_its_title_and_the_documents_name_it() -> None:
    page = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
    for status in BY_STATUS:
        assert f"| {status} |" in page
    for route in ROUTES:
        assert f"`{route.method} {route.path}`" in page


def test_every_option_is_described() -> None:
    from denoise.cli import client

    page = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
    described = re.findall(r"^\| (`-.*?) \|", page, flags=re.MULTILINE)
    cells = {name for cell in described for name in re.findall(r"`(-.*?)`", cell)}
    parsers = (make_parser(), client.make_parser())
    options = {name for each in parsers for act in each._actions for name in act.option_strings}
    assert cells == options - {"-h", "--help"}
