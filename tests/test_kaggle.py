"""The Kaggle source, driven through the unmodified client against a stand-in that misbehaves."""

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
MEBIBYTE = 1 << 20  # the client writes in pieces of this size, and loses a piece that is cut
RUN = (
    "import sys; from denoise.corpus.kaggle import download_kaggle; "
    "from denoise.params import KaggleParams; "
    "download_kaggle(KaggleParams('owner/digits', 3, 12, 3), 'corpus.zip')"
)
NO_PROXIES = {"no_proxy", "all_proxy"}
on_posix = pytest.mark.skipif(os.name != "posix", reason="needs signals and limits of POSIX")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A corpus of 12 recordings by 3 speakers, some 3 MiB."""
    folder = tmp_path_factory.mktemp("whole")
    content = write_corpus(folder / "whole.zip", 3, 4, seconds=16.5).read_bytes()
    assert len(content) > 3 * MEBIBYTE
    return content


@pytest.fixture
def standin(whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Standin]:
    """A stand-in that serves the corpus, and an environment that leads this process to it."""
    with kaggle_standin(whole) as standin:
        for name in [n for n in os.environ if n.startswith("KAGGLE_") or n.lower() in NO_PROXIES]:
            monkeypatch.delenv(name)
        for name, value in standin.environment(tmp_path).items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        forget_client()
        yield standin
    forget_client()


def forget_client() -> None:
    """Let the next import of the client read the environment afresh."""
    for name in [name for name in sys.modules if name.split(".")[0] == "kaggle"]:
        del sys.modules[name]


class Download:
    """A download into a folder of the test's own, and the waits that it made."""

    def __init__(self, folder: Path) -> None:
        self.archive = folder / "data" / "corpus.zip"
        self.scratch = folder / "scratch"
        self.waits: list[float] = []

    @property
    def partial(self) -> Path:
        return self.scratch / "owner-digits-3" / "digits.zip"

    def run(
        self, params: KaggleParams = PARAMS, silence_seconds: float = 20.0
    ) -> dict[str, object]:
        patience = RetryPolicy(4, 1.0, 5.0, silence_seconds, self.waits.append)
        return download_kaggle(params, self.archive, self.scratch, patience)

    def fails(self, match: str, params: KaggleParams = PARAMS) -> None:
        with pytest.raises(CorpusError, match=match):
            self.run(params)


@pytest.fixture
def download(tmp_path: Path) -> Download:
    return Download(tmp_path)


