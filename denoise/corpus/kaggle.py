"""The corpus from Kaggle, through the `kaggle` client, one attempt at a time.

Left to itself the client keeps a server's error page as if it were the data, takes a damaged file
of the right size for a finished one, and waits a minute on a full disk. Here each attempt is its
own, what arrives lies in a scratch folder, and only a verified zip leaves that folder.
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
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from denoise.corpus.archive import CorpusArchive
from denoise.errors import CorpusError
from denoise.params import KaggleParams
from denoise.util.atomic import replacing

SCRATCH = Path(".scratch/kaggle")  # outside the stage's outs, which DVC empties before each run
DATASET_NAME = re.compile(r"[A-Za-z0-9][\w-]*/[A-Za-z0-9][\w-]*")
MAX_RETRY_AFTER_SECONDS = 600.0
DISK_IS_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_CREDENTIALS = (
    "KAGGLE_API_TOKEN, KAGGLE_USERNAME and KAGGLE_KEY, or the files in ~/.kaggle. "
    "A public data set needs none of them"
)
_REFUSALS = {
    401: f"Kaggle refuses the credentials (401). Mend or remove them: {_CREDENTIALS}.",
    403: "Kaggle refuses access (403): the data set is private, does not exist, or the credentials "
    f"lack the right. Check download.kaggle.dataset, and the credentials: {_CREDENTIALS}.",
    404: "Kaggle has no such data set or version (404). Check download.kaggle.dataset and "
    "download.kaggle.version in params.yaml.",
}


@dataclass(frozen=True)
class RetryPolicy:
    """How often a download is tried without a byte gained, and how long between, in seconds."""

    attempts: int = 6
    first_seconds: float = 1.0
    longest_seconds: float = 60.0
    silence_seconds: float = 60.0  # a server that says nothing for so long has hung up
    sleep: Callable[[float], None] = time.sleep

    def wait_seconds(self, failures: int, asked_seconds: float) -> float:
        """Return the wait after the nth failure in a row: doubled each time, or as asked for."""
        doubled = self.first_seconds * 2 ** (failures - 1)
        return max(asked_seconds, min(doubled, self.longest_seconds))


def download_kaggle(
    params: KaggleParams,
    archive: str | os.PathLike[str],
    scratch: str | os.PathLike[str] = SCRATCH,
    patience: RetryPolicy = RetryPolicy(),
) -> dict[str, Any]:
    """Put the data set's own zip at `archive` once every check has passed; return its provenance.

    What an earlier call left in `scratch` is resumed. Raises CorpusError saying what to do.
    """
    if not DATASET_NAME.fullmatch(params.dataset):
        raise CorpusError(
            f"download.kaggle.dataset: {params.dataset!r} is not of the form owner/name."
        )
    folder = Path(scratch) / f"{params.dataset.replace('/', '-')}-{params.version}"
    has_leftover = folder.exists()
    downloaded = _fetch(params, folder, patience)
    fault = _damage(downloaded)
    if fault and has_leftover:
        print(f"{fault}\nAn earlier run left it; now from the start.", file=sys.stderr)
        shutil.rmtree(folder)
        downloaded = _fetch(params, folder, patience)
        fault = _damage(downloaded)
    fault = fault or _mismatch(downloaded, params)
    if fault:
        shutil.rmtree(folder)
        raise CorpusError(f"{_name(params)} from Kaggle was removed, as it is not usable. {fault}")
    _move(downloaded, Path(archive))
    shutil.rmtree(folder)
    return {"source": "kaggle", "dataset": params.dataset, "version": params.version}


def _name(params: KaggleParams) -> str:
    return f"{params.dataset}, version {params.version},"


def _fetch(params: KaggleParams, folder: Path, patience: RetryPolicy) -> Path:
    """Download into `folder`, resuming what is there, until it has all arrived."""
    client = _connect(patience.silence_seconds)
    target = folder / f"{params.dataset.split('/')[1]}.zip"
    furthest, failures = _size(target), 0
    while (error := _attempt(client, params, target)) is not None:
        arrived = _size(target)
        failures = 1 if arrived > furthest else failures + 1
        furthest = max(furthest, arrived)
        _explain_refusal(error, params)
        wait = patience.wait_seconds(failures, _asked_seconds(error))
        if failures >= patience.attempts or wait > MAX_RETRY_AFTER_SECONDS:
            raise CorpusError(_giving_up(error, failures, wait, arrived, folder))
        print(f"{_brief(error)}\nTrying again in {wait:g} s.", file=sys.stderr)
        patience.sleep(wait)
    return target


def _connect(silence_seconds: float) -> Any:
    """Return the client, with or without credentials, made to try once and to notice silence."""
    # Importing it authenticates, and prints a page of help where there are no credentials.
    with contextlib.redirect_stdout(io.StringIO()):
        import kaggle
    client = copy.copy(kaggle.api)
    client.download_file = functools.partial(kaggle.api.download_file, max_retries=0)
    client.build_kaggle_client = lambda: _limit_silence(
        kaggle.api.build_kaggle_client(), silence_seconds
    )
    return client


class _ImpatientAdapter(HTTPAdapter):
    """Gives each request of a session a time limit, which the client leaves out."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def send(self, request: Any, *args: Any, **options: Any) -> Any:
        options["timeout"] = self._seconds
        return super().send(request, *args, **options)


