"""Copies of files with their digests; a copy appears whole or not at all."""

import hashlib
import os
from pathlib import Path

from worker.backup.manifest import Stored

_PIECE = 4 * 1024 * 1024


def copy_file(source: Path, target: Path) -> Stored:
    """Copy, and say what was copied. For its owner alone; durable but for the folder's entry."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = target.with_name(f"{target.name}.part")
    unfinished.unlink(missing_ok=True)
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with source.open("rb") as original, os.fdopen(descriptor, "wb") as copy:
        while piece := original.read(_PIECE):
            digest.update(piece)
            size += len(piece)
            copy.write(piece)
        copy.flush()
        os.fsync(copy.fileno())
    unfinished.replace(target)
    return Stored(size, digest.hexdigest())


def described(file: Path) -> Stored:
    """What a file is now."""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return Stored(file.stat().st_size, digest)
