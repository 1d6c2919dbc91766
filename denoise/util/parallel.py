"""Maps functions over items in several processes of this machine, or on a Dask cluster.

Results come in the order of the items, whichever worker is done first, and a function that depends
on its arguments alone gives the same bytes with any number of workers.
"""

import functools
import hashlib
import itertools
import pickle
import signal
import threading
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol, TypeVar

from denoise import extensions
from denoise.errors import DenoiseError
from denoise.params import ParallelParams

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")
Outcomes = Generator[Any, None, None]

MIN_ITEMS = 256
"""Fewer items are worked on in this process: a worker takes seconds to start."""
MIN_ITEMS_PER_WORKER = 64
BLOCK_PER_WORKER = 8
"""Tasks are sent in blocks of so many for each worker; at most two blocks are in memory."""
IDLE_SECONDS = 30
"""A process without work ends after this; so do those of a stage that was killed by SIGKILL."""
MAX_SHARED = 4
_END = object()
LIBRARIES = ("numpy", "pesq", "pystoi", "scipy", "soundfile", "soxr")
"""The packages that results depend on."""


class Pool(Protocol):
    """Runs tasks in other processes.

    If a process ends unexpectedly, one of the exceptions `lost` is raised; `advice` is then the
    message for the user.
    """

    lost: tuple[type[BaseException], ...]
    advice: str

    def n_workers(self) -> int:
        """Return how many tasks run at once."""

    def start(self, tasks: list[Any]) -> Outcomes:
        """Send joblib's delayed calls off; return their results, in order, as they come."""

    def close(self) -> None:
        """Let go of the processes, and stop those of this machine."""


