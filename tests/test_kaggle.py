"""The Kaggle source, with the unmodified client and a stand-in server that fails in many ways."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from denoise.corpus.kaggle import RetryPolicy, download_kaggle
from denoise.errors import CorpusError
from denoise.params import KaggleParams
from tests.corpora import write_corpus
from tests.kaggle_standin import DOWNLOAD, INTROSPECT, Fault, Standin, kaggle_standin

REPOSITORY = Path(__file__).parent.parent
PARAMS = KaggleParams(dataset="owner/digits", version=3, files=12, speakers=3)
MEBIBYTE = 1 << 20  # the client writes blocks of this size, and loses a block that is cut off
DOWNLOAD_PROGRAM = (
    "import sys; from denoise.corpus.kaggle import download_kaggle; "
    "from denoise.params import KaggleParams; "
    "download_kaggle(KaggleParams('owner/digits', 3, 12, 3), 'corpus.zip')"
)
PROXY_EXCEPTIONS = {"no_proxy", "all_proxy"}
on_posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and resource limits")


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a corpus of 12 recordings of 3 speakers, about 3 MiB."""
    folder = tmp_path_factory.mktemp("corpus")
    content = write_corpus(folder / "corpus.zip", 3, 4, seconds=16.5).read_bytes()
    assert len(content) > 3 * MEBIBYTE
    return content


@pytest.fixture
def standin(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Standin]:
    """Serve the corpus, and set the environment so that the client connects to the stand-in."""
    with kaggle_standin(content) as standin:
        for name in [
            n for n in os.environ if n.startswith("KAGGLE_") or n.lower() in PROXY_EXCEPTIONS
        ]:
            monkeypatch.delenv(name)
        for name, value in standin.environment(tmp_path).items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        forget_client()
        yield standin
    forget_client()


def forget_client() -> None:
    """Unload the client, so that its next import reads the environment again."""
    for name in [name for name in sys.modules if name.split(".")[0] == "kaggle"]:
        del sys.modules[name]


class Download:
    """A download to a folder of the test, with the waits between its attempts."""

    def __init__(self, folder: Path) -> None:
        self.archive = folder / "data" / "corpus.zip"
        self.scratch = folder / "scratch"
        self.waits: list[float] = []

    @property
    def partial(self) -> Path:
        return self.scratch / "owner-digits-3" / "digits.zip"

    def run(
        self, params: KaggleParams = PARAMS, timeout_seconds: float = 20.0
    ) -> dict[str, object]:
        retry = RetryPolicy(4, 1.0, 5.0, timeout_seconds, self.waits.append)
        return download_kaggle(params, self.archive, self.scratch, retry)

    def check_fails(self, match: str, params: KaggleParams = PARAMS) -> None:
        with pytest.raises(CorpusError, match=match):
            self.run(params)


@pytest.fixture
def download(tmp_path: Path) -> Download:
    return Download(tmp_path)


