"""A backup: everything that an installation needs to go on elsewhere, copied while it works.

The ledger is copied first, the files that it names afterwards. That order makes the copy whole: a
file becomes durable before the row that names it is committed (steps 1, 2 and 7), and is never
written again, so whatever the ledger's copy names is there when its turn comes. What arrives later
is not in this backup, file or row. The other way round, a row could name a file that came after the
files were copied. Only purging removes files; it and a backup exclude each other (`alone`).
"""

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import Engine

from db.copies import LedgerCopy, NamedFile, copy_ledger
from db.session import revision_of
from dicom_node.spool import sync_folder, write_file_durably
from models.shipped import DEFAULT_BUNDLE
from worker.backup.alone import alone
from worker.backup.files import copy_file, described
from worker.backup.manifest import DATA, MANIFEST, Manifest, Stored, read_manifest, write_manifest
from worker.backup.masked import masked
from worker.errors import BackupRefused
from worker.settings import Settings

ABOUT = "README.txt"
SETTINGS = "settings.toml"
BUNDLE = "bundle"
SMALL = ("models", "reviews", "commitments")
"""Folders of the data folder that are copied as they are."""
LEFT_OUT = (
    "secrets: passwords in the settings file, and every file that the settings name",
    "the broker's messages: the dispatcher publishes again what the ledger says is due",
    "spool/tmp and spool/quarantine: nothing there was acknowledged",
    "training data, runs and experiments",
)

_ABOUT = """\
A backup of Fracture Screen. It holds radiographs and names of patients: keep it as you keep those.
Whole only with manifest.json, which is written last. Restore it with
`fracture-screen --config settings.toml restore THIS_FOLDER`.
"""


@dataclass(slots=True)
class Progress:
    """What has been copied so far."""

    files: dict[str, Stored] = field(default_factory=dict)
    kept: int = 0
    """Files that were in the folder already."""
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def make_backup(
    settings: Settings,
    engine: Engine,
    out: Path,
    now: datetime,
    *,
    config: Path | None = None,
    on_file: Callable[[int], None] = lambda count: None,
) -> tuple[Manifest, Progress]:
    """Copy into `out`, a new folder or that of the backup before; that one holds until the end.

    Args:
        config: the settings file.
        on_file: told how many files are to be looked at, after each of them.

    Raises:
        BackupRefused: `out` holds something else or lies in the data folder; another one runs.
        LedgerError: the ledger cannot be copied.
    """
    data = settings.data_folder.resolve()
    before = _prepare(out, data)
    with alone(data, "back up"):
        ledger = f"ledger-{now:%Y%m%dT%H%M%S%f}"
        (out / ledger).unlink(missing_ok=True)
        copy = copy_ledger(engine, out / ledger)
        done = Progress({ledger: described(out / ledger)})
        for one in copy.files:
            _take(one, data, out, done)
            on_file(len(copy.files))
        _take_small(settings, data, out, config, done)
    manifest = _manifest(engine, ledger, copy, done, now)
    _sync_folders(out, done)
    write_manifest(out, manifest)
    _remove_outdated(out, before, manifest)
    return manifest, done


def _prepare(out: Path, data: Path) -> Manifest | None:
    if out.resolve() == data or out.resolve().is_relative_to(data):
        raise BackupRefused(f"{out} lies in the data folder: name another disk, best elsewhere")
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (out / ABOUT).exists():
        if any(out.iterdir()):
            raise BackupRefused(f"{out} holds something else than a backup: name another folder")
        write_file_durably(out / ABOUT, _ABOUT.encode())
    return read_manifest(out) if (out / MANIFEST).exists() else None


def _take(one: NamedFile, data: Path, out: Path, done: Progress) -> None:
    """One that is there in its size stays: files are never changed, and `restore` looks closely."""
    target, wanted = out / DATA / one.path, Stored(one.size, one.sha256)
    if target.is_file() and target.stat().st_size == one.size:
        done.kept += 1
        done.files[f"{DATA}/{one.path}"] = wanted
        return
    try:
        found = copy_file(data / one.path, target)
    except FileNotFoundError:
        done.missing.append(one.path)
        return
    if found != wanted:
        target.unlink()
        done.damaged.append(one.path)
        return
    done.files[f"{DATA}/{one.path}"] = wanted


def _take_small(
    settings: Settings, data: Path, out: Path, config: Path | None, done: Progress
) -> None:
    for source, name in _small_files(settings, data):
        try:
            done.files[name] = copy_file(source, out / name)
        except FileNotFoundError:  # a request that was answered just now
            continue
    if config is not None:
        (out / SETTINGS).unlink(missing_ok=True)
        write_file_durably(out / SETTINGS, masked(config.read_text("utf-8")).encode())
        done.files[SETTINGS] = described(out / SETTINGS)


def _small_files(settings: Settings, data: Path) -> Iterator[tuple[Path, str]]:
    """(file, path in the backup); without what is being written: its name tells."""
    folders = [(data / name, f"{DATA}/{name}") for name in SMALL]
    if settings.model.bundle.resolve() != DEFAULT_BUNDLE.resolve():
        folders.append((settings.model.bundle, BUNDLE))
    for folder, name in folders:
        for file in sorted(folder.rglob("*")):
            place = file.relative_to(folder).as_posix()
            if file.is_file() and not _is_unfinished(place):
                yield file, f"{name}/{place}"


def _is_unfinished(place: str) -> bool:
    return place.startswith((".import-", "unfinished-")) or place.endswith(".part")


def _manifest(
    engine: Engine, ledger: str, copy: LedgerCopy, done: Progress, now: datetime
) -> Manifest:
    return Manifest(
        made_at=now.isoformat(),
        machine=socket.gethostname(),
        program_version=version("fracture-screen"),
        database=engine.dialect.name,
        revision=revision_of(engine) or "",
        ledger=ledger,
        counts=dict(copy.counts),
        files=done.files,
        missing=tuple(done.missing),
        damaged=tuple(done.damaged),
        left_out=LEFT_OUT,
    )


def _sync_folders(out: Path, done: Progress) -> None:
    for folder in {(out / path).parent for path in done.files}:
        sync_folder(folder)


def _remove_outdated(out: Path, before: Manifest | None, now: Manifest) -> None:
    """What the backup before named and this one does not: nobody else's files are touched."""
    for path in () if before is None else before.files.keys() - now.files.keys():
        (out / path).unlink(missing_ok=True)
