"""What a request asks for, and the recording that it brings."""

import hmac
import math
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from flask import Request
from werkzeug.utils import secure_filename

from denoise.dsp import formats
from denoise.inference.file_denoiser import Options
from denoise.server.problems import ProblemError
from denoise.server.routes import Route

RAW = ("", "application/octet-stream", "application/ogg", "application/x-www-form-urlencoded")
FORM = "multipart/form-data"
MAX_NAME_LENGTH = 80
SWITCH = {"true": True, "1": True, "false": False, "0": False}


def check_token(request: Request, token: str | None) -> None:
    """Raise ProblemError unless the request bears the token, where one is asked for."""
    if token is None:
        return
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    same = hmac.compare_digest(given.strip().encode(), token.encode())
    if scheme.lower() != "bearer" or not same:
        raise ProblemError("unauthorized", "Send the header Authorization: Bearer, with the token.")


def check_site(request: Request) -> None:
    """Raise ProblemError where a browser sends for a page of another site."""
    origin = request.headers.get("Origin")
    is_foreign = origin is not None and _netloc(origin) != request.host
    if is_foreign or request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise ProblemError("cross-site", "A browser sent this for a page of another site.")


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # a bracket that nothing closes
        return None


def check_query(request: Request, route: Route) -> None:
    """Raise ProblemError for a key that the route does not know, one given twice, or no text."""
    try:
        request.query_string.decode()
    except UnicodeDecodeError as error:
        raise ProblemError("bad-request", "The query is no UTF-8.") from error
    for key, values in request.args.lists():
        if key not in route.query:
            known = ", ".join(route.query) or "none"
            raise ProblemError("bad-request", f"A query key is unknown; this route knows: {known}.")
        if len(values) > 1:
            raise ProblemError("bad-request", f"The query gives {key} more than once.")


def read_options(request: Request) -> Options:
    """Read strength, residual and format from the query; raises ProblemError for bad values."""
    residual = request.args.get("residual", "false").lower()
    if residual not in SWITCH:
        raise ProblemError("bad-request", "residual is true or false.")
    choice = request.args.get("format")
    if choice is not None and choice not in formats.CHOICES:
        raise ProblemError("bad-request", f"format is one of {', '.join(formats.CHOICES)}.")
    return Options(_strength(request.args.get("strength", "1")), SWITCH[residual], choice)


def _strength(text: str) -> float:
    try:
        share = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        share = math.nan
    if math.isnan(share):
        raise ProblemError("bad-request", "strength is a number from 0 to 1.")
    if not 0 <= share <= 1:
        actual = share if math.isfinite(share) else None  # JSON has no infinity
        raise ProblemError("bad-request", "strength is 0 to 1.", 0 if share < 0 else 1, actual)
    return share


def check_body(request: Request, most_bytes: int) -> None:
    """Raise ProblemError for a body that announces more than it may hold."""
    length = request.content_length
    if length is not None and length > most_bytes:
        raise ProblemError(
            "too-large", f"At most {most_bytes} bytes are taken.", most_bytes, length
        )


def receive(request: Request, target: Path, takes_raw: bool) -> str:
    """Keep the recording that was sent in a file; return the name it came with, or none.

    Raises ProblemError where there is not exactly one, and werkzeug's errors for a broken body.
    """
    name = ""
    if request.mimetype == FORM:
        files = request.files.getlist("file")
        if len(files) != 1:
            detail = f"One file is needed, in the form's field named file; {len(files)} came."
            raise ProblemError("bad-request", detail)
        name = files[0].filename or ""
        files[0].save(target)
    elif takes_raw and (request.mimetype in RAW or request.mimetype.startswith("audio/")):
        with target.open("wb") as file:
            shutil.copyfileobj(request.stream, file)
    else:
        ways = f"{FORM} with a field named file" + (", or audio/* as it is" if takes_raw else "")
        raise ProblemError("no-audio", f"This content type is not taken. Send {ways}.")
    if target.stat().st_size == 0:
        raise ProblemError("bad-request", "The recording is empty: no byte of it came.")
    return name


def safe_name(name: str, suffix: str, extension: str) -> str:
    """Return a name for the answer: plain letters, no folder, whatever the client's was."""
    stem = secure_filename(name).rpartition(".")[0] or secure_filename(name)
    return f"{stem[:MAX_NAME_LENGTH].strip('.') or 'recording'}{suffix}.{extension}"
