"""Open recordings: fetched whole, by hash and count; resumed after faults; nothing is executed."""

import csv
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from denoise.corpus import git as git_module
from denoise.corpus.archive import CorpusArchive
from denoise.corpus.file_index import AUDIO_SUFFIXES
from denoise.corpus.local import import_local
from denoise.corpus.open_catalogue import attributions, read_catalogue, select
from denoise.corpus.open_data import fetch_open, find_mirror, open_recordings
from denoise.corpus.retry import RetryPolicy
from denoise.errors import CorpusError
from tests.closures import ROOT
from tests.corpora import wav
from tests.repositories import git, make_entry, write_catalogue, write_repository

URL = "https://example.com/owner/voices"
FILES = {
    "audio/a.wav": b"first",
    "audio/ünï code/b.flac": b"second\r\n",
    "audio/c [1]*.ogg": b"third",
    "audio/notes.txt": b"no recording",
    "other/d.wav": b"elsewhere",
    "LICENSE": b"Free.",
}
RECORDINGS = {n: c for n, c in FILES.items() if n.startswith("audio/") and not n.endswith(".txt")}
NAMES = ["12-1.wav", "12-2, x.wav", "7-1.wav", "a.wav"]
on_posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and scripts")


class Setting:
    """A mirror of one repository, a catalogue with the entry `voices`, and a target folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mirrors = str(folder / "my mirrors")
        self.mirror = folder / "my mirrors" / "owner+voices"
        self.target = folder / "scratch" / "speech"
        self.repository = folder / "scratch" / "repositories" / "voices.git"
        self.commit = write_repository(self.mirror, FILES)
        self.waits: list[float] = []

    def fetch(self, mirrors: str | None = None, **changes: Any) -> dict[str, Any]:
        """Fetch the entry, with some keys of it changed; return the provenance."""
        entry = {**make_entry(URL, self.commit), **changes}
        path = write_catalogue(self.folder / "catalogue.yaml", {"voices": entry})
        retry = RetryPolicy(3, 1.0, 5.0, 60.0, self.waits.append)
        where = self.mirrors if mirrors is None else mirrors
        return fetch_open(read_catalogue(path), "speech", ["voices"], where, self.target, retry)

    def error(self, mirrors: str | None = None, **changes: Any) -> str:
        """Fetch, which must fail, and leave the target as it was; return the message."""
        before = self.fetched()
        with pytest.raises(CorpusError) as raised:
            self.fetch(mirrors, **changes)
        assert self.fetched() == before
        assert not list(self.folder.rglob("*.partial"))
        return str(raised.value)

    def fetched(self) -> dict[str, bytes]:
        folder = self.target / "voices"
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    def packs(self) -> dict[str, int]:
        """Return the packs of the scratch repository, with their times."""
        folder = self.repository / "objects" / "pack"
        return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.pack")}


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


def test_the_recordings_of_the_folders_are_fetched_and_nothing_else(setting: Setting) -> None:
    provenance = setting.fetch()
    assert setting.fetched() == RECORDINGS
    (source,) = provenance["repositories"]
    assert source == {
        "name": "voices",
        "url": URL,
        "commit": setting.commit,
        "files": 3,
        "licence": "CC0-1.0",
        "attribution": "Ann",
    }
    objects = git(setting.repository, "cat-file", "--batch-all-objects", "--batch-check")
    assert objects.count(" blob ") == 3


@pytest.mark.parametrize(
    ("rule", "speakers"),
    [
        ("one", ["voices"] * 4),
        ("prefix", ["voices/12", "voices/12", "voices/7", "voices/a.wav"]),
        ("unknown", [f"voices/read/{name}" for name in NAMES]),
    ],
)
def test_a_table_tells_the_speaker_of_each_recording(
    setting: Setting, rule: str, speakers: list[str]
) -> None:
    files = {f"read/{name}": wav(number, 2.0) for number, name in enumerate(NAMES)}
    setting.commit = write_repository(setting.mirror, files)
    setting.fetch(folders=["read"], files=4, speakers=rule)
    table = (setting.target / "speakers.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(table.splitlines()))
    assert [row["path"] for row in rows] == [f"voices/read/{name}" for name in NAMES]
    assert [row["speaker"] for row in rows] == speakers
    provenance = import_local(str(setting.target), setting.folder / "corpus.zip", "speech")
    assert provenance["speakers_by"] == "a table" and provenance["left_out"] == {}
    with CorpusArchive(setting.folder / "corpus.zip") as corpus:
        assert len({u.speaker_id for u in corpus.utterances}) == len(set(speakers))


def test_excluded_files_and_folders_are_left_out(setting: Setting) -> None:
    setting.fetch(files=1, excluded={"audio/a.wav": "noisy", "audio/ünï code": "unclear"})
    assert set(setting.fetched()) == {"audio/c [1]*.ogg"}


def test_several_folders_are_fetched(setting: Setting) -> None:
    setting.fetch(folders=["other", "audio"], files=4)
    assert set(setting.fetched()) == {*RECORDINGS, "other/d.wav"}


def test_a_second_fetch_needs_no_mirror_and_transfers_nothing(setting: Setting) -> None:
    setting.fetch()
    packs = setting.packs()
    assert packs
    (setting.mirror / "HEAD").write_text("ref: refs/heads/gone")
    shutil.rmtree(setting.mirror / "refs")
    setting.fetch()
    assert setting.fetched() == RECORDINGS and setting.packs() == packs


def test_a_changed_target_is_replaced(setting: Setting) -> None:
    setting.fetch()
    (setting.target / "voices" / "audio" / "a.wav").write_bytes(b"edited")
    (setting.target / "stray.wav").write_bytes(b"stray")
    setting.fetch()
    assert setting.fetched() == RECORDINGS
    assert {path.name for path in setting.target.iterdir()} == {"voices", "speakers.csv"}


def test_a_moved_commit_fetches_only_what_changed(setting: Setting) -> None:
    setting.fetch()
    packs = setting.packs()
    newer = write_repository(setting.mirror, {"audio/a.wav": b"recorded again"})
    setting.fetch()
    assert setting.fetched() == RECORDINGS, "the pinned commit stays, whatever the branch is"
    setting.fetch(commit=newer)
    assert setting.fetched() == {**RECORDINGS, "audio/a.wav": b"recorded again"}
    objects = git(setting.repository, "cat-file", "--batch-all-objects", "--batch-check")
    assert objects.count(" blob ") == 4
    assert packs.keys() <= setting.packs().keys()


def test_files_come_in_batches_and_a_cut_fetch_goes_on(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_module, "BATCH_FILES", 1)
    fetched: list[str] = []
    original = git_module.PinnedRepository._call

    def cut(self: Any, *arguments: str, stdin: str = "") -> str:
        if "--stdin" in arguments:
            if len(fetched) == 2:
                raise KeyboardInterrupt
            fetched.append(stdin)
        return original(self, *arguments, stdin=stdin)

    with monkeypatch.context() as patched:
        patched.setattr(git_module.PinnedRepository, "_call", cut)
        with pytest.raises(KeyboardInterrupt):
            setting.fetch()
    assert len(fetched) == 2 and not setting.target.exists()
    n_packs = len(setting.packs())
    (setting.repository / "shallow.lock").touch()  # as a killed git leaves them
    (setting.repository / "objects" / "pack" / "tmp_pack_x").write_bytes(b"half")
    setting.fetch()
    assert setting.fetched() == RECORDINGS
    assert len(setting.packs()) == n_packs + 1, "one batch was missing"
    assert not list(setting.repository.rglob("tmp_*"))


RUN_FETCH = """
import sys
from pathlib import Path
from denoise.corpus.open_catalogue import read_catalogue
from denoise.corpus.open_data import fetch_open
catalogue, mirrors, target = sys.argv[1:]
fetch_open(read_catalogue(catalogue), "speech", ["voices"], mirrors, Path(target))
"""


@on_posix
@pytest.mark.parametrize("n_packs", [0, 2])
def test_a_killed_fetch_leaves_no_target_and_goes_on(setting: Setting, n_packs: int) -> None:
    files = {f"audio/{number}.wav": os.urandom(2000) for number in range(900)}
    setting.commit = write_repository(setting.mirror, files)
    entry = make_entry(URL, setting.commit, files=903)
    catalogue = write_catalogue(setting.folder / "large.yaml", {"voices": entry})
    process = subprocess.Popen(
        [sys.executable, "-c", RUN_FETCH, catalogue, setting.mirrors, setting.target],
        cwd=ROOT,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(setting.packs()) < n_packs + 1 and time.monotonic() < deadline:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
    assert not setting.target.exists()
    setting.fetch(files=903)
    assert len(setting.fetched()) == 903


def damage(file: Path) -> None:
    """Flip a byte in the middle of a file that git has made read-only."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.chmod(0o600)
    file.write_bytes(content)


