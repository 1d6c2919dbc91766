"""The OpenAPI 3.1 document, made from the table of routes."""

from http import HTTPStatus
from typing import Any

from denoise.server.problems import MEDIA_TYPE
from denoise.server.routes import JSON, ROUTES, Route
from denoise.version import VERSION

PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "limit": {"type": "number"},
        "actual": {"type": "number"},
    },
}
FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary"}},
}


def describe() -> dict[str, Any]:
    """Return the document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        path = route.path.replace("<", "{").replace(">", "}")
        paths.setdefault(path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "denoise", "version": VERSION},
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.view,
        "summary": route.summary,
        "responses": {"200": _answer(route)} | _problems(route),
    }
    if parameters := _parameters(route):
        operation["parameters"] = parameters
    if route.works:
        operation["requestBody"] = {"required": True, "content": _body(route)}
    if not route.is_open:
        operation["security"] = [{}, {"token": []}]  # the server may ask for none
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    named = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in route.names
    ]
    asked = [{"name": name, "in": "query", "schema": how} for name, how in route.query.items()]
    return named + asked


def _answer(route: Route) -> dict[str, Any]:
    schema = {"type": "object"}
    content = {kind: {"schema": schema} if kind == JSON else {} for kind in route.answer}
    return {"description": route.summary, "content": content}


def _problems(route: Route) -> dict[str, Any]:
    statuses = route.problems + ((503,) if route.view == "readyz" else ())
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status in statuses
    }


def _body(route: Route) -> dict[str, Any]:
    form = {"multipart/form-data": {"schema": FORM}}
    raw: dict[str, Any] = {"audio/*": {}, "application/octet-stream": {}}
    return form | raw if route.takes_raw else form
