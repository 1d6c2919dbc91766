"""The OpenAPI 3.1 document, generated from the table of routes."""

from http import HTTPStatus
from typing import Any

from denoise.server.limits import Limits
from denoise.server.page import load_parts
from denoise.server.problems import MEDIA_TYPE
from denoise.server.response_schemas import BODIES, HEADERS, PROBLEM, PROBLEM_HEADERS
from denoise.server.routes import JSON, ROUTES, Route
from denoise.version import __version__

FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary", "minLength": 1}},
}

PATH_PARAMETERS: dict[str, dict[str, Any]] = {
    "name": {"type": "string", "enum": sorted(load_parts())},
    "job_id": {"type": "string", "format": "job-id"},
}
SEEN = {"204": {"description": "The client has seen the last event, as its Last-Event-ID says"}}


def describe(has_token: bool, limits: Limits) -> dict[str, Any]:
    """Return the document of a server with or without a token, and with these limits."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        operation = _describe_operation(route, has_token, limits)
        paths.setdefault(route.template, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "denoise", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _describe_operation(route: Route, has_token: bool, limits: Limits) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.view,
        "summary": route.summary,
        "responses": {str(route.status): _describe_success(route)} | _describe_problems(route),
    }
    if parameters := _describe_parameters(route):
        operation["parameters"] = parameters
    if route.view == "job_events":
        operation["responses"] |= SEEN
    if route.receives_recording:
        content, text = _describe_body(route), limits.describe()
        operation["requestBody"] = {"description": text, "required": True, "content": content}
    if has_token and not route.is_open:
        operation["security"] = [{"token": []}]
    return operation


def _describe_parameters(route: Route) -> list[dict[str, Any]]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": PATH_PARAMETERS[name]}
        for name in route.parameters
    ]
    in_query = [
        {"name": name, "in": "query", "schema": schema} for name, schema in route.query.items()
    ]
    return in_path + in_query


def _describe_success(route: Route) -> dict[str, Any]:
    schema = {"schema": BODIES[route.view]} if JSON in route.media_types else {}
    content = {media: schema if media == JSON else {} for media in route.media_types}
    response: dict[str, Any] = {"description": route.summary}
    response |= {"content": content} if content else {}
    return response | ({"headers": HEADERS[route.view]} if route.view in HEADERS else {})


def _describe_problems(route: Route) -> dict[str, Any]:
    statuses = route.problems + ((503,) if route.view == "readyz" else ())
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": schema}},
            "headers": PROBLEM_HEADERS.get(status, {}),
        }
        for status in statuses
    }


def _describe_body(route: Route) -> dict[str, Any]:
    form = {"multipart/form-data": {"schema": FORM}}
    raw: dict[str, Any] = {"audio/*": {}, "video/*": {}, "application/octet-stream": {}}
    return form | raw if route.accepts_raw else form
