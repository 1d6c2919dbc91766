"""The remotes of docs/sharing.md that are servers, with real ones over their own protocols."""

import getpass
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncssh
import pytest

from tests.closures import ROOT
from tests.project import TIMEOUT_SECONDS, Project, kill, ran, served, two_runs

HOST = "127.0.0.1"
NEEDS_S3 = (
    "dvc-s3 and moto are not installed: make slow, or pip install -r requirements-remotes.txt"
)


@dataclass(frozen=True)
class Remote:
    """A remote on a server that runs, with the credentials that it takes and such that it refuses.

    `missing` is a URL on the same server at which nothing can be stored.
    """

    url: str
    missing: str
    settings: Mapping[str, str]
    secrets: Mapping[str, str]
    refused: Mapping[str, str]

    def configure(self, project: Project, url: str, secrets: Mapping[str, str]) -> None:
        """Make this the default remote of a project, as docs/sharing.md says."""
        project.dvc("remote", "add", "--default", "--force", "shared", url)
        for key, value in self.settings.items():
            project.dvc("remote", "modify", "shared", key, value)
        self.authenticate(project, secrets)

    def authenticate(self, project: Project, secrets: Mapping[str, str]) -> None:
        """Give a project the credentials, where git does not see them."""
        for key, value in secrets.items():
            project.dvc("remote", "modify", "--local", "shared", key, value)


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(port: int, *words: str, **options: Any) -> Iterator[None]:
    """Run a server in a process of its own, from when its port answers."""
    process = subprocess.Popen(words, start_new_session=True, **options)
    try:
        give_up = time.monotonic() + TIMEOUT_SECONDS
        while True:
            try:
                socket.create_connection((HOST, port), timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, f"{words[0]} ended."
                assert time.monotonic() < give_up, f"{words[0]} does not answer."
                time.sleep(0.05)
        yield
    finally:
        kill(process)


@dataclass(frozen=True)
class Keys:
    """The key of a server, that of its one user, and another that it does not know."""

    host: Path
    user: Path
    stranger: Path
    authorised: Path

    @classmethod
    def generate(cls, folder: Path) -> "Keys":
        """Write new ones into a folder."""
        keys = cls(*(folder / name for name in ("host", "user", "stranger", "authorised")))
        for path in (keys.host, keys.user, keys.stranger):
            key = asyncssh.generate_private_key("ssh-ed25519")
            path.touch(mode=0o600)
            key.write_private_key(path)
            if path == keys.user:
                key.write_public_key(keys.authorised)
        return keys

    def remote(self, port: int, folder: str) -> Remote:
        """Return a remote on the server that has these keys."""
        server = f"ssh://{getpass.getuser()}@{HOST}:{port}"
        return Remote(
            url=server + folder,
            missing=f"{server}{folder}/a file/denoise",
            settings={},
            secrets={"keyfile": str(self.user)},
            refused={"keyfile": str(self.stranger)},
        )


@contextmanager
def asyncssh_server(folder: Path) -> Iterator[Remote]:
    """Run an SSH server that gives its users SFTP and no shell."""
    keys = Keys.generate(folder)
    store = folder / "store"
    (store / "team").mkdir(parents=True)
    (store / "team" / "a file").touch()
    words = (sys.executable, "-m", "tests.ssh_server", str(keys.host), str(keys.authorised))
    with subprocess.Popen(
        (*words, str(store)), cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            yield keys.remote(int(process.stdout.readline()), "/team")
        finally:
            kill(process)


@contextmanager
def openssh_server(folder: Path) -> Iterator[Remote]:
    """Run OpenSSH's server, where it is installed."""
    sshd = shutil.which("sshd", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    if sshd is None:
        pytest.skip("OpenSSH's server is not installed: apt install openssh-server")
    keys, port = Keys.generate(folder), free_port()
    store = folder / "team"
    store.mkdir()
    (store / "a file").touch()
    settings = {
        "ListenAddress": f"{HOST}:{port}",
        "HostKey": keys.host,
        "AuthorizedKeysFile": keys.authorised,
        "AuthenticationMethods": "publickey",
        "PermitRootLogin": "prohibit-password",
        "StrictModes": "no",  # the folder of the tests may belong to a group
        "UsePAM": "no",
        "PidFile": "none",
        "Subsystem": "sftp internal-sftp",
        "ForceCommand": "internal-sftp",
    }
    config = folder / "sshd_config"
    config.write_text("".join(f"{key} {value}\n" for key, value in settings.items()), "utf-8")
    check = subprocess.run([sshd, "-t", "-f", config], capture_output=True, text=True)
    if check.returncode:
        pytest.skip(f"OpenSSH's server does not start here: {check.stderr.strip()}")
    with (
        (folder / "log").open("wb") as log,
        running(port, sshd, "-D", "-e", "-f", str(config), stderr=log),
    ):
        yield keys.remote(port, store.as_posix())


@contextmanager
def s3_server(folder: Path) -> Iterator[Remote]:
    """Run moto's S3 server, which checks signatures after the user and the bucket are made."""
    if any(importlib.util.find_spec(name) is None for name in ("dvc_s3", "moto", "flask_cors")):
        pytest.skip(NEEDS_S3)
    import boto3

    port = free_port()
    endpoint = f"http://{HOST}:{port}"
    free_calls = {"INITIAL_NO_AUTH_ACTION_COUNT": "4"}
    words = (sys.executable, "-m", "moto.server", "--host", HOST, "--port", str(port))
    with (
        (folder / "log").open("wb") as log,
        running(port, *words, env={**os.environ, **free_calls}, stdout=log, stderr=log),
    ):
        setup = {"endpoint_url": endpoint, "region_name": "us-east-1"}
        setup |= {"aws_access_key_id": "setup", "aws_secret_access_key": "setup"}
        iam = boto3.client("iam", **setup)
        iam.create_user(UserName="team")
        policy = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", '
        policy += '"Resource": "*"}}'
        iam.put_user_policy(UserName="team", PolicyName="all", PolicyDocument=policy)
        key = iam.create_access_key(UserName="team")["AccessKey"]
        boto3.client("s3", **setup).create_bucket(Bucket="team")
        secrets = {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}
        yield Remote(
            url="s3://team/denoise",
            missing="s3://nobody-made-this/denoise",
            settings={"endpointurl": endpoint},
            secrets=secrets,
            refused={**secrets, "secret_access_key": "wrong"},
        )


SERVERS = {"asyncssh": asyncssh_server, "OpenSSH": openssh_server, "S3": s3_server}


@pytest.fixture(scope="module", autouse=True)
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's own keys, profiles and proxies out of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("NO_PROXY", HOST)
        for name in os.environ:
            if name.startswith("AWS_") or name == "SSH_AUTH_SOCK":
                patch.delenv(name)
        yield


@pytest.fixture(scope="module", params=SERVERS)
def remote(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Remote]:
    """Return a remote on each of the servers in turn."""
    with SERVERS[request.param](tmp_path_factory.mktemp("server")) as remote:
        yield remote


@pytest.fixture(scope="module")
def project(remote: Remote, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project that ran and pushed."""
    run, _ = two_runs(tmp_path_factory)
    project = run.copy(tmp_path_factory.mktemp("remotes") / "project")
    remote.configure(project, remote.url, remote.secrets)
    project.commit("Results and a remote")
    project.dvc("push")
    return project


@pytest.fixture
def clone(project: Project, tmp_path: Path) -> Project:
    """Return a fresh clone elsewhere, which has only what git holds."""
    project.git("clone", "--quiet", ".", str(tmp_path / "clone"))
    return Project(tmp_path / "clone")


def test_a_clone_that_pulls_has_everything_and_runs_nothing(
    project: Project, remote: Remote, clone: Project
) -> None:
    assert clone.content() != project.content()
    remote.authenticate(clone, remote.secrets)
    clone.dvc("pull")
    assert clone.content() == project.content()
    output = clone.dvc("repro")
    assert "up to date" in output
    assert ran(output) == served(output) == []
    assert clone.dvc_json("status", "--cloud") == {}


def test_git_does_not_hold_the_credentials(clone: Project, remote: Remote) -> None:
    config = (clone.folder / ".dvc" / "config").read_text(encoding="utf-8")
    assert remote.url in config
    assert not any(secret in config for secret in remote.secrets.values())


def test_the_key_of_an_ssh_server_is_not_checked(project: Project, remote: Remote) -> None:
    """Where this fails, DVC has learned it, and docs/sharing.md need not advise a tunnel."""
    if not remote.url.startswith("ssh://"):
        pytest.skip("no SSH server")
    key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    port = urlsplit(remote.url).port
    known_hosts = Path.home() / ".ssh" / "known_hosts"
    known_hosts.parent.mkdir(mode=0o700, exist_ok=True)
    known_hosts.write_text(f"[{HOST}]:{port} {key}", "utf-8")
    assert project.dvc_json("status", "--cloud") == {}


def assert_fails(project: Project, *words: str) -> None:
    """Check that dvc ends with an error that it reports."""
    done = project.run_dvc(*words)
    assert done.returncode != 0, done.stdout
    assert "ERROR: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["push", "pull"])
def test_wrong_credentials_are_an_error(
    project: Project, remote: Remote, clone: Project, tmp_path: Path, command: str
) -> None:
    where = clone if command == "pull" else project.copy(tmp_path / "copy")
    remote.authenticate(where, remote.refused)
    assert_fails(where, command)


@pytest.mark.parametrize("command", ["push", "pull"])
def test_a_place_that_does_not_exist_is_an_error(
    project: Project, remote: Remote, clone: Project, tmp_path: Path, command: str
) -> None:
    where = clone if command == "pull" else project.copy(tmp_path / "copy")
    remote.configure(where, remote.missing, remote.secrets)
    assert_fails(where, command)