def test_the_zip_arrives_as_it_is(
    standin: Standin, download: Download, whole: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    assert download.run() == {"source": "kaggle", "dataset": "owner/digits", "version": 3}
    assert download.archive.read_bytes() == whole
    assert not download.partial.parent.exists()
    [(method, body)] = standin.requests
    assert method == DOWNLOAD
    assert (body["ownerSlug"], body["datasetSlug"]) == ("owner", "digits")
    assert body["datasetVersionNumber"] == 3
    out, err = capfd.readouterr()
    assert "100%" in err, "no progress bar"
    assert "Authentication required" not in out


def test_a_known_token_is_used(
    standin: Standin, download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    standin.tokens = frozenset({"good"})
    monkeypatch.setenv("KAGGLE_API_TOKEN", "good")
    download.run()
    assert [method for method, _ in standin.requests] == [INTROSPECT, DOWNLOAD]


def test_an_unknown_token_is_an_error_that_says_where_tokens_come_from(
    standin: Standin, download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", "stale")
    download.fails(r"\(401\).*KAGGLE_API_TOKEN.*~/.kaggle")
    assert download.waits == []


@pytest.mark.parametrize(
    ("status", "match"),
    [
        (403, r"owner/digits, version 3, cannot be had.*\(403\).*private"),
        (404, r"no such data set or version \(404\).*download.kaggle.version"),
        (410, "refuses the download.*410"),
    ],
)
def test_a_refusal_is_not_tried_again(
    standin: Standin, download: Download, status: int, match: str
) -> None:
    standin.api_faults = [Fault(status)]
    download.fails(match)
    assert download.waits == []


def test_a_refusal_inside_a_success_is_a_refusal(standin: Standin, download: Download) -> None:
    standin.api_faults = [Fault(200, json.dumps({"code": 404, "message": "Not here"}).encode())]
    download.fails("refuses the download.*Not here")


def test_a_name_without_owner_is_refused_before_any_request(
    standin: Standin, download: Download
) -> None:
    for name in ("digits", "../digits", "owner/digits/2", "owner/.."):
        download.fails("download.kaggle.dataset", replace(PARAMS, dataset=name))
    assert standin.requests == []


def test_busy_servers_are_waited_for_as_long_as_they_ask(
    standin: Standin, download: Download, whole: bytes
) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    standin.api_faults = [
        Fault(429, headers={"Retry-After": "7"}),
        Fault(503, headers={"Retry-After": later}),
        Fault(500, headers={"Retry-After": "soon"}),
    ]
    download.run()
    assert download.archive.read_bytes() == whole
    assert download.waits == [7.0, pytest.approx(90, abs=5), 4.0]


def test_a_server_that_stays_busy_is_given_up(standin: Standin, download: Download) -> None:
    standin.api_faults = [Fault(503)] * 10
    download.fails("4 times in a row.*\n.*network")
    assert download.waits == [1.0, 2.0, 4.0]


def test_a_wait_beyond_ten_minutes_is_left_to_the_user(
    standin: Standin, download: Download
) -> None:
    standin.api_faults = [Fault(429, headers={"Retry-After": "5000"})]
    download.fails("wait 5000 s")
    assert download.waits == []


def test_waits_grow_but_not_beyond_the_longest() -> None:
    patience = RetryPolicy(first_seconds=1.0, longest_seconds=5.0)
    assert [patience.wait_seconds(n, 0.0) for n in (1, 2, 3, 4, 50)] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_cut_connection_goes_on_where_it_stopped(
    standin: Standin, download: Download, whole: bytes
) -> None:
    standin.storage_faults = [Fault(cut_after=2 * MEBIBYTE + 1000)]
    download.run()
    assert download.archive.read_bytes() == whole
    assert f"bytes={2 * MEBIBYTE}-" in standin.ranges


def test_cuts_that_each_bring_something_are_never_too_many(
    standin: Standin, download: Download, whole: bytes
) -> None:
    standin.storage_faults = [Fault(cut_after=MEBIBYTE + 1000)]
    standin.range_faults = [Fault(cut_after=MEBIBYTE + 1000)] * 2
    download.run()
    assert download.archive.read_bytes() == whole
    assert set(download.waits) == {1.0}


def test_a_silent_server_is_hung_up_on(standin: Standin, download: Download, whole: bytes) -> None:
    standin.storage_faults = [Fault(stall_after=2 * MEBIBYTE + 1000)]
    started = time.monotonic()
    download.run(silence_seconds=0.5)
    assert time.monotonic() - started < 20, "the server hung up first"
    assert download.archive.read_bytes() == whole


def test_what_arrived_before_giving_up_is_kept_for_the_next_run(
    standin: Standin, download: Download, whole: bytes
) -> None:
    standin.storage_faults = [Fault(cut_after=MEBIBYTE + 1000)]
    standin.range_faults = [Fault(cut_after=0)] * 4
    download.fails(f"{MEBIBYTE:,} bytes that arrived are kept in")
    assert not download.archive.exists()
    standin.ranges.clear()
    download.run()
    assert download.archive.read_bytes() == whole
    assert f"bytes={MEBIBYTE}-" in standin.ranges


def test_an_error_page_in_place_of_the_rest_is_never_data(
    standin: Standin, download: Download, whole: bytes
) -> None:
    page = b"<html>busy</html>" * 100
    standin.storage_faults = [Fault(cut_after=2 * MEBIBYTE), Fault(), Fault(503, body=page)]
    standin.range_faults = [Fault(503, body=page)]
    download.run()
    assert download.archive.read_bytes() == whole


def leave(download: Download, content: bytes, size: int | None) -> None:
    """Leave a file in the scratch folder; `size` makes it a partial one, as the client marks it."""
    download.partial.parent.mkdir(parents=True)
    download.partial.write_bytes(content)
    if size is not None:
        marker = download.partial.with_name("digits.zip.kaggle-partial")
        marker.write_text(json.dumps({"validator": '"one"', "size": size}))


def test_an_error_page_that_an_earlier_run_left_is_thrown_away(
    standin: Standin, download: Download, whole: bytes
) -> None:
    leave(download, b"<html>busy</html>" * 100, len(whole))
    download.run()
    assert download.archive.read_bytes() == whole
    assert "bytes=1700-" in standin.ranges, "the client did not fall into the trap"


def corrupted(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def test_a_damaged_file_of_the_right_size_is_thrown_away(
    standin: Standin, download: Download, whole: bytes
) -> None:
    leave(download, corrupted(whole), None)
    download.run()
    assert download.archive.read_bytes() == whole


def test_a_finished_file_is_used_after_a_kill_before_the_move(
    standin: Standin, download: Download, whole: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    leave(download, whole, None)
    download.run()
    assert download.archive.read_bytes() == whole
    assert "Skipping" in capfd.readouterr().out


def test_a_page_that_is_no_zip_is_an_error(
    standin: Standin, download: Download, whole: bytes
) -> None:
    standin.storage_faults = [Fault(body=b"<html>Please log in</html>")]
    download.archive.parent.mkdir()
    download.archive.write_bytes(b"the corpus of before")
    download.fails("removed.*not a whole zip.*<html>Please")
    assert download.archive.read_bytes() == b"the corpus of before"
    assert not download.partial.parent.exists()
    download.run()
    assert download.archive.read_bytes() == whole


def test_damage_on_the_way_is_an_error_and_the_next_run_starts_clean(
    standin: Standin, download: Download, whole: bytes
) -> None:
    standin.body = corrupted(whole)
    download.fails("damaged")
    assert not download.partial.parent.exists()
    standin.body = whole
    download.run()
    assert download.archive.read_bytes() == whole


@pytest.mark.parametrize(("files", "speakers"), [(30000, 3), (12, 60)])
def test_wrong_content_is_an_error_with_the_numbers(
    standin: Standin, download: Download, files: int, speakers: int
) -> None:
    params = replace(PARAMS, files=files, speakers=speakers)
    download.fails(f"12 recordings of 3 speakers, not the {files} of {speakers}", params)
    assert not download.partial.parent.exists()
    assert not download.archive.exists()


def test_no_network_says_so(
    standin: Standin, download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
    download.fails("4 times in a row.*\nCheck the network.*synthetic")
    assert download.waits == [1.0, 2.0, 4.0]


def test_an_archive_on_another_file_system_still_appears_whole(
    standin: Standin, download: Download, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.replace

    def replace_within_a_folder(self: Path, target: Path) -> Path:
        if self.parent != target.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replace_within_a_folder)
    download.run()
    assert download.archive.read_bytes() == whole
    assert list(download.archive.parent.iterdir()) == [download.archive]


def start(limit: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    """Start a download in a process of its own, in the current folder."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        [sys.executable, "-c", RUN],
        env=environment,
        preexec_fn=limit,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


@on_posix
def test_a_full_disk_is_an_error_and_what_arrived_is_kept(
    standin: Standin, download: Download, whole: bytes
) -> None:
    import resource

    limit = MEBIBYTE + 5000
    full = start(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    _, err = full.communicate(timeout=60)
    assert full.returncode == 1
    assert f"The disk is full: {limit:,} bytes" in err
    assert not Path("corpus.zip").exists()
    roomy = start()
    assert roomy.wait(timeout=60) == 0
    assert Path("corpus.zip").read_bytes() == whole
    assert f"bytes={limit}-" in standin.ranges


@on_posix
def test_a_killed_download_goes_on_in_the_next_run(standin: Standin, whole: bytes) -> None:
    standin.storage_faults = [Fault(pause_seconds=0.02)]
    partial = Path(".scratch/kaggle/owner-digits-3/digits.zip")
    doomed = start()
    deadline = time.monotonic() + 30
    while not (partial.exists() and partial.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    doomed.send_signal(signal.SIGKILL)
    doomed.communicate()
    assert 0 < partial.stat().st_size < len(whole)
    assert not Path("corpus.zip").exists()
    again = start()
    assert again.wait(timeout=60) == 0
    assert Path("corpus.zip").read_bytes() == whole
    assert any(asked for asked in standin.ranges), "it did not resume"
    assert not partial.parent.exists()