def test_a_damaged_scratch_repository_is_fetched_again(
    setting: Setting, capsys: pytest.CaptureFixture[str]
) -> None:
    setting.fetch()
    for pack in (setting.repository / "objects" / "pack").glob("*.pack"):
        damage(pack)
    setting.fetch()
    assert setting.fetched() == RECORDINGS
    assert "voices.git is damaged. Fetching it again." in capsys.readouterr().err


def test_a_damaged_mirror_is_an_error_and_a_repaired_one_is_fetched(setting: Setting) -> None:
    blob = git(setting.mirror, "rev-parse", "HEAD:audio/a.wav")
    path = setting.mirror / "objects" / blob[:2] / blob[2:]
    whole = path.read_bytes()
    damage(path)
    error = setting.error()
    assert f"cannot be fetched from the mirror {setting.mirror}" in error
    assert "The mirror may be damaged" in error and f"git clone --mirror {URL}" in error
    assert setting.waits == [], "another attempt would not help"
    path.write_bytes(whole)
    setting.fetch()
    assert setting.fetched() == RECORDINGS


def test_a_mirror_that_lacks_a_file_is_an_error(setting: Setting) -> None:
    blob = git(setting.mirror, "rev-parse", "HEAD:audio/a.wav")
    (setting.mirror / "objects" / blob[:2] / blob[2:]).unlink()
    assert "lacks files of it" in setting.error()
    setting.fetch(files=2, excluded={"audio/a.wav": "It is not in the mirror."})
    assert len(setting.fetched()) == 2


