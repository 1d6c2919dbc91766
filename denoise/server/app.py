"""The Flask application: routes, checks before each request, and error responses."""

import logging
import time

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from denoise.server import request_parsing
from denoise.server.access_log import (
    UNKNOWN,
    Access,
    known_method,
    log_access,
    make_request_id,
)
from denoise.server.context import ServerContext
from denoise.server.host_check import ANY_HOST
from denoise.server.limits import Limits
from denoise.server.page import load_parts
from denoise.server.problems import BY_STATUS, MEDIA_TYPE, ProblemError
from denoise.server.routes import ROUTES, Route
from denoise.server.views import make_views

log = logging.getLogger("denoise.server")
MAX_FORM_PARTS = 16
OWN_PATHS = frozenset(route.path for route in ROUTES if not route.parameters)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
DETAILS = {
    "bad-request": "The body or the headers are malformed.",
    "not-found": "GET /openapi.json lists the routes.",
    "wrong-method": "The Allow header lists the methods.",
    "failed": "The request is not the cause. The server's log has details under the request_id.",
}


def create_app(context: ServerContext) -> Flask:
    """Return the application, with the routes of the table and no others."""
    app = Flask("denoise.server", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = context.limits.body_bytes
    app.config["MAX_FORM_PARTS"] = MAX_FORM_PARTS
    app.json.sort_keys = False  # type: ignore[attr-defined]
    views = make_views(context)
    for route in ROUTES:
        app.add_url_rule(
            route.path,
            route.view,
            views[route.view],
            methods=[route.method],
            provide_automatic_options=False,
        )
    _add_hooks(app, context)
    app.register_error_handler(Exception, lambda error: _answer_error(error, context))
    return app


def _add_hooks(app: Flask, context: ServerContext) -> None:
    """Check every request before its view runs, and update the metrics."""
    by_view = {route.view: route for route in ROUTES}
    metrics = context.metrics

    @app.before_request
    def begin() -> Response | None:
        g.started, g.request_id, g.problem = time.monotonic(), make_request_id(), None
        metrics.requests_in_flight.inc()
        if request.endpoint not in ANY_HOST:
            context.hosts.check(request.headers.get("Host"), context.token is not None)
        if context.origins.is_preflight(request) and _methods_here():
            return context.origins.make_preflight(request, _methods_here())
        if request.endpoint in by_view:
            _check_request(by_view[request.endpoint], context)
        return None

    @app.after_request
    def end(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "none"
        seconds = time.monotonic() - g.started
        metrics.count_request(route, response.status_code, seconds)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers["Request-Id"] = g.request_id
        context.origins.mark(request, response)
        _log_answer(response, seconds)
        return response

    @app.teardown_request
    def leave(_: BaseException | None) -> None:
        metrics.requests_in_flight.dec()


def _methods_here() -> list[str]:
    """Return the methods of the request's path, if the request's own method is not one of them.

    Otherwise, and for a path that does not exist, return [].
    """
    error = request.routing_exception
    return list(error.valid_methods or []) if isinstance(error, MethodNotAllowed) else []


def _logged_path() -> str:
    """Return the request's path if it is one of the server's, and "-" for what a client made up.

    Whoever knows a job's id may fetch its result, so a job's path is logged without its id.
    """
    if "job_id" in (request.view_args or {}) and request.url_rule is not None:
        return request.url_rule.rule
    is_own = request.path in OWN_PATHS or (request.view_args or {}).get("name") in load_parts()
    return request.path if is_own else UNKNOWN


def _log_answer(response: Response, seconds: float) -> None:
    access = Access(
        client=request.remote_addr or UNKNOWN,
        method=known_method(request.method),
        path=_logged_path(),
        status=response.status_code,
        bytes=0 if request.method == "HEAD" else response.content_length or 0,
        seconds=seconds,
        request_id=g.request_id,
        problem=g.problem or UNKNOWN,
    )
    log_access(access)


def _check_request(route: Route, context: ServerContext) -> None:
    """Raise ProblemError for a request that can be refused before its body is read."""
    if not route.is_open:
        request_parsing.check_token(request, context.token)
    if route.method != "GET":
        context.origins.check(request)
    request_parsing.check_query(request, route)
    if route.receives_recording:
        request_parsing.check_body(request, context.limits.body_bytes)
        context.refuse_if_stopping()


def _answer_error(error: Exception, context: ServerContext) -> Response:
    """Return the response to a request that failed; log the errors of the server itself."""
    problem = _to_problem(error, context.limits)
    if problem.kind == "busy":
        context.metrics.busy_responses.inc()
    if problem.kind == "failed":
        log.error("Request %s to %s failed.", g.request_id, _logged_path(), exc_info=error)
    g.problem = problem.kind
    return Response(
        problem.to_json(g.request_id), problem.status, problem.headers, mimetype=MEDIA_TYPE
    )


def _to_problem(error: Exception, limits: Limits) -> ProblemError:
    if isinstance(error, ProblemError):
        return error
    status = (error.code or 500) if isinstance(error, HTTPException) else 500
    if status == 413:
        return _too_large_problem(limits)
    fallback = "bad-request" if 400 <= status < 500 else "failed"
    kind = BY_STATUS.get(status, fallback)
    headers = {}
    if kind == "wrong-method":
        headers["Allow"] = ", ".join(getattr(error, "valid_methods", None) or [])
    return ProblemError(kind, DETAILS.get(kind, DETAILS[fallback]), headers=headers)


def _too_large_problem(limits: Limits) -> ProblemError:
    """Return the error for a form with too many parts, or a body without Content-Length."""
    length = request.content_length
    if length is not None and length <= limits.body_bytes:
        detail = "The form has too many fields, or one of its fields is too long."
        return ProblemError("bad-request", detail)
    limit = limits.body_bytes
    return ProblemError("too-large", f"The body has more than {limit} bytes.", limit, length)
