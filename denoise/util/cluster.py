"""Runs the tasks of `parallel` on the workers of a Dask scheduler, by joblib's Dask backend."""

import asyncio
import time
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any

from denoise.errors import DenoiseError
from denoise.util.parallel import fingerprint

CONNECT_SECONDS = 10
"""How long a scheduler may take to answer."""
PATIENCE_SECONDS = 60.0
"""How long tasks wait for another worker when all are gone."""


class NoWorkerError(Exception):
    """All workers were lost, and no other came."""


class Cluster:
    """A scheduler with its workers, as a `parallel.Pool`.

    The tasks of a worker that is lost are done by the others.
    """

    def __init__(self, address: str) -> None:
        """Connect to a scheduler; raises DenoiseError if it or its workers cannot be used."""
        try:
            from distributed import Client, KilledWorker
        except ImportError as error:
            raise DenoiseError(
                "parallel.scheduler needs Dask. Run pip install distributed, or set it to ''."
            ) from error
        self.lost: tuple[type[BaseException], ...] = (KilledWorker, CancelledError, NoWorkerError)
        self.advice = (
            f"The Dask scheduler at {address}, or all of its workers, were lost. See what they "
            "printed, start them again and try once more."
        )
        try:
            self._client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, AssertionError) as error:
            # Dask asserts that a thread of its own starts within ten seconds: not on a busy machine
            raise DenoiseError(
                f"parallel.scheduler: no Dask scheduler answers at {address}. Start one with "
                "dask scheduler, correct the address, or set it to '' to use this machine alone."
            ) from error
        try:
            self._check_workers(address)
        except BaseException:
            self._client.close()
            raise

    def _check_workers(self, address: str) -> None:
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError as error:
            raise DenoiseError(
                f"The Dask scheduler at {address} has no worker. Start some with "
                f"python -m dask worker {address}."
            ) from error
        answers = self._client.run(fingerprint, on_error="return")
        others = sorted(name for name, answer in answers.items() if answer != fingerprint())
        if others:
            raise DenoiseError(
                f"{len(others)} of {len(answers)} Dask workers have other versions of the code or "
                f"of its libraries, such as {others[0]}. Start them again with python -m dask "
                "worker, in the project's folder and with the same environment."
            )

    def n_workers(self) -> int:
        """Return how many tasks run at once."""
        return max(1, sum(self._client.ncores().values()))

    def start(self, tasks: list[Any]) -> Generator[Any, None, None]:
        """Send joblib's delayed calls off; return their results, in order, as they come."""
        from joblib import Parallel

        parallel = Parallel(
            backend=_make_backend(self._client),
            n_jobs=-1,
            return_as="generator",
            batch_size=4,
            pre_dispatch="all",
        )
        outcomes: Generator[Any, None, None] = parallel(tasks)
        return outcomes

    def close(self) -> None:
        """Disconnect; the scheduler drops what it was still to do for this client."""
        self._client.close()


def _make_backend(client: Any) -> Any:
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):
        """joblib's Dask backend with three repairs.

        The original waits forever for a task that Dask gives up (see submit) or if no worker is
        left (_watch), and does the tasks in this process if there is only one worker
        (effective_n_jobs).
        """

        def start_call(self) -> None:
            super().start_call()
            self.client.loop.add_callback(self._watch)

        async def _watch(self) -> None:
            last_seen = time.monotonic()
            while self._continue:
                with suppress(OSError):  # where the scheduler is lost, Dask ends the tasks itself
                    if await self.client.ncores():
                        last_seen = time.monotonic()
                if time.monotonic() - last_seen > PATIENCE_SECONDS:
                    for future in list(self._results.values()):
                        future.set_exception(NoWorkerError())
                    return
                await asyncio.sleep(1)

        def submit(self, func: Any, callback: Callable[[Any], None]) -> Any:
            future = super().submit(func, callback)

            def report(done: Any) -> None:
                if error := done.exception():
                    callback(error)

            future.add_done_callback(report)
            return future

        def effective_n_jobs(self, n_jobs: int) -> int:
            return max(2, super().effective_n_jobs(n_jobs))

    return Backend(client=client)
