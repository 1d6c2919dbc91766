"""The Flask application: routes, guards, and answers that never say more than they should."""

import logging
import time

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from denoise.server import request_parsing
from denoise.server.context import ServerContext
from denoise.server.host_check import ANY_HOST
from denoise.server.limits import Limits
from denoise.server.problems import BY_STATUS, MEDIA_TYPE, ProblemError
from denoise.server.routes import ROUTES, Route
from denoise.server.views import make_views

log = logging.getLogger("denoise.server")
FORM_PARTS = 16
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
DETAILS = {
    "bad-request": "The body or the headers are malformed.",
    "not-found": "GET /openapi.json names the routes.",
    "wrong-method": "The header Allow names the methods.",
    "failed": "This is not your fault. The server's log says more.",
}


def create_app(service: ServerContext) -> Flask:
    """Return the application, with the routes of the table and no other."""
    app = Flask("denoise.server", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = service.limits.body_bytes
    app.config["MAX_FORM_PARTS"] = FORM_PARTS
    app.json.sort_keys = False  # type: ignore[attr-defined]
    views = make_views(service)
    for route in ROUTES:
        app.add_url_rule(
            route.path,
            route.view,
            views[route.view],
            methods=[route.method],
            provide_automatic_options=False,
        )
    _watch(app, service)
    app.register_error_handler(Exception, lambda error: _answer(error, service))
    return app


def _watch(app: Flask, service: ServerContext) -> None:
    """Guard every request, and count it."""
    by_view = {route.view: route for route in ROUTES}

    @app.before_request
    def begin() -> None:
        g.started = time.monotonic()
        service.meters.add("in_flight")
        if request.endpoint not in ANY_HOST:
            service.hosts.check(request.headers.get("Host"), service.token is not None)
        if request.endpoint in by_view:
            _guard(by_view[request.endpoint], service)

    @app.after_request
    def end(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "none"
        seconds = time.monotonic() - g.started
        service.meters.answered(route, response.status_code, seconds)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.teardown_request
    def leave(_: BaseException | None) -> None:
        service.meters.add("in_flight", -1)


def _guard(route: Route, service: ServerContext) -> None:
    """Raise ProblemError for what is refused before any of the body is read."""
    if not route.is_open:
        request_parsing.check_token(request, service.token)
    if route.works:
        request_parsing.check_site(request)
    request_parsing.check_query(request, route)
    if route.works:
        request_parsing.check_body(request, service.limits.body_bytes)
        if service.is_stopping.is_set():
            raise ProblemError("stopping", "The server is stopping: it takes no new work.")


def _answer(error: Exception, service: ServerContext) -> Response:
    """Return what the client is told of an error."""
    problem = _as_problem(error, service.limits)
    if problem.kind == "busy":
        service.meters.add("busy_total")
    if problem.kind == "failed":
        log.error("%s %s failed", request.method, request.path, exc_info=error)
    return Response(problem.to_json(), problem.status, problem.headers, mimetype=MEDIA_TYPE)


def _as_problem(error: Exception, limits: Limits) -> ProblemError:
    if isinstance(error, ProblemError):
        return error
    status = (error.code or 500) if isinstance(error, HTTPException) else 500
    if status == 413:
        return _too_large(limits)
    fallback = "bad-request" if 400 <= status < 500 else "failed"
    kind = BY_STATUS.get(status, fallback)
    headers = {}
    if kind == "wrong-method":
        headers["Allow"] = ", ".join(getattr(error, "valid_methods", None) or [])
    return ProblemError(kind, DETAILS.get(kind, DETAILS[fallback]), headers=headers)


def _too_large(limits: Limits) -> ProblemError:
    """Tell of a body that did not say its length, or of a form's with too many parts."""
    length = request.content_length
    if length is not None and length <= limits.body_bytes:
        return ProblemError("bad-request", "The form holds too many fields, or too long a one.")
    most = limits.body_bytes
    return ProblemError("too-large", f"At most {most} bytes are taken; more came.", most, length)
