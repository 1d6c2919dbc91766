"""Validate a request and read its options and its recording."""

import hmac
import math
import shutil
from pathlib import Path

from flask import Request

from denoise.dsp import formats
from denoise.inference.file_denoiser import Options
from denoise.server.problems import ProblemError
from denoise.server.routes import Route

RAW = ("", "application/octet-stream", "application/ogg", "application/x-www-form-urlencoded")
MEDIA = ("audio/", "video/")
FORM = "multipart/form-data"
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def check_token(request: Request, token: str | None) -> None:
    """Raise ProblemError where the server has a token and the request does not carry it."""
    if token is None:
        return
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    is_same = hmac.compare_digest(given.strip().encode(), token.encode())
    if scheme.lower() != "bearer" or not is_same:
        detail = "Send the header Authorization: Bearer, followed by the token."
        raise ProblemError("unauthorized", detail)


def check_query(request: Request, route: Route) -> None:
    """Raise ProblemError for a query with unknown or repeated keys, or that is not UTF-8."""
    try:
        request.query_string.decode()
    except UnicodeDecodeError as error:
        raise ProblemError("bad-request", "The query is not valid UTF-8.") from error
    for key, values in request.args.lists():
        if key not in route.query:
            known = ", ".join(route.query) or "none"
            detail = f"The query has an unknown key; the keys of this route are: {known}."
            raise ProblemError("bad-request", detail)
        if len(values) > 1:
            raise ProblemError("bad-request", f"The query gives {key} more than once.")


def read_options(request: Request) -> Options:
    """Read strength, residual and format from the query; raises ProblemError for bad values."""
    residual = request.args.get("residual", "false").lower()
    if residual not in BOOLEANS:
        raise ProblemError("bad-request", "residual must be true or false.")
    choice = request.args.get("format")
    if choice is not None and choice not in formats.CHOICES:
        raise ProblemError("bad-request", f"format must be one of {', '.join(formats.CHOICES)}.")
    return Options(_parse_strength(request.args.get("strength", "1")), BOOLEANS[residual], choice)


def _parse_strength(text: str) -> float:
    try:
        strength = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        strength = math.nan
    if math.isnan(strength):
        raise ProblemError("bad-request", "strength must be a number from 0 to 1.")
    if not 0 <= strength <= 1:
        limit = 0 if strength < 0 else 1
        actual = strength if math.isfinite(strength) else None  # JSON has no infinity
        raise ProblemError("bad-request", "strength must be from 0 to 1.", limit, actual)
    return strength


def check_body(request: Request, max_bytes: int) -> None:
    """Raise ProblemError where Content-Length is larger than the limit."""
    length = request.content_length
    if length is not None and length > max_bytes:
        detail = f"The body may have at most {max_bytes} bytes ({max_bytes / 2**20:g} MiB)."
        raise ProblemError("too-large", detail, max_bytes, length)


def save_recording(request: Request, target: Path, accepts_raw: bool) -> str:
    """Save the recording of a request to a file; return the client's file name, or "".

    Raises ProblemError where there is not exactly one recording, and werkzeug's errors for a
    broken body.
    """
    name = ""
    if request.mimetype == FORM:
        files = request.files.getlist("file")
        if len(files) != 1:
            detail = f"The form must have one file, in the field named file; it has {len(files)}."
            raise ProblemError("bad-request", detail)
        name = files[0].filename or ""
        files[0].save(target)
    elif accepts_raw and (request.mimetype in RAW or request.mimetype.startswith(MEDIA)):
        with target.open("wb") as file:
            shutil.copyfileobj(request.stream, file)
    else:
        raw = ", or the recording itself as audio/* or video/*" if accepts_raw else ""
        detail = f"This content type is not supported. Send {FORM} with a field named file{raw}."
        raise ProblemError("no-audio", detail)
    if target.stat().st_size == 0:
        raise ProblemError("bad-request", "The recording is empty: it has no bytes.")
    return name
