"""The OpenAPI document, held to what the routes do: schemathesis asks, and judges each answer."""

import copy
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from denoise.server.app import create_app
from denoise.server.routes import JSON, ROUTES, Route
from tests.corpora import encode
from tests.networks import RATE
from tests.test_server import NO_SAMPLES, NOISY, WAV, client_of, form, make_service

TOKEN = "s3cret"
SOUNDS = [WAV, encode(NOISY, "FLAC", "PCM_16", RATE), encode(np.zeros((9, 9)), "WAV"), NO_SAMPLES]
BODIES = st.sampled_from(SOUNDS) | st.binary(min_size=1, max_size=300)
CONFIG: dict[str, Any] = {
    "seed": 1,
    "continue-on-failure": True,
    "suppress-health-check": ["all"],
    "generation": {"deterministic": True, "max-examples": 25, "database": "none"},
    "phases": {"coverage": {"generate-duplicate-query-parameters": True}},
    "checks": {
        # That bytes are audio, no schema can say.
        "positive_data_acceptance": {"expected-statuses": ["2xx", 415, 422]},
        "ignored_auth": {"enabled": False},  # it fails in version 4.32 where there is no network
    },
}


@dataclass
class Findings:
    """What the answers were, by operation, and what is wrong with them."""

    statuses: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    failures: set[tuple[str, str]] = field(default_factory=set)
    told: list[str] = field(default_factory=list)


def judge(document: dict[str, Any], token: str = "") -> Findings:
    """Send what a document allows and what it does not; return what came of it."""
    import schemathesis  # a second, for this alone
    from schemathesis.engine import events, from_schema

    schemathesis.openapi.format("binary", BODIES)
    for kind in ("application/octet-stream", "audio/*"):
        schemathesis.openapi.media_type(kind, BODIES)
    headers = {"headers": {"Authorization": f"Bearer {token}"}} if token else {}
    config = schemathesis.Config.from_dict(CONFIG | headers)
    schema = schemathesis.openapi.from_dict(document, config=config)
    schema.app = create_app(make_service(token=token))
    findings = Findings()
    for event in from_schema(schema).execute():
        assert not isinstance(event, events.NonFatalError | events.FatalError), event
        if isinstance(event, events.ScenarioFinished):
            _collect(event.recorder, findings)
    return findings


def _collect(recorder: Any, findings: Findings) -> None:
    for each in recorder.interactions.values():
        assert each.response is not None
        findings.statuses[recorder.label].add(each.response.status_code)
    for each in (check for checks in recorder.checks.values() for check in checks):
        if each.failure_info is not None:
            findings.failures.add((recorder.label, each.name))
            failure, code = each.failure_info.failure, each.failure_info.code_sample
            findings.told.append(f"{recorder.label}: {each.name}: {failure}\n{code[:600]}")


def document_of(token: str = "") -> dict[str, Any]:
    document = client_of(make_service(token=token)).get("/openapi.json").get_json()
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("token", ["", TOKEN], ids=["open", "with a token"])
def test_the_document_says_what_the_routes_do(token: str) -> None:
    findings = judge(document_of(token), token)
    assert findings.failures == set(), "\n".join(findings.told)
    assert set(findings.statuses) == {f"{route.method} {route.template}" for route in ROUTES}
    for route in ROUTES:
        statuses = findings.statuses[f"{route.method} {route.template}"]
        assert statuses >= ({200, 400, 415, 422} if route.works else {200})


def change(document: dict[str, Any]) -> None:
    """Make a document say what is not so."""
    paths = document["paths"]
    del paths["/v1/spectrogram"]["post"]["responses"]["415"]
    answers = {path: of["get"]["responses"]["200"] for path, of in paths.items() if "get" in of}
    answers["/livez"]["content"][JSON]["schema"]["properties"]["status"] = {"const": "dead"}
    answers["/metrics"]["content"] = {"text/html": {}}
    paths["/v1/denoise"]["post"]["responses"]["200"]["headers"]["Audio-Year"] = {"required": True}
    paths["/v1/denoise"]["post"]["parameters"][1]["schema"] = {"type": "integer"}
    paths["/v1/gone"] = {"get": copy.deepcopy(paths["/livez"]["get"])}


def test_what_is_not_so_is_found() -> None:
    document = document_of()
    change(document)
    assert judge(document).failures == {
        ("POST /v1/spectrogram", "status_code_conformance"),
        ("GET /livez", "response_schema_conformance"),
        ("GET /metrics", "content_type_conformance"),
        ("POST /v1/denoise", "response_headers_conformance"),
        ("POST /v1/denoise", "negative_data_rejection"),
        ("POST /v1/denoise", "positive_data_acceptance"),
        *[
            ("GET /v1/gone", check)
            for check in (
                "positive_data_acceptance",
                "status_code_conformance",
                "unsupported_method",
            )
        ],
    }


def test_the_document_says_where_a_token_is_needed() -> None:
    client, document = client_of(make_service(token=TOKEN)), document_of(TOKEN)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            asks = operation.get("security") == [{"token": []}]
            refused = client.open(path, method=method).status_code == 401
            assert asks == refused == ("401" in operation["responses"]), (method, path)
    assert "security" not in str(document_of()["paths"])


def left_out(schema: dict[str, Any], answer: Any) -> set[str]:
    """Name what an answer holds that its schema does not speak of."""
    if isinstance(answer, list):
        return set().union(*(left_out(schema["items"], each) for each in answer[:1]))
    properties = schema.get("properties")
    if not isinstance(answer, dict) or properties is None:
        return set()
    known = answer.keys() & properties.keys()
    return set(answer) - known | {
        x for key in known for x in left_out(properties[key], answer[key])
    }


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if JSON in route.answer], ids=lambda route: route.view
)
def test_the_document_speaks_of_all_that_is_answered(route: Route) -> None:
    of = document_of()["paths"][route.template][route.method.lower()]["responses"]["200"]
    body = form(WAV) if route.works else {}
    answer = client_of(make_service()).open(route.path, method=route.method, **body)
    assert answer.status_code == 200
    assert left_out(of["content"][JSON]["schema"], answer.get_json()) == set()