def test_a_file_that_was_changed_on_its_way_is_an_error(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_module, "ATTRIBUTES", "* text eol=crlf\n")
    setting.commit = write_repository(setting.mirror, {"audio/a.wav": b"one\ntwo\n"})
    assert f"a.wav is not what {URL} holds" in setting.error()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"commit": "0" * 40},
            "It has no such commit, or lacks files of it. Correct the catalogue",
        ),
        ({"folders": ["audio", "speech"]}, "has no folder speech. Correct voices.folders."),
        ({"folders": ["aud"]}, "has no folder aud. Correct voices.folders."),
        ({"files": 4}, "has 3 recordings in audio, not the 4 that the catalogue requires"),
        ({"excluded": {"audio/z.wav": "noisy"}}, "has no audio/z.wav. Correct voices.excluded."),
        ({"works": {}, "files": 2}, "has 3 recordings in audio, not the 2"),
    ],
)
def test_what_differs_from_the_catalogue_is_an_error(
    setting: Setting, changes: dict[str, Any], message: str
) -> None:
    setting.fetch()
    error = setting.error(**changes)
    assert message in error and URL.rsplit("/", 1)[1] in error


def test_works_must_name_every_recording(setting: Setting) -> None:
    work = {"title": "A", "author": "Ann", "licence": "CC0-1.0", "source": "https://example.com"}
    works = {name: work for name in RECORDINGS}
    setting.fetch(works=works)
    del works["audio/a.wav"]
    assert "audio/a.wav and voices.works do not agree" in setting.error(works=works)


def test_without_git_the_error_says_what_to_do(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(setting.folder))
    error = setting.error()
    assert error.startswith("Git cannot be run") and "Install git 2.32 or later" in error


