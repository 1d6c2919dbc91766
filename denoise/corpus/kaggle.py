"""Download the corpus from Kaggle with the `kaggle` client, which is made to try once per call.

By default the client keeps a server's error page as if it were data, accepts a damaged file of the
right size as complete, and retries for a minute on a full disk. So this module does the retries
itself. It downloads to a scratch folder, and moves the zip out of it only after all checks have
passed.
"""

import contextlib
import copy
import errno
import functools
import io
import os
import re
import shutil
import sys
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from denoise.corpus.archive import CorpusArchive
from denoise.corpus.retry import DEFAULT_RETRY, RetryPolicy
from denoise.errors import CorpusError
from denoise.params import KaggleParams
from denoise.util.atomic import replacing

SCRATCH = Path(".scratch/kaggle")  # not among the stage's outs, which DVC empties before each run
DATASET_NAME = re.compile(r"[A-Za-z0-9][\w-]*/[A-Za-z0-9][\w-]*")
MAX_RETRY_AFTER_SECONDS = 600.0
DISK_FULL_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_CREDENTIALS = (
    "KAGGLE_API_TOKEN, KAGGLE_USERNAME and KAGGLE_KEY, or the files in ~/.kaggle. "
    "A public data set needs no credentials"
)
_REFUSALS = {
    401: f"Kaggle rejects the credentials (401). Correct or remove them: {_CREDENTIALS}.",
    403: "Kaggle denies access (403): the data set is private or does not exist, or the "
    "credentials have no access to it. Check download.kaggle.dataset, and the credentials: "
    f"{_CREDENTIALS}.",
    404: "Kaggle has no such data set or version (404). Check download.kaggle.dataset and "
    "download.kaggle.version in params.yaml.",
}


def download_kaggle(
    params: KaggleParams,
    archive: str | os.PathLike[str],
    scratch: str | os.PathLike[str] = SCRATCH,
    retry: RetryPolicy = DEFAULT_RETRY,
) -> dict[str, Any]:
    """Download the data set's zip to `archive` and return its provenance.

    The zip appears at `archive` once all checks have passed. A partial download that an earlier
    call left in `scratch` is resumed. Raises CorpusError with what to do next.
    """
    if not DATASET_NAME.fullmatch(params.dataset):
        raise CorpusError(
            f"download.kaggle.dataset: {params.dataset!r} is not of the form owner/name."
        )
    folder = Path(scratch) / f"{params.dataset.replace('/', '-')}-{params.version}"
    has_leftover = folder.exists()
    downloaded = _fetch(params, folder, retry)
    fault = _find_damage(downloaded)
    if fault and has_leftover:
        print(f"{fault}\nIt is from an earlier run. Downloading it again.", file=sys.stderr)
        shutil.rmtree(folder)
        downloaded = _fetch(params, folder, retry)
        fault = _find_damage(downloaded)
    fault = fault or _find_mismatch(downloaded, params)
    if fault:
        shutil.rmtree(folder)
        raise CorpusError(f"{_describe(params)} from Kaggle was removed: it is unusable. {fault}")
    _move(downloaded, Path(archive))
    shutil.rmtree(folder)
    return {"source": "kaggle", "dataset": params.dataset, "version": params.version}


def _describe(params: KaggleParams) -> str:
    return f"{params.dataset}, version {params.version},"


def _fetch(params: KaggleParams, folder: Path, retry: RetryPolicy) -> Path:
    """Download into `folder`, resuming a partial file, and return the path of the complete one.

    Raises CorpusError for a refusal and after too many failures in a row without progress.
    """
    client = _connect(retry.timeout_seconds)
    target = folder / f"{params.dataset.split('/')[1]}.zip"
    max_bytes, n_failures = _size(target), 0
    while (error := _attempt(client, params, target)) is not None:
        n_bytes = _size(target)
        n_failures = 1 if n_bytes > max_bytes else n_failures + 1
        max_bytes = max(max_bytes, n_bytes)
        _raise_if_refused(error, params)
        wait_seconds = retry.wait_seconds(n_failures, _retry_after_seconds(error))
        if n_failures >= retry.max_attempts or wait_seconds > MAX_RETRY_AFTER_SECONDS:
            raise CorpusError(_failure_message(error, n_failures, wait_seconds, n_bytes, folder))
        print(f"{_summarise(error)}\nTrying again in {wait_seconds:g} s.", file=sys.stderr)
        retry.sleep(wait_seconds)
    return target


