"""Waits for a change in a folder without looking at it again and again (inotify(7))."""

import math
import os
import select
import time
from collections.abc import Callable
from pathlib import Path

import structlog
from inotify_simple import INotify, flags  # type: ignore[import-untyped]  # it ships no types

_log = structlog.get_logger(__name__)


class FolderWatch:
    """Tells when a file was written or renamed in a folder; changes of other machines go unseen.

    Args:
        folder: its files are watched, not those of its folders.
        wanted: whether a file of this name matters.

    Raises:
        OSError: the folder is not there, or the system's inotify instances are used up.
    """

    def __init__(self, folder: Path, wanted: Callable[[str], bool]) -> None:
        self._wanted = wanted
        self._inotify = INotify(nonblocking=True)
        try:
            self._inotify.add_watch(folder, flags.MODIFY | flags.MOVED_TO)
        except OSError:
            self._inotify.close()
            raise
        self._woken = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        for descriptor in (self._inotify.fileno(), self._woken):
            self._poll.register(descriptor, select.POLLIN)

    def wait(self, seconds: float) -> bool:
        """Wait for a change since the last call, or for `wake`; False: none came in that time."""
        deadline = time.monotonic() + seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            ready = [descriptor for descriptor, _ in self._poll.poll(math.ceil(1000 * left))]
            if not ready:
                return False
            if self._woken in ready:
                os.eventfd_read(self._woken)
                return True
            # No name: events were lost, because there were too many.
            if any(not event.name or self._wanted(event.name) for event in self._inotify.read(0)):
                return True

    def wake(self) -> None:
        """End the wait under way, or the next one. From any thread."""
        os.eventfd_write(self._woken, 1)

    def close(self) -> None:
        """Give the descriptors back."""
        self._inotify.close()
        os.close(self._woken)


def watch_if_possible(folder: Path, wanted: Callable[[str], bool]) -> FolderWatch | None:
    """Return a watch, or None where the system gives none: then the caller has to look."""
    try:
        return FolderWatch(folder, wanted)
    except OSError as error:
        _log.warning("folder_not_watched", reason=os.strerror(error.errno or 0))
        return None