def write_git(setting: Setting, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Put a `git` before the real one, `$GIT`, on the path; return a folder for its notes."""
    folder = setting.folder / "bin"
    folder.mkdir()
    real = shutil.which("git")
    (folder / "git").write_text(f'#!/bin/sh\nGIT={real}\nNOTES="{folder}"\n{script}\n')
    (folder / "git").chmod(0o700)
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder), os.environ["PATH"]]))
    return folder


@on_posix
def test_an_old_git_is_an_error(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    write_git(setting, monkeypatch, "echo git version 2.31.8")
    assert setting.error() == "git version 2.31.8 is too old: 2.32 or later is needed."


FAIL_TWICE = """
for word in "$@"; do if [ "$word" = fetch ]; then
  echo x >> "$NOTES/fetches"
  if [ "$(wc -l < "$NOTES/fetches")" -le {n_failures} ]; then
    echo "fatal: unable to access 'x': {message}" >&2; exit 128
  fi
fi; done
exec "$GIT" "$@"
"""


@on_posix
@pytest.mark.parametrize(
    "message",
    ["Could not resolve host: github.com", "The requested URL returned error: 503"],
)
def test_a_failing_network_is_tried_again(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    write_git(setting, monkeypatch, FAIL_TWICE.format(n_failures=2, message=message))
    setting.fetch(mirrors="", url=f"{setting.mirror.as_uri()}/../owner+voices")
    assert setting.fetched() == RECORDINGS
    assert setting.waits == [1.0, 2.0]


@on_posix
@pytest.mark.parametrize(
    ("message", "advice", "waits"),
    [
        ("Could not resolve host: github.com", "The network failed 3 times in a row", [1.0, 2.0]),
        ("The requested URL returned error: 404", "no such public repository", []),
        ("write error: No space left on device", "The disk is full. Free some space", []),
        ("something else", "git: fatal: unable to access 'x': something else", []),
    ],
)
def test_the_error_says_what_to_do(
    setting: Setting,
    monkeypatch: pytest.MonkeyPatch,
    message: str,
    advice: str,
    waits: list[float],
) -> None:
    write_git(setting, monkeypatch, FAIL_TWICE.format(n_failures=99, message=message))
    error = setting.error(mirrors="")
    assert error.startswith(f"Commit {setting.commit} cannot be fetched from {URL}.")
    assert advice in error and setting.waits == waits


@on_posix
def test_a_refused_connection_is_an_error_of_the_network(setting: Setting) -> None:
    error = setting.error(mirrors="", url="https://127.0.0.1:9/owner/voices")
    assert "The network failed 3 times in a row" in error and "https_proxy" in error


@on_posix
def test_a_full_disk_is_an_error_and_the_fetch_goes_on(setting: Setting) -> None:
    import resource

    setting.commit = write_repository(setting.mirror, {"audio/a.wav": os.urandom(100_000)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        error = setting.error()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "The disk is full. Free some space, then run dvc repro" in error
    setting.fetch()
    assert len(setting.fetched()["audio/a.wav"]) == 100_000


@on_posix
def test_nothing_of_a_fetched_repository_or_of_the_user_is_executed(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    proof = setting.folder / "executed"
    script = setting.folder / "script"
    script.write_text(f'#!/bin/sh\ntouch "{proof}"\ncat\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    attributes = b"* filter=lfs text eol=crlf ident\n"
    files = {".gitattributes": attributes, "audio/.gitattributes": attributes}
    files[".gitmodules"] = b'[submodule "s"]\n\tpath = s\n\turl = ext::touch executed\n'
    setting.commit = write_repository(setting.mirror, files)
    home = setting.folder / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f'[filter "lfs"]\n\tsmudge = {script}\n\trequired = true\n[core]\n\thooksPath = {home}\n'
        f"\tfsmonitor = {script}\n[uploadpack]\n\tpackObjectsHook = {script}\n"
    )
    for name in ("post-checkout", "reference-transaction", "post-index-change"):
        shutil.copy(script, home / name)
        shutil.copy(script, setting.mirror / "hooks" / name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("GIT_DIR", str(setting.mirror))
    for name, value in {"COUNT": "1", "KEY_0": "core.hooksPath", "VALUE_0": str(home)}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    (home / "git").mkdir()
    (home / "git" / "attributes").write_bytes(attributes)
    setting.fetch()
    committed = {**RECORDINGS, "audio/ünï code/b.flac": b"second\n"}  # git add normalised it
    assert setting.fetched() == committed and not proof.exists()


@on_posix
def test_links_and_other_transports_are_refused(setting: Setting) -> None:
    work_tree = setting.mirror.with_name("owner+voices files")
    (work_tree / "audio" / "link.wav").symlink_to("/etc/hostname")
    setting.commit = write_repository(setting.mirror, {})
    setting.fetch()
    assert setting.fetched() == RECORDINGS
    with pytest.raises(CorpusError, match=r"voices.url: 'ext::sh -c touch' is not https"):
        setting.fetch(url="ext::sh -c touch")


@pytest.mark.parametrize("name", ["owner+voices", "owner+voices.git", "owner/voices.git"])
@pytest.mark.parametrize("inner", ["", ".git", "repo"])
def test_a_mirror_is_found_by_owner_and_name(tmp_path: Path, name: str, inner: str) -> None:
    folder = tmp_path / name / inner
    write_repository(folder, FILES)
    for url in (URL, f"{URL}.git"):
        assert find_mirror(tmp_path, url) == folder
    shutil.rmtree(tmp_path / name)
    with pytest.raises(CorpusError, match=re.escape(f"No mirror of {URL} in {tmp_path}. Make one")):
        find_mirror(tmp_path, URL)


def test_a_missing_mirror_does_not_fall_back_to_the_network(setting: Setting) -> None:
    shutil.rmtree(setting.mirror)
    assert "set download.open.mirrors to '' to use the network" in setting.error()


def test_recordings_exist_only_during_the_import(setting: Setting) -> None:
    setting.fetch()
    catalogue, scratch = setting.folder / "catalogue.yaml", setting.folder / "scratch"
    with open_recordings(catalogue, "speech", ["voices"], setting.mirrors, scratch) as fetched:
        assert fetched.folder == setting.target and setting.fetched() == RECORDINGS
    assert not setting.target.exists() and setting.repository.exists()
    with open_recordings(catalogue, "noise", [], setting.mirrors, scratch) as fetched:
        assert fetched.folder is None and fetched.provenance == {}


def test_unknown_names_and_kinds_are_errors() -> None:
    catalogue = read_catalogue()
    assert [entry.name for entry in select(catalogue, "noise", ["blanket"])] == ["blanket"]
    with pytest.raises(CorpusError, match=r"download.open.noise: 'rain' is not in .* blanket, "):
        select(catalogue, "noise", ["rain"])
    with pytest.raises(CorpusError, match=r"download.open.speech: 'blanket' is not in"):
        select(catalogue, "speech", ["blanket"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"commit": "main"}, "voices.commit: 'main' is not a commit's 40 hex digits"),
        ({"url": "--upload-pack=x"}, "voices.url: '--upload-pack=x' is not https"),
        ({"url": 'https://x/"/y/z'}, "voices.url"),
        ({"kind": "music"}, "voices.kind: 'music' is not one of speech, noise"),
        ({"files": 0}, "voices.files: 0 lies outside 1 to"),
        ({"authors": "Ann"}, "voices.authors: no such key"),
        ({"excluded": ["a"]}, "voices.excluded: ['a'] is not a mapping of paths"),
        ({"works": {"a": {"title": "A"}}}, "voices.works.a.author: the key is missing"),
    ],
)
def test_an_error_in_a_catalogue_names_entry_key_and_value(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    entry = {**make_entry(URL, "0" * 40), **changes}
    path = write_catalogue(tmp_path / "catalogue.yaml", {"voices": entry})
    with pytest.raises(CorpusError, match=re.escape(f"{path}: {message}")):
        read_catalogue(path)


@pytest.mark.parametrize("name", ["../x", "Voices", "-x", ""])
def test_the_name_of_an_entry_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    path = write_catalogue(tmp_path / "catalogue.yaml", {name: make_entry(URL, "0" * 40)})
    with pytest.raises(CorpusError, match="is not a name of lower-case letters"):
        read_catalogue(path)


def test_a_catalogue_that_is_missing_or_no_yaml_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="No catalogue at"):
        read_catalogue(tmp_path / "none.yaml")
    for text in ("[", "- a", "a: 1"):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(CorpusError, match=r"bad\.yaml"):
            read_catalogue(tmp_path / "bad.yaml")


RESERVED = re.compile(
    r"test-(?:clean|other)|dev-(?:clean|other)|vctk|voicebank|valentini|demand|arctic|dns-challenge"
    r"|free-spoken-digit|audiomnist|moodist|scaper",
    re.IGNORECASE,
)


def list_texts() -> list[tuple[str, str]]:
    """Return each folder, address and name in the catalogue, with the name of its entry."""
    return [
        (name, text)
        for name, entry in read_catalogue().items()
        for text in (*entry.source.folders, entry.source.url, name)
    ]


@pytest.mark.parametrize(("name", "text"), list_texts())
def test_the_catalogue_holds_nothing_reserved(name: str, text: str) -> None:
    assert not RESERVED.search(text)


def test_the_catalogue_holds_open_licences_and_credits_every_author() -> None:
    catalogue = read_catalogue()
    credits = "\n".join(attributions(catalogue.values()))
    allowed = {"CC0-1.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY (version not stated)", "public domain"}
    for entry in catalogue.values():
        assert set(entry.licences) <= allowed | {"Apache-2.0"}
        assert set(entry.source.licence.split(", ")) == set(entry.licences)
        assert entry.source.attribution in credits and entry.source.url in credits
        for path, work in entry.works.items():
            assert work.author in credits and work.source in credits
            assert Path(path).suffix in AUDIO_SUFFIXES


def test_params_name_all_speech_of_the_catalogue_and_no_noise() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    speech = [n for n, entry in read_catalogue().items() if entry.source.kind == "speech"]
    assert params["download"]["open"] == {"speech": speech, "noise": [], "mirrors": ""}
