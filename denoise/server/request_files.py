"""The files of requests: each request has a folder of its own until it is answered."""

import logging
import shutil
import tempfile
from pathlib import Path
from threading import Lock
from typing import IO

from denoise.errors import UsageError
from denoise.server.jobs.folder import open_folder, reopened

PREFIX = "denoise-"
log = logging.getLogger("denoise.server")


class RequestFiles:
    """Creates the folders of requests, in one that no other server uses.

    So a server can delete what a killed one has left there. Without such a folder, or if it cannot
    be used, they lie in the system's folder for temporary files.
    """

    def __init__(self, folder: Path | None) -> None:
        """Take a folder, which `open` opens."""
        self._folder, self._lock = folder, Lock()
        self._lock_file: IO[bytes] | None = None

    def open(self) -> None:
        """Lock the folder, and delete what a killed server has left in it."""
        if self._folder is None:
            return
        try:
            self._lock_file = open_folder(self._folder)
        except UsageError:
            log.warning("%s cannot be used for the files of requests.", self._folder)
            return
        for left in self._folder.glob(f"{PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)

    def new(self) -> tempfile.TemporaryDirectory[str]:
        """Return a new folder, which is deleted when its `with` block ends."""
        with self._lock:
            if self._folder is None or self._lock_file is None:
                return tempfile.TemporaryDirectory(prefix=PREFIX)
            self._lock_file = reopened(self._folder, self._lock_file)
            return tempfile.TemporaryDirectory(prefix=PREFIX, dir=self._folder)

    def close(self) -> None:
        """Delete the folder, if it was opened."""
        with self._lock:
            if self._folder is not None and self._lock_file is not None:
                self._lock_file.close()
                self._lock_file = None
                shutil.rmtree(self._folder, ignore_errors=True)