def _connect(timeout_seconds: float) -> Any:
    """Return a client that tries once and has a time limit; it works without credentials too."""
    # The import authenticates, and prints a page of help if there are no credentials.
    with contextlib.redirect_stdout(io.StringIO()):
        import kaggle
    client = copy.copy(kaggle.api)
    client.download_file = functools.partial(kaggle.api.download_file, max_retries=0)
    client.build_kaggle_client = lambda: _set_timeout(
        kaggle.api.build_kaggle_client(), timeout_seconds
    )
    return client


class _TimeoutAdapter(HTTPAdapter):
    """Sets a time limit on each request of a session; the client sets none."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def send(self, request: Any, *args: Any, **options: Any) -> Any:
        options["timeout"] = self._seconds
        return super().send(request, *args, **options)


def _set_timeout(connection: Any, seconds: float) -> Any:
    http = connection.http_client()
    http.__enter__()  # this opens the session
    for scheme in ("http://", "https://"):
        http._session.mount(scheme, _TimeoutAdapter(seconds))
    return connection


def _attempt(client: Any, params: KaggleParams, target: Path) -> Exception | None:
    """Download once; return None on success, or an error that another attempt may overcome.

    Raises CorpusError if the disk is full.
    """
    try:
        client.dataset_download_files(
            f"{params.dataset}/{params.version}", path=str(target.parent), quiet=False
        )
    except requests.RequestException as error:  # a subclass of OSError, so it comes first
        return error
    except ValueError as error:  # the size is wrong: an error page was saved as the data
        shutil.rmtree(target.parent, ignore_errors=True)
        return error
    except OSError as error:
        if error.errno not in DISK_FULL_ERRORS:
            raise
        raise CorpusError(
            f"The disk is full: {_size(target):,} bytes were downloaded to {target.parent} and are "
            "kept. Free some space, then run dvc repro to resume the download."
        ) from error
    return None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _response(error: Exception) -> requests.Response | None:
    return error.response if isinstance(error, requests.RequestException) else None


def _raise_if_refused(error: Exception, params: KaggleParams) -> None:
    """Raise CorpusError for an HTTP status that another attempt would not change."""
    response = _response(error)
    if response is None or response.status_code == 429 or response.status_code >= 500:
        return
    default = f"Kaggle refuses the download: {_summarise(error)}"
    reason = _REFUSALS.get(response.status_code, default)
    raise CorpusError(f"{_describe(params)} cannot be downloaded. {reason}") from error


def _retry_after_seconds(error: Exception) -> float:
    """Return the wait in the response's Retry-After header, or 0 without a valid one."""
    response = _response(error)
    value = response.headers.get("Retry-After", "") if response is not None else ""
    if value.strip().isdigit():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _failure_message(
    error: Exception, n_failures: int, wait_seconds: float, n_bytes: int, folder: Path
) -> str:
    kept = f" The {n_bytes:,} bytes downloaded so far are kept in {folder}." if n_bytes else ""
    if wait_seconds > MAX_RETRY_AFTER_SECONDS:
        return f"Kaggle asks to wait {wait_seconds:.0f} s. Run dvc repro again after that.{kept}"
    return (
        f"The download from Kaggle failed {n_failures} times in a row. The last error: "
        f"{_summarise(error)}\nCheck the network and any proxy settings, then run dvc repro again."
        f"{kept} Or set download.source to synthetic, which needs no network."
    )


def _summarise(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _find_damage(downloaded: Path) -> str | None:
    """Return what is wrong with the zip file, or None if every checksum is right."""
    try:
        with CorpusArchive(downloaded) as archive:
            archive.verify()
            archive.speakers()
    except CorpusError as error:
        with downloaded.open("rb") as file:
            return f"{error} It begins with {file.read(16)!r}."
    return None


def _find_mismatch(downloaded: Path, params: KaggleParams) -> str | None:
    """Return how the content differs from what the params say, or None if it does not."""
    with CorpusArchive(downloaded) as archive:
        n_files = len(archive.utterances)
        n_speakers = len({utterance.speaker_id for utterance in archive.utterances})
    if (n_files, n_speakers) == (params.files, params.speakers):
        return None
    return (
        f"It holds {n_files} recordings of {n_speakers} speakers, not the {params.files} of "
        f"{params.speakers} that download.kaggle requires. Check dataset, version, files and "
        "speakers there."
    )


def _move(downloaded: Path, archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    try:
        downloaded.replace(archive)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # A rename between file systems fails, so the zip is copied under a temporary name first.
        with replacing(archive) as temporary:
            shutil.copyfile(downloaded, temporary)