def test_the_zip_is_downloaded_unchanged(
    standin: Standin, download: Download, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    assert download.run() == {"source": "kaggle", "dataset": "owner/digits", "version": 3}
    assert download.archive.read_bytes() == content
    assert not download.partial.parent.exists()
    [(method, body)] = standin.requests
    assert method == DOWNLOAD
    assert (body["ownerSlug"], body["datasetSlug"]) == ("owner", "digits")
    assert body["datasetVersionNumber"] == 3
    out, err = capfd.readouterr()
    assert "100%" in err, "no progress bar"
    assert "Authentication required" not in out


def test_a_valid_token_is_used(
    standin: Standin, download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    standin.tokens = frozenset({"good"})
    monkeypatch.setenv("KAGGLE_API_TOKEN", "good")
    download.run()
    assert [method for method, _ in standin.requests] == [INTROSPECT, DOWNLOAD]


def test_the_error_for_an_invalid_token_says_where_tokens_come_from(
    standin: Standin, download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", "stale")
    download.check_fails(r"\(401\).*KAGGLE_API_TOKEN.*~/.kaggle")
    assert download.waits == []


@pytest.mark.parametrize(
    ("status", "match"),
    [
        (403, r"owner/digits, version 3, cannot be downloaded.*\(403\).*private"),
        (404, r"no such data set or version \(404\).*download.kaggle.version"),
        (410, "refuses the download.*410"),
    ],
)
def test_a_refused_download_is_not_retried(
    standin: Standin, download: Download, status: int, match: str
) -> None:
    standin.api_faults = [Fault(status)]
    download.check_fails(match)
    assert download.waits == []


def test_a_refusal_with_status_200_is_a_refusal(standin: Standin, download: Download) -> None:
    standin.api_faults = [Fault(200, json.dumps({"code": 404, "message": "Not here"}).encode())]
    download.check_fails("refuses the download.*Not here")


def test_an_invalid_dataset_name_is_an_error_before_any_request(
    standin: Standin, download: Download
) -> None:
    for name in ("digits", "../digits", "owner/digits/2", "owner/.."):
        download.check_fails("download.kaggle.dataset", replace(PARAMS, dataset=name))
    assert standin.requests == []


def test_the_waits_follow_the_retry_after_header(
    standin: Standin, download: Download, content: bytes
) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    standin.api_faults = [
        Fault(429, headers={"Retry-After": "7"}),
        Fault(503, headers={"Retry-After": later}),
        Fault(500, headers={"Retry-After": "soon"}),
    ]
    download.run()
    assert download.archive.read_bytes() == content
    assert download.waits == [7.0, pytest.approx(90, abs=5), 4.0]


def test_the_download_fails_if_the_server_stays_busy(standin: Standin, download: Download) -> None:
    standin.api_faults = [Fault(503)] * 10
    download.check_fails("4 times in a row.*\n.*network")
    assert download.waits == [1.0, 2.0, 4.0]


def test_a_wait_of_more_than_ten_minutes_is_an_error(standin: Standin, download: Download) -> None:
    standin.api_faults = [Fault(429, headers={"Retry-After": "5000"})]
    download.check_fails("wait 5000 s")
    assert download.waits == []


def test_waits_double_up_to_the_maximum() -> None:
    retry = RetryPolicy(first_wait_seconds=1.0, max_wait_seconds=5.0)
    assert [retry.wait_seconds(n, 0.0) for n in (1, 2, 3, 4, 50)] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_download_is_resumed_after_a_broken_connection(
    standin: Standin, download: Download, content: bytes
) -> None:
    standin.storage_faults = [Fault(cut_after=2 * MEBIBYTE + 1000)]
    download.run()
    assert download.archive.read_bytes() == content
    assert f"bytes={2 * MEBIBYTE}-" in standin.ranges


def test_failures_with_progress_are_not_counted_as_failures_in_a_row(
    standin: Standin, download: Download, content: bytes
) -> None:
    standin.storage_faults = [Fault(cut_after=MEBIBYTE + 1000)]
    standin.range_faults = [Fault(cut_after=MEBIBYTE + 1000)] * 2
    download.run()
    assert download.archive.read_bytes() == content
    assert set(download.waits) == {1.0}


def test_a_silent_server_is_a_timeout(standin: Standin, download: Download, content: bytes) -> None:
    standin.storage_faults = [Fault(stall_after=2 * MEBIBYTE + 1000)]
    started = time.monotonic()
    download.run(timeout_seconds=0.5)
    assert time.monotonic() - started < 20, "the server closed the connection first"
    assert download.archive.read_bytes() == content


def test_a_partial_download_is_kept_for_the_next_run(
    standin: Standin, download: Download, content: bytes
) -> None:
    standin.storage_faults = [Fault(cut_after=MEBIBYTE + 1000)]
    standin.range_faults = [Fault(cut_after=0)] * 4
    download.check_fails(f"{MEBIBYTE:,} bytes downloaded so far are kept in")
    assert not download.archive.exists()
    standin.ranges.clear()
    download.run()
    assert download.archive.read_bytes() == content
    assert f"bytes={MEBIBYTE}-" in standin.ranges


def test_an_error_page_instead_of_the_rest_is_not_kept_as_data(
    standin: Standin, download: Download, content: bytes
) -> None:
    page = b"<html>busy</html>" * 100
    standin.storage_faults = [Fault(cut_after=2 * MEBIBYTE), Fault(), Fault(503, body=page)]
    standin.range_faults = [Fault(503, body=page)]
    download.run()
    assert download.archive.read_bytes() == content


def leave(download: Download, content: bytes, size: int | None) -> None:
    """Write a file to the scratch folder; `size` marks it as partial, as the client does."""
    download.partial.parent.mkdir(parents=True)
    download.partial.write_bytes(content)
    if size is not None:
        marker = download.partial.with_name("digits.zip.kaggle-partial")
        marker.write_text(json.dumps({"validator": '"one"', "size": size}))


def test_an_error_page_from_an_earlier_run_is_discarded(
    standin: Standin, download: Download, content: bytes
) -> None:
    leave(download, b"<html>busy</html>" * 100, len(content))
    download.run()
    assert download.archive.read_bytes() == content
    assert "bytes=1700-" in standin.ranges, "the client did not resume from the error page"


def corrupted(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def test_a_damaged_file_of_the_right_size_is_discarded(
    standin: Standin, download: Download, content: bytes
) -> None:
    leave(download, corrupted(content), None)
    download.run()
    assert download.archive.read_bytes() == content


def test_a_complete_file_from_a_killed_run_is_used(
    standin: Standin, download: Download, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    leave(download, content, None)
    download.run()
    assert download.archive.read_bytes() == content
    assert "Skipping" in capfd.readouterr().out


def test_a_web_page_instead_of_the_zip_is_an_error(
    standin: Standin, download: Download, content: bytes
) -> None:
    standin.storage_faults = [Fault(body=b"<html>Please log in</html>")]
    download.archive.parent.mkdir()
    download.archive.write_bytes(b"the previous corpus")
    download.check_fails("removed.*not a whole zip.*<html>Please")
    assert download.archive.read_bytes() == b"the previous corpus"
    assert not download.partial.parent.exists()
    download.run()
    assert download.archive.read_bytes() == content


def test_damage_in_transit_is_an_error_and_the_next_run_starts_anew(
    standin: Standin, download: Download, content: bytes
) -> None:
    standin.body = corrupted(content)
    download.check_fails("damaged")
    assert not download.partial.parent.exists()
    standin.body = content
    download.run()
    assert download.archive.read_bytes() == content


@pytest.mark.parametrize(("files", "speakers"), [(30000, 3), (12, 60)])
def test_the_error_for_wrong_content_has_the_numbers(
    standin: Standin, download: Download, files: int, speakers: int
) -> None:
    params = replace(PARAMS, files=files, speakers=speakers)
    download.check_fails(f"12 recordings of 3 speakers, not the {files} of {speakers}", params)
    assert not download.partial.parent.exists()
    assert not download.archive.exists()


def test_the_error_without_a_network_says_what_to_check(
    standin: Standin, download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
    download.check_fails("4 times in a row.*\nCheck the network.*synthetic")
    assert download.waits == [1.0, 2.0, 4.0]


def test_the_archive_is_complete_when_it_appears_on_another_file_system(
    standin: Standin, download: Download, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.replace

    def replace_within_a_folder(self: Path, target: Path) -> Path:
        if self.parent != target.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replace_within_a_folder)
    download.run()
    assert download.archive.read_bytes() == content
    assert list(download.archive.parent.iterdir()) == [download.archive]


def start_download(limit: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    """Start a download in another process, in the current folder."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        [sys.executable, "-c", DOWNLOAD_PROGRAM],
        env=environment,
        preexec_fn=limit,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


@on_posix
def test_a_full_disk_is_an_error_and_the_partial_download_is_kept(
    standin: Standin, download: Download, content: bytes
) -> None:
    import resource

    limit = MEBIBYTE + 5000
    first = start_download(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    _, err = first.communicate(timeout=60)
    assert first.returncode == 1
    assert f"The disk is full: {limit:,} bytes" in err
    assert not Path("corpus.zip").exists()
    second = start_download()
    assert second.wait(timeout=60) == 0
    assert Path("corpus.zip").read_bytes() == content
    assert f"bytes={limit}-" in standin.ranges


@on_posix
def test_a_killed_download_is_resumed_in_the_next_run(standin: Standin, content: bytes) -> None:
    standin.storage_faults = [Fault(pause_seconds=0.02)]
    partial = Path(".scratch/kaggle/owner-digits-3/digits.zip")
    killed = start_download()
    deadline = time.monotonic() + 30
    while not (partial.exists() and partial.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert 0 < partial.stat().st_size < len(content)
    assert not Path("corpus.zip").exists()
    second = start_download()
    assert second.wait(timeout=60) == 0
    assert Path("corpus.zip").read_bytes() == content
    assert any(header for header in standin.ranges), "it did not resume"
    assert not partial.parent.exists()
