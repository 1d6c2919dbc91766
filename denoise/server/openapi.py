"""The OpenAPI 3.1 document, made from the table of routes."""

from http import HTTPStatus
from typing import Any

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

PART = {"type": "string", "enum": sorted(load_parts())}


def describe(asks_for_token: bool = False) -> dict[str, Any]:
    """Return the document of a server that asks for a token, or for none."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.template, {})[route.method.lower()] = _operation(
            route, asks_for_token
        )
    return {
        "openapi": "3.1.0",
        "info": {"title": "denoise", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, asks_for_token: bool) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.view,
        "summary": route.summary,
        "responses": {"200": _answer(route)} | _problems(route),
    }
    if parameters := _parameters(route):
        operation["parameters"] = parameters
    if route.works:
        operation["requestBody"] = {"required": True, "content": _body(route)}
    if asks_for_token and not route.is_open:
        operation["security"] = [{"token": []}]
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    named = [{"name": name, "in": "path", "required": True, "schema": PART} for name in route.names]
    asked = [{"name": name, "in": "query", "schema": how} for name, how in route.query.items()]
    return named + asked


def _answer(route: Route) -> dict[str, Any]:
    schema = {"schema": BODIES[route.view]} if JSON in route.answer else {}
    content = {kind: schema if kind == JSON else {} for kind in route.answer}
    answer = {"description": route.summary, "content": content}
    return answer | ({"headers": HEADERS[route.view]} if route.view in HEADERS else {})


def _problems(route: Route) -> dict[str, Any]:
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


def _body(route: Route) -> dict[str, Any]:
    form = {"multipart/form-data": {"schema": FORM}}
    raw: dict[str, Any] = {"audio/*": {}, "application/octet-stream": {}}
    return form | raw if route.takes_raw else form
