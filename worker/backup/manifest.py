"""What a backup holds, as `manifest.json` beside it says; the file that makes it a backup."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from dicom_node.spool import write_file_durably
from worker.errors import BackupRefused

MANIFEST = "manifest.json"
FORMAT = 1
"""Of folder and manifest; a higher one is not read."""
DATA = "data"
"""In the backup, what the data folder holds."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One file of the backup: bytes, and SHA-256 in hex."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole backup."""

    made_at: str
    """ISO 8601, UTC: when the ledger was copied."""
    machine: str
    program_version: str
    database: str
    """sqlite or postgresql."""
    revision: str
    """Of the ledger's tables."""
    ledger: str
    """Path of the ledger's copy."""
    counts: Mapping[str, int]
    """Table → rows."""
    files: Mapping[str, Stored]
    """Path in the backup → what it must be."""
    missing: tuple[str, ...] = ()
    """Files of the data folder that the ledger names and that were not there."""
    damaged: tuple[str, ...] = ()
    """Likewise, that were there with other bytes than were received or made."""
    left_out: tuple[str, ...] = ()
    """What is not in the backup, in words."""
    format: int = FORMAT

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(one.size for one in self.files.values())


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Whole or not at all, and after everything that it names."""
    content = json.dumps(asdict(manifest), indent=1).encode()
    write_file_durably(folder / MANIFEST, content)


def read_manifest(folder: Path) -> Manifest:
    """BackupRefused: there is none, or it cannot be read by this version."""
    try:
        content = json.loads((folder / MANIFEST).read_bytes())
        version = content["format"]
    except FileNotFoundError:
        raise BackupRefused(
            f"{folder} holds no {MANIFEST}: it is no backup, or the first one broke off before "
            "its end; run `fracture-screen backup` into it again"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise BackupRefused(f"{folder / MANIFEST} is damaged: use another backup") from None
    if version > FORMAT:
        raise BackupRefused(
            f"{folder} was made by version {content.get('program_version')} of Fracture Screen in "
            "a newer format: restore it with that version"
        )
    content["files"] = {path: Stored(**one) for path, one in content["files"].items()}
    for name in ("missing", "damaged", "left_out"):
        content[name] = tuple(content[name])
    return Manifest(**content)
