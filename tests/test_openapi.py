"""The OpenAPI document must match the routes: schemathesis sends requests and checks responses."""

import copy
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import strategies as st

from denoise.server.app import create_app
from denoise.server.routes import JSON, ROUTES, Route
from tests.corpora import encode
from tests.networks import RATE
from tests.project import wait_until
from tests.test_server import NO_SAMPLES, NOISY, WAV, client_of, form, make_context

TOKEN = "s3cret"
SOUNDS = [WAV, encode(NOISY, "FLAC", "PCM_16", RATE)]
UNUSABLE = [encode(np.zeros((9, 9)), "WAV"), NO_SAMPLES]  # audio, with 9 channels or no samples
BODIES = st.sampled_from(SOUNDS) | st.sampled_from(UNUSABLE) | st.binary(min_size=1, max_size=300)
CONFIG: dict[str, Any] = {
    "seed": 1,
    "continue-on-failure": True,
    "suppress-health-check": ["all"],
    "generation": {"deterministic": True, "max-examples": 100, "database": "none"},
    "phases": {
        "coverage": {"generate-duplicate-query-parameters": True},
        "stateful": {"enabled": False},  # the document has no links
    },
    "checks": {
        # A schema cannot require that bytes are audio.
        # Nor that a job, whose id schemathesis found in a response, is done.
        "positive_data_acceptance": {"expected-statuses": ["2xx", 409, 415, 422]},
        "ignored_auth": {"enabled": False},  # in version 4.32 it fails without a network
    },
}


@dataclass
class Findings:
    """The response statuses by operation, the failed checks, and a message for each of them."""

    statuses: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    failures: set[tuple[str, str]] = field(default_factory=set)
    messages: list[str] = field(default_factory=list)


def check_server(document: dict[str, Any], token: str = "") -> Findings:
    """Send requests that a document allows and ones that it forbids; return the findings."""
    import schemathesis  # here, because importing it takes a second
    from schemathesis.engine import events, from_schema

    context = make_context(token=token, jobs=10**6)
    client, job_ids = client_of(context), [""]

    def draw_job_id() -> str:
        if context.jobs.store.get(job_ids[-1]) is None:  # it was deleted
            job_ids.append(finished_job(client, token))
        return job_ids[-1]

    schemathesis.openapi.format("binary", BODIES)
    schemathesis.openapi.format("job-id", st.builds(draw_job_id))
    for media_type in ("application/octet-stream", "audio/*"):
        schemathesis.openapi.media_type(media_type, BODIES)
    headers = {"headers": {"Authorization": f"Bearer {token}"}} if token else {}
    config = schemathesis.Config.from_dict(CONFIG | headers)
    schema = schemathesis.openapi.from_dict(document, config=config)
    schema.app = create_app(context)
    findings = Findings()
    for event in from_schema(schema).execute():
        assert not isinstance(event, events.NonFatalError | events.FatalError), event
        if isinstance(event, events.ScenarioFinished):
            _collect(event.recorder, findings)
    return findings


def finished_job(client: FlaskClient, token: str = "") -> str:
    """Make a job and wait until it is done; return its id."""
    headers = {"Authorization": f"Bearer {token}"}
    job = client.post("/v1/jobs", data=WAV, headers=headers).get_json()
    wait_until(lambda: client.get(job["url"], headers=headers).get_json()["state"] == "done")
    return str(job["id"])


def _collect(recorder: Any, findings: Findings) -> None:
    for each in recorder.interactions.values():
        assert each.response is not None
        findings.statuses[recorder.label].add(each.response.status_code)
    for each in (check for checks in recorder.checks.values() for check in checks):
        if each.failure_info is not None:
            findings.failures.add((recorder.label, each.name))
            failure, code = each.failure_info.failure, each.failure_info.code_sample
            findings.messages.append(f"{recorder.label}: {each.name}: {failure}\n{code[:600]}")


def document_of(token: str = "") -> dict[str, Any]:
    document = client_of(make_context(token=token)).get("/openapi.json").get_json()
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("token", ["", TOKEN], ids=["open", "with a token"])
@pytest.mark.slow
def test_the_document_matches_the_routes(token: str) -> None:
    findings = check_server(document_of(token), token)
    assert findings.failures == set(), "\n".join(findings.messages)
    assert set(findings.statuses) == {f"{route.method} {route.template}" for route in ROUTES}
    for route in ROUTES:
        statuses = findings.statuses[f"{route.method} {route.template}"]
        refused = {400, 415, 422} if route.uses_worker else {400, 415} if route.makes_job else set()
        assert statuses >= {route.status} | refused, route


def falsify(document: dict[str, Any]) -> None:
    """Make a document contradict the routes."""
    paths = document["paths"]
    del paths["/v1/spectrogram"]["post"]["responses"]["415"]
    ok = {path: of["get"]["responses"]["200"] for path, of in paths.items() if "get" in of}
    ok["/livez"]["content"][JSON]["schema"]["properties"]["status"] = {"const": "dead"}
    ok["/metrics"]["content"] = {"text/html": {}}
    paths["/v1/denoise"]["post"]["responses"]["200"]["headers"]["Audio-Year"] = {"required": True}
    paths["/v1/denoise"]["post"]["parameters"][1]["schema"] = {"type": "integer"}
    paths["/v1/gone"] = {"get": copy.deepcopy(paths["/livez"]["get"])}


@pytest.mark.slow
def test_contradictions_are_found() -> None:
    document = document_of()
    falsify(document)
    assert check_server(document).failures == {
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


def test_the_document_marks_the_routes_that_need_a_token() -> None:
    client, document = client_of(make_context(token=TOKEN)), document_of(TOKEN)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            needs_token = operation.get("security") == [{"token": []}]
            is_refused = client.open(path, method=method).status_code == 401
            assert needs_token == is_refused == ("401" in operation["responses"]), (method, path)
    assert "security" not in str(document_of()["paths"])


def undocumented_keys(schema: dict[str, Any], body: Any) -> set[str]:
    """Return the keys of a response body that its schema does not list."""
    if isinstance(body, list):
        return set().union(*(undocumented_keys(schema["items"], each) for each in body[:1]))
    properties = schema.get("properties")
    if not isinstance(body, dict) or properties is None:
        return set()
    known = body.keys() & properties.keys()
    deeper = (undocumented_keys(properties[key], body[key]) for key in known)
    return (set(body) - known).union(*deeper)


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if JSON in route.media_types], ids=lambda route: route.view
)
def test_the_document_lists_every_key_of_the_responses(route: Route) -> None:
    operation = document_of()["paths"][route.template][route.method.lower()]
    schema = operation["responses"][str(route.status)]["content"][JSON]["schema"]
    client, body = client_of(make_context()), form(WAV) if route.receives_recording else {}
    path = route.path.replace("<job_id>", finished_job(client))
    response = client.open(path, method=route.method, **body)
    assert response.status_code == route.status
    assert undocumented_keys(schema, response.get_json()) == set()
