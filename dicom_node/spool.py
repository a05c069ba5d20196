"""Durable storage of received bytes: tmp/ → fsync → rename into incoming/ → fsync of the folder.

Knows bytes and files, nothing of DICOM. File names are made here and never come from a peer.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from dicom_node.errors import SpoolError


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

    def write(self, data: bytes | Iterable[bytes | memoryview]) -> SpooledFile:
        """Store the bytes, whole or in pieces, and return once they are durable.

        Raises SpoolError when they could not be; then nothing of them is left. A descriptor whose
        fsync failed is never tried again: the kernel may have dropped its pages.
        """
        self._require_room()
        name = f"{uuid4().hex}.dcm"
        temporary = self._temporary / name
        final = self._incoming / name[:2] / name
        try:
            digest, size = _write_durably(temporary, [data] if isinstance(data, bytes) else data)
            _make_durable_folder(final.parent)
            _rename_durably(temporary, final)
        except BaseException as error:
            temporary.unlink(missing_ok=True)
            final.unlink(missing_ok=True)
            if not isinstance(error, OSError):
                raise
            raise _not_stored(self.root, error) from error
        return SpooledFile(final, digest, size)

    def has_room(self) -> bool:
        """Whether the file system has at least `minimum_free_bytes` free."""
        return shutil.disk_usage(self.root).free >= self.minimum_free_bytes

    def quarantine(self, path: Path) -> Path:
        """Move a spooled file to quarantine/ and return where it lies now."""
        target = self._quarantine / path.name
        try:
            _rename_durably(path, target)
        except OSError as error:
            raise SpoolError(f"cannot quarantine {path.name}: {error.strerror}") from error
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

    def _require_room(self) -> None:
        if not self.has_room():
            raise SpoolError(
                f"less than {self.minimum_free_bytes} bytes free under {self.root}: "
                "free some disk space or lower the watermark"
            )


def write_file_durably(path: Path, content: bytes) -> None:
    """A small file that appears whole or not at all, and survives a power cut. Raises OSError."""
    temporary = path.with_name(f"{path.name}.part")
    try:
        _write_durably(temporary, [content])
        _rename_durably(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_durably(path: Path, pieces: Iterable[bytes | memoryview]) -> tuple[str, int]:
    digest = hashlib.sha256()
    size = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        for piece in pieces:
            digest.update(piece)
            size += file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest(), size


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