class Workers:
    """Maps functions over items: in other processes, or in this one if there is no `pool`."""

    def __init__(self, pool: Pool | None = None) -> None:
        """Use `pool`, which `close` closes."""
        self._pool = pool
        self._running: list[Outcomes] = []

    def map(
        self, function: Callable[[Shared, Item], Result], shared: Shared, items: Iterable[Item]
    ) -> Iterator[Result]:
        """Yield `function(shared, item)` for each item, in their order.

        Workers need `function` to be one of a module, and the rest to be picklable; each unpickles
        `shared` once. Items are taken as they are needed, in this thread, two blocks ahead at most.
        Raises the DenoiseError that the function raised for the first item for which it did.
        """
        if self._pool is None:
            yield from (function(shared, item) for item in items)
            return
        call = functools.partial(_delayed, uuid.uuid4().hex, function, pickle.dumps(shared))
        source, waiting = iter(items), deque[Outcomes]()
        while block := list(itertools.islice(source, BLOCK_PER_WORKER * self._pool.n_workers())):
            waiting.append(self._start([call(item) for item in block]))
            if len(waiting) > 1:
                yield from self._finish(waiting.popleft())
        while waiting:
            yield from self._finish(waiting.popleft())

    def _start(self, tasks: list[Any]) -> Outcomes:
        assert self._pool is not None
        outcomes = self._pool.start(tasks)
        self._running.append(outcomes)
        return outcomes

    def _finish(self, outcomes: Outcomes) -> Iterator[Any]:
        assert self._pool is not None
        while True:
            try:
                outcome = next(outcomes, _END)
            except self._pool.lost as error:
                raise DenoiseError(self._pool.advice) from error
            if outcome is _END:
                break
            if isinstance(outcome, _Failure):
                raise outcome.error
            yield outcome
        self._running.remove(outcomes)

    def close(self) -> None:
        """Drop tasks that still run, and close the pool."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joblib tells of results that nobody took
            for outcomes in self._running:
                outcomes.close()
            if self._pool is not None:
                self._pool.close()


SERIAL = Workers()
"""Does all work in this process."""


@contextmanager
def open_workers(params: ParallelParams, n_items: int) -> Iterator[Workers]:
    """Yield the workers that `params` name, or SERIAL if `n_items` are too few for more than one.

    None of the processes that were started runs on afterwards. Raises DenoiseError where a
    scheduler does not answer, or its workers cannot be used.
    """
    workers = Workers(_open_pool(params, n_items))
    with _quiet_threads():
        try:
            yield workers
        finally:
            workers.close()


@contextmanager
def _quiet_threads() -> Iterator[None]:
    """Print nothing where joblib's thread looks for a task that was dropped, and ends.

    It has killed its processes by then.
    """
    before = threading.excepthook

    def print_others(failed: Any) -> None:
        thread = failed.thread.name if failed.thread else ""
        if (thread, failed.exc_type) != ("ExecutorManagerThread", KeyError):
            before(failed)

    threading.excepthook = print_others
    try:
        yield
    finally:
        threading.excepthook = before


def _open_pool(params: ParallelParams, n_items: int) -> Pool | None:
    if n_items < MIN_ITEMS:
        return None
    if params.scheduler:
        from denoise.util.cluster import Cluster  # here: Dask is optional

        return Cluster(params.scheduler)
    import joblib  # here: it takes a moment, and a stage with few clips does without

    n_jobs = min(params.jobs or joblib.cpu_count(), n_items // MIN_ITEMS_PER_WORKER)
    return _Processes(n_jobs) if n_jobs > 1 else None


class _Processes:
    """Processes of this machine. joblib gives each its share of the threads of BLAS."""

    def __init__(self, n_jobs: int) -> None:
        self.n_jobs = n_jobs
        self.lost: tuple[type[BaseException], ...] = (BrokenExecutor,)
        self.advice = (
            "A worker process was killed, perhaps because the memory was full. Lower "
            "parallel.jobs and try again."
        )

    def n_workers(self) -> int:
        return self.n_jobs

    def start(self, tasks: list[Any]) -> Outcomes:
        from joblib import Parallel

        parallel = Parallel(
            n_jobs=self.n_jobs,
            backend="loky",
            return_as="generator",
            batch_size=1,
            pre_dispatch="all",
            max_nbytes=None,
            idle_worker_timeout=IDLE_SECONDS,
        )
        with _ctrl_c_blocked():
            outcomes: Outcomes = parallel(tasks)
        return outcomes

    def close(self) -> None:
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor(reuse=True).shutdown(kill_workers=True)


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Let Ctrl-C wait; processes that are started meanwhile inherit that, and never hear of it.

    This process ends them. They would each print a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # joblib needs it, and its start would end the blocking
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(frozen=True)
class _Failure:
    """Stands for the result of a task that ended with an error that the user can correct."""

    error: DenoiseError


def _delayed(key: str, function: Callable[..., Any], shared: bytes, item: object) -> Any:
    """Return a task as joblib takes it.

    Its large arguments are bytes. joblib would store others with one worker of a cluster, and with
    that worker they would be lost.
    """
    return _run, (fingerprint(), key, function, shared, pickle.dumps(item)), {}


_one_at_a_time = threading.Lock()
_shared: dict[str, Any] = {}


def _run(
    code: str, key: str, function: Callable[[Any, Any], Any], shared: bytes, item: bytes
) -> Any:
    """Do a task in a worker; `key` names the call of `map`, whose tasks share `shared`.

    A worker of Dask may have several threads, and pystoi uses NumPy's global generator.
    """
    try:
        with _one_at_a_time:
            if code != fingerprint():
                raise DenoiseError(
                    "A worker has other versions of the code or of its libraries. Start it again, "
                    "in the project's folder and with the same environment."
                )
            if key not in _shared:
                while len(_shared) >= MAX_SHARED:
                    del _shared[next(iter(_shared))]
                _shared[key] = pickle.loads(shared)
            return function(_shared[key], pickle.loads(item))
    except DenoiseError as error:
        return _Failure(error)


@functools.cache
def fingerprint() -> str:
    """Return a hash of the code, as it was when this process first called this.

    It covers the library, the extensions in the working folder, and the versions of LIBRARIES.
    """
    digest = hashlib.sha256()
    for folder in (Path(__file__).parent.parent, extensions.FOLDER):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    for name in LIBRARIES:
        digest.update(f"{name} {_version_of(name)}".encode())
    return digest.hexdigest()


def _version_of(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
