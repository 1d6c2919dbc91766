"""The files of requests: each request has a folder of its own until it is answered."""

import logging
import shutil
import tempfile
from pathlib import Path
from threading import Lock
from typing import IO

from denoise.errors import UsageError
from denoise.server.private_folder import (
    REQUESTS,
    make_temporary_folder,
    open_folder,
    remove_folder,
    reopened,
)

PREFIX = "denoise-"
log = logging.getLogger("denoise.server")


class RequestFiles:
    """Creates the folders of requests, within a folder that no other server uses.

    So a later server can delete what a killed one has left. Before `open`, and where even a folder
    with a random name cannot be created, they lie in the system's folder for temporary files.
    """

    def __init__(self, folder: Path | None) -> None:
        """Take the folder that `open` opens, or None for one with a random name."""
        self._folder, self._lock = folder, Lock()
        self._lock_file: IO[bytes] | None = None

    def open(self) -> None:
        """Lock the folder, and delete what a killed server has left in it.

        A folder that cannot be used is replaced by one with a random name.
        """
        if self._folder is not None:
            try:
                self._lock_file = open_folder(self._folder)
            except UsageError as error:
                log.warning("%s The files of requests go to one with a random name.", error)
            else:
                for left in self._folder.glob(f"{PREFIX}*"):
                    shutil.rmtree(left, ignore_errors=True)
                return
        self._folder = None  # from here on it is not that of another server
        try:
            self._folder = make_temporary_folder(REQUESTS)
            self._lock_file = open_folder(self._folder)
        except (OSError, UsageError) as error:
            if self._folder is not None:
                remove_folder(self._folder)
                self._folder = None
            log.warning("If this server is killed, the files of requests will stay: %s", error)

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
                remove_folder(self._folder)
