"""Durable storage of received bytes: tmp/ → fsync → rename into incoming/ → fsync of the folder.

Files that several threads store at the same time share a folder and its fsync.

Knows bytes and files, nothing of DICOM. File names are made here and never come from a peer.
"""

import hashlib
import mmap
import os
import shutil
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from dicom_node.errors import SpoolError

_ASK_FOR_ROOM_EVERY = 16 * 1024 * 1024
"""Bytes of one file between two looks at the watermark."""

_FOLDER_NAMES = [f"{number:02x}" for number in range(256)]
_FOLDER_FOR_S = 60
"""Seconds for which all files go into the same folder of incoming/."""


@dataclass(frozen=True, slots=True)
class SpooledFile:
    """A file that survives a power cut: `sha256` in hex, `size` in bytes."""

    path: Path
    sha256: str
    size: int


class Spool:
    """A folder of received files, `root`, made where missing.

    Holds tmp/ (being written), incoming/<two characters>/ (durable) and quarantine/ (kept for a
    person to look at). Several processes may share it. `minimum_free_bytes` is the watermark: below
    it nothing is written.
    """

    def __init__(self, root: Path, *, minimum_free_bytes: int = 0) -> None:
        self.root = root.absolute()
        self.minimum_free_bytes = minimum_free_bytes
        self._temporary = self.root / "tmp"
        self._incoming = self.root / "incoming"
        self._quarantine = self.root / "quarantine"
        for folder in (self._temporary, self._incoming, self._quarantine):
            _make_durable_folder(folder)
        # Made now, so that no file waits for its folder to become durable.
        for name in set(_FOLDER_NAMES).difference(os.listdir(self._incoming)):
            (self._incoming / name).mkdir(mode=0o700, exist_ok=True)
        sync_folder(self._incoming)
        self._folder_syncs = {name: _SharedSync(self._incoming / name) for name in _FOLDER_NAMES}

    def open(self) -> "SpoolWriter":
        """A file to write to piece by piece. Raises SpoolError when there is no room for any."""
        self.require_room()
        name = f"{uuid4().hex}.dcm"
        folder = _FOLDER_NAMES[int(time.time() / _FOLDER_FOR_S) % len(_FOLDER_NAMES)]
        try:
            return SpoolWriter(self, self._temporary / name, self._incoming / folder / name)
        except OSError as error:
            raise _not_stored(self.root, error) from error

    def write(self, data: bytes) -> SpooledFile:
        """Store the bytes and return once they are durable. Raises SpoolError as SpoolWriter."""
        with self.open() as writer:
            writer.write(data)
            return writer.commit()

    def has_room(self) -> bool:
        """Whether the file system has at least `minimum_free_bytes` free."""
        return shutil.disk_usage(self.root).free >= self.minimum_free_bytes

    def require_room(self) -> None:
        """Raise SpoolError below the watermark."""
        if not self.has_room():
            raise SpoolError(
                f"less than {self.minimum_free_bytes} bytes free under {self.root}: "
                "free some disk space or lower the watermark"
            )

    def put(self, temporary: Path, final: Path) -> None:
        """Move a durable file into its folder of incoming/, durably. Raises OSError."""
        temporary.rename(final)
        self._folder_syncs[final.parent.name].wait()

    def quarantine(self, path: Path) -> Path:
        """Move a spooled file to quarantine/ and return where it lies now."""
        target = self._quarantine / path.name
        try:
            if target.exists() and target.samefile(path):
                path.unlink()  # an acceptance was interrupted; a rename would leave both names
            else:
                _rename_durably(path, target)
        except OSError as error:
            raise SpoolError(f"cannot quarantine {path.name}: {error.strerror}") from error
        return target

    def quarantined(self) -> list[Path]:
        """Return the files in quarantine, in the order of their names."""
        return sorted(path for path in self._quarantine.iterdir() if path.is_file())

    def readmit(self, path: Path) -> Path:
        """Give a file of quarantine a second name in incoming/, durably; return that one.

        Its name in quarantine stays until it is discarded, so that no kill in between can lose
        it. A second call returns the same name.
        """
        folder = path.name[:2]
        target = self._incoming / (folder if folder in self._folder_syncs else "00") / path.name
        try:
            os.utime(path)  # young: the reconciler leaves it to whoever registers it
            if not target.exists():
                target.hardlink_to(path)
            sync_folder(target.parent)
        except OSError as error:
            raise SpoolError(f"cannot take {path.name} back: {error.strerror}") from error
        return target

    def discard(self, path: Path) -> None:
        """Remove a spooled file; no error if it is gone already."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise SpoolError(f"cannot remove {path.name}: {error.strerror}") from error

    def files(self) -> Iterator[Path]:
        """Every durable file, in the order of their names."""
        for folder in sorted(self._incoming.iterdir()):
            if folder.is_dir():
                yield from sorted(path for path in folder.iterdir() if path.is_file())

    def remove_stale_temporaries(self, older_than_s: float) -> int:
        """Remove what a killed writer left in tmp/; returns how many files went."""
        limit = time.time() - older_than_s
        stale = [path for path in self._temporary.iterdir() if modified_at(path) <= limit]
        for path in stale:
            self.discard(path)
        return len(stale)


class SpoolWriter:
    """Bytes on their way into the spool; nothing of them is left unless they were committed.

    As a context manager, or when it is forgotten, it discards what it didn't commit. Every method
    raises SpoolError when the disk is full, below the watermark or broken. A descriptor whose fsync
    failed is never tried again: the kernel may have dropped its pages.
    """

    def __init__(self, spool: Spool, temporary: Path, final: Path) -> None:
        self.temporary = temporary
        """Where the bytes are until they are committed."""
        self._spool, self._final = spool, final
        self._digest = hashlib.sha256()
        self._size = 0
        self._room_asked_at = 0
        self._descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._remove = weakref.finalize(self, _close_and_remove, self._descriptor, temporary)

    def __enter__(self) -> "SpoolWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self.discard()

    @property
    def size(self) -> int:
        """Bytes written."""
        return self._size

    def write(self, piece: bytes | memoryview) -> None:
        """Add the bytes at the end."""
        if self._size - self._room_asked_at >= _ASK_FOR_ROOM_EVERY:
            self._spool.require_room()
            self._room_asked_at = self._size
        self._digest.update(piece)
        with _as_spool_error(self._spool.root):
            _write_all(self._descriptor, piece)
        self._size += len(piece)

    @contextmanager
    def written(self) -> Iterator[memoryview]:
        """What was written, to be read; there must be something."""
        with (
            mmap.mmap(self._descriptor, self._size, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as view,
        ):
            yield view

    def commit(self) -> SpooledFile:
        """Make the file durable and put it into incoming/."""
        try:
            with _as_spool_error(self._spool.root):
                os.fsync(self._descriptor)
                self._spool.put(self.temporary, self._final)
        except SpoolError:
            self._final.unlink(missing_ok=True)
            raise
        self.discard()
        return SpooledFile(self._final, self._digest.hexdigest(), self._size)

    def discard(self) -> None:
        """Close the file, and remove it unless it was committed."""
        self._remove()


@dataclass(slots=True, eq=False)
class _Waiting:
    """Threads that wait for the same fsync."""

    done: bool = False
    error: OSError | None = None


class _SharedSync:
    """One fsync of a folder for all threads that wait for it.

    Nobody waits for company: a thread that comes while an fsync runs shares the next one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._next = _Waiting()
        self._turn = threading.Lock()

    def wait(self) -> None:
        """Return once the folder's names of now are durable. Raises OSError, for all that wait."""
        waiting = self._next
        with self._turn:
            if not waiting.done:
                self._next = _Waiting()  # a thread that comes now may be too late for this fsync
                try:
                    sync_folder(self._folder)
                except OSError as error:
                    waiting.error = error
                waiting.done = True
        if waiting.error is not None:
            raise OSError(*waiting.error.args) from waiting.error


def write_file_durably(path: Path, content: bytes) -> None:
    """A small file that appears whole or not at all, and survives a power cut. Raises OSError."""
    temporary = path.with_name(f"{path.name}.part")
    try:
        _write_durably(temporary, content)
        _rename_durably(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_durably(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        _write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, piece: bytes | memoryview) -> None:
    with memoryview(piece) as rest:
        written = 0
        while written < len(rest):
            written += os.write(descriptor, rest[written:])


def _close_and_remove(descriptor: int, path: Path) -> None:
    os.close(descriptor)
    path.unlink(missing_ok=True)


@contextmanager
def _as_spool_error(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _not_stored(root, error) from error


def _rename_durably(source: Path, target: Path) -> None:
    source.rename(target)
    # The old name may come back after a power cut: in tmp/ it is stale and removed by its age, in
    # incoming/ the reconciler meets it again. So its folder is not worth another fsync.
    sync_folder(target.parent)


def _make_durable_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def modified_at(path: Path) -> float:
    """Seconds since the epoch; infinity for a file that is gone: others may discard it any time."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _not_stored(root: Path, error: OSError) -> SpoolError:
    return SpoolError(
        f"could not store an instance under {root}: {error.strerror or error}; "
        "check free space, permissions and the disk"
    )