def _limit_silence(connection: Any, seconds: float) -> Any:
    http = connection.http_client()
    http.__enter__()  # this opens the session
    for scheme in ("http://", "https://"):
        http._session.mount(scheme, _ImpatientAdapter(seconds))
    return connection


def _attempt(client: Any, params: KaggleParams, target: Path) -> Exception | None:
    """Try once; return the error that another attempt may get past, None when all arrived."""
    try:
        client.dataset_download_files(
            f"{params.dataset}/{params.version}", path=str(target.parent), quiet=False
        )
    except requests.RequestException as error:  # before OSError, of which it is one
        return error
    except ValueError as error:  # the wrong size: an error page has taken the data's place
        shutil.rmtree(target.parent, ignore_errors=True)
        return error
    except OSError as error:
        if error.errno not in DISK_IS_FULL:
            raise
        raise CorpusError(
            f"The disk is full: {_size(target):,} bytes have arrived in {target.parent} and are "
            "kept. Make room there, then run dvc repro to go on from them."
        ) from error
    return None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _response(error: Exception) -> requests.Response | None:
    return error.response if isinstance(error, requests.RequestException) else None


def _explain_refusal(error: Exception, params: KaggleParams) -> None:
    """Raise CorpusError for an answer that no further attempt would change."""
    response = _response(error)
    if response is None or response.status_code == 429 or response.status_code >= 500:
        return
    reason = _REFUSALS.get(response.status_code, f"Kaggle refuses the download: {_brief(error)}")
    raise CorpusError(f"{_name(params)} cannot be had. {reason}") from error


def _asked_seconds(error: Exception) -> float:
    """Return what the server's Retry-After asks for, 0 without one."""
    response = _response(error)
    asked = response.headers.get("Retry-After", "") if response is not None else ""
    if asked.strip().isdigit():
        return float(asked)
    try:
        until = parsedate_to_datetime(asked)
    except ValueError:
        return 0.0
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _giving_up(error: Exception, failures: int, wait: float, arrived: int, folder: Path) -> str:
    kept = f" The {arrived:,} bytes that arrived are kept in {folder}." if arrived else ""
    if wait > MAX_RETRY_AFTER_SECONDS:
        return f"Kaggle asks to wait {wait:.0f} s. Run dvc repro again after that.{kept}"
    return (
        f"The download from Kaggle failed {failures} times in a row; the last time: "
        f"{_brief(error)}\nCheck the network and any proxy settings, then run dvc repro again."
        f"{kept} Or set download.source to synthetic, which needs no network."
    )


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _damage(downloaded: Path) -> str | None:
    """Say what is wrong with the zip as a zip; None when each member meets its checksum."""
    try:
        with CorpusArchive(downloaded) as archive:
            archive.verify()
            archive.speakers()
    except CorpusError as error:
        with downloaded.open("rb") as file:
            return f"{error} It begins with {file.read(16)!r}."
    return None


def _mismatch(downloaded: Path, params: KaggleParams) -> str | None:
    """Say how its content differs from what params promise; None when it does not."""
    with CorpusArchive(downloaded) as archive:
        files = len(archive.utterances)
        speakers = len({utterance.speaker_id for utterance in archive.utterances})
    if (files, speakers) == (params.files, params.speakers):
        return None
    return (
        f"It holds {files} recordings of {speakers} speakers, not the {params.files} of "
        f"{params.speakers} that download.kaggle asks for. Check dataset, version, files and "
        "speakers there."
    )


def _move(downloaded: Path, archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    try:
        downloaded.replace(archive)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # On another file system: copied beside its place first, so that it still appears whole.
        with replacing(archive) as temporary:
            shutil.copyfile(downloaded, temporary)
