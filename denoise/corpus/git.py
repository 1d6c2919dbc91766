"""Fetch chosen files of one commit of a public git repository, with plain `git`.

A `PinnedRepository` is a bare repository that starts without any file. Files are fetched by their
hashes, in batches, so an interrupted fetch loses one batch at most. Git checks the hash of
everything it receives.

A fetched repository is not trusted. Git runs none of its hooks, filters or submodules, uses no
other transport than HTTPS and local files, and reads neither the user's configuration nor
attributes from the repository. Git itself refuses paths that lead out of the target folder.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from denoise.corpus.git_errors import NETWORK, describe_signal, explain, last_line
from denoise.corpus.retry import DEFAULT_RETRY, RetryPolicy
from denoise.errors import CorpusError
from denoise.util.atomic import replacing_folder, write_text

BATCH_FILES = 100  # per fetch
REGULAR_FILES = ("100644", "100755")  # neither links nor submodules
MIN_VERSION = (2, 32)  # the first that reads GIT_CONFIG_GLOBAL
KEPT_VARIABLES = ("GIT_SSL_", "GIT_TRACE", "GIT_EXEC_PATH")

# It replaces ~/.gitconfig, also for the git that serves a mirror. The `uploadpack` keys let a
# mirror give single files; `safe.directory` lets it belong to another user.
CONFIG = """\
[remote "origin"]
\turl = "{url}"
\tpromisor = true
\tpartialCloneFilter = blob:none
[protocol]
\tallow = never
[protocol "https"]
\tallow = always
[protocol "file"]
\tallow = always
[http]
\tlowSpeedLimit = 1000
\tlowSpeedTime = 60
[core]
\thooksPath = /dev/null
\tfsmonitor = false
\tautocrlf = false
\tlongPaths = true
[credential]
\thelper =
[fetch]
\tnegotiationAlgorithm = noop
\trecurseSubmodules = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
[uploadpack]
\tallowFilter = true
\tallowAnySHA1InWant = true
[safe]
\tdirectory = *
"""
ATTRIBUTES = "* -text -eol -ident -filter -working-tree-encoding\n"  # files keep their bytes


class _GitError(Exception):
    """Git failed; the text is what it printed, and may tell the cause."""


@dataclass(frozen=True)
class TreeFile:
    """A regular file of a commit: its path, and the hash of its content."""

    path: str
    object_id: str


@dataclass(frozen=True)
class PinnedRepository:
    """A bare repository in `folder` that holds one commit of `url`, and the files fetched so far.

    `mirror` is a local repository that is read in place of `url`, or None. Two processes must not
    use the same folder at once.
    """

    folder: Path
    url: str
    commit: str
    mirror: Path | None = None
    retry: RetryPolicy = DEFAULT_RETRY

    def open(self) -> None:
        """Create the repository, or check the one that is there; a damaged one is replaced.

        What a killed git leaves behind is removed. Raises CorpusError without a usable git.
        """
        _check_version()
        if self.folder.exists():
            for leftover in [*self.folder.rglob("*.lock"), *self.folder.rglob("tmp_*")]:
                leftover.unlink(missing_ok=True)
            self._write_config()
            if not self._is_sound():
                print(f"{self.folder} is damaged. Fetching it again.", file=sys.stderr)
                _remove(self.folder)
        if not self.folder.exists():
            self._create()

    def fetch_commit(self) -> None:
        """Fetch the commit and its trees, unless they are there."""
        name = f"refs/pinned/{self.commit}"
        if not (self.folder / name).exists():
            self._fetch("--depth=1", "origin", f"+{self.commit}:{name}")

    def list_files(self, folder: str) -> list[TreeFile]:
        """Return the regular files below a folder of the commit, sorted by path."""
        listing = self._git("ls-tree", "-r", "-z", "--full-tree", self.commit, "--", f"{folder}/")
        files = []
        for line in filter(None, listing.split("\0")):
            details, path = line.split("\t", 1)
            mode, _, object_id = details.split()
            if mode in REGULAR_FILES:
                files.append(TreeFile(path, object_id))
        return files

    def fetch_files(
        self, files: Iterable[TreeFile], report: Callable[[int], object] = lambda _: None
    ) -> None:
        """Fetch the files that are missing, in batches; `report` gets the size of each batch."""
        objects = self._git("rev-list", "--objects", "--no-walk", "--missing=print", self.commit)
        missing = {line[1:] for line in objects.splitlines() if line.startswith("?")}
        wanted = sorted(missing & {file.object_id for file in files})
        for start in range(0, len(wanted), BATCH_FILES):
            batch = wanted[start : start + BATCH_FILES]
            self._fetch("--filter=blob:none", "--stdin", "origin", stdin="\n".join(batch))
            report(len(batch))

    def check_out(self, files: Sequence[TreeFile], target: Path) -> None:
        """Write the files below `target`; raises CorpusError if one does not have its hash."""
        target.mkdir(parents=True, exist_ok=True)
        (self.folder / "index").unlink(missing_ok=True)
        work_tree = ("--literal-pathspecs", f"--work-tree={target.resolve()}")
        from_stdin = ("--pathspec-from-file=-", "--pathspec-file-nul")
        paths = "\0".join(file.path for file in files)
        self._git(*work_tree, "checkout", "--quiet", self.commit, *from_stdin, stdin=paths)
        written = "\n".join(str(target.resolve() / file.path) for file in files)
        hashes = self._git("hash-object", "--no-filters", "--stdin-paths", stdin=written)
        for file, object_id in zip(files, hashes.split(), strict=True):
            if object_id != file.object_id:
                raise CorpusError(f"{target / file.path} is not what {self.url} holds.")

    def _create(self) -> None:
        with replacing_folder(self.folder) as new:
            created = PinnedRepository(new, self.url, self.commit, self.mirror)
            created._write_config()
            created._git("init", "--quiet", "--bare", "--template=", os.fspath(new.resolve()))
            created._git("config", "core.repositoryFormatVersion", "1")
            created._git("config", "extensions.partialClone", "origin")
            write_text(new / "info" / "attributes", ATTRIBUTES)

    def _write_config(self) -> None:
        url = self.mirror.resolve().as_uri() if self.mirror else self.url
        write_text(self.folder / "fetch.config", CONFIG.format(url=url))

    def _is_sound(self) -> bool:
        """Check the hash of every object, with `git fsck`."""
        try:
            self._call("fsck", "--no-progress", "--no-dangling")
        except _GitError:
            return False
        return True

    def _fetch(self, *arguments: str, stdin: str = "") -> None:
        """Run `git fetch`, again where the network failed; raises CorpusError."""
        command = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--filter=blob:none")
        for n_failures in range(1, self.retry.max_attempts + 1):
            try:
                self._call(*command, *arguments, stdin=stdin)
                return
            except _GitError as error:
                is_last = n_failures == self.retry.max_attempts or self.mirror is not None
                if is_last or explain(str(error)) is not None or not NETWORK.search(str(error)):
                    raise CorpusError(self._describe(str(error), n_failures)) from error
                wait_seconds = self.retry.wait_seconds(n_failures, 0)
                print(f"{last_line(str(error))}", file=sys.stderr)
                print(f"Trying again in {wait_seconds:g} s.", file=sys.stderr)
                self.retry.sleep(wait_seconds)

    def _git(self, *arguments: str, stdin: str = "") -> str:
        try:
            return self._call(*arguments, stdin=stdin)
        except _GitError as error:
            raise CorpusError(self._describe(str(error), 1)) from error

    def _call(self, *arguments: str, stdin: str = "") -> str:
        """Run git; return its output. Raises _GitError with what it printed."""
        command = ["git", f"--git-dir={self.folder.resolve()}", *arguments]
        content = stdin.encode("utf-8", "surrogateescape")
        finished = subprocess.run(
            command, input=content, env=self._environment(), capture_output=True
        )
        if finished.returncode:
            printed = finished.stderr.decode("utf-8", "replace")
            raise _GitError(f"{printed}{describe_signal(finished.returncode)}")
        return finished.stdout.decode("utf-8", "surrogateescape")

    def _environment(self) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("GIT_") or name.startswith(KEPT_VARIABLES)
        }
        return {
            **inherited,
            "GIT_CONFIG_GLOBAL": str(self.folder.resolve() / "fetch.config"),
            "GIT_ALLOW_PROTOCOL": "https:file",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",
            "SSH_ASKPASS": "",
            "LC_ALL": "C",
        }

    def _describe(self, printed: str, n_failures: int) -> str:
        """Return the error message for what git printed."""
        source = f"the mirror {self.mirror}" if self.mirror else self.url
        reason = explain(printed)
        if reason is None and self.mirror:
            reason = (
                "The mirror may be damaged. Run git fsck in it, or make it anew with "
                f"git clone --mirror {self.url}."
            )
        elif reason is None and NETWORK.search(printed):
            reason = (
                f"The network failed {n_failures} times in a row. Check it, and https_proxy, which "
                "git reads from the environment; then run dvc repro again. What was fetched is "
                f"kept in {self.folder}. Or set download.open.mirrors to a folder of mirrors."
            )
        return (
            f"Commit {self.commit} cannot be fetched from {source}. {reason or ''}\n"
            f"git: {last_line(printed)}"
        )


def _check_version() -> None:
    """Raise CorpusError if there is no git, or an old one."""
    needed = ".".join(map(str, MIN_VERSION))
    try:
        printed = subprocess.run(["git", "--version"], capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise CorpusError(
            f"Git cannot be run ({error}), and it fetches the open recordings. Install git "
            f"{needed} or later, or set download.source to synthetic and download.open.noise to []."
        ) from error
    version = tuple(map(int, re.findall(rb"\d+", printed)[:2]))
    if version < MIN_VERSION:
        raise CorpusError(f"{printed.decode().strip()} is too old: {needed} or later is needed.")


def _remove(folder: Path) -> None:
    """Remove a repository, whose files git writes read-only; Windows keeps such files."""

    def make_writable(function: Callable[[str], Any], path: str, _: object) -> None:
        Path(path).chmod(0o700)
        function(path)

    shutil.rmtree(folder, onerror=make_writable)
