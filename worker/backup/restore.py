"""A backup set up again, on a new machine or in the place of what was lost."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine

from db.copies import is_empty, restore_ledger
from db.session import known_revisions, upgrade
from worker.backup.files import copy_file, described
from worker.backup.manifest import DATA, Manifest, read_manifest
from worker.backup.unfinished import MARK, unfinished
from worker.errors import BackupRefused
from worker.settings import Settings

_NOT_OURS = frozenset({"lost+found"})
"""What an empty file system holds."""


def check_backup(source: Path, on_file: Callable[[int], None] = lambda count: None) -> Manifest:
    """Read every file of a backup. BackupRefused: one is missing or not what it was."""
    manifest = read_manifest(source)
    _require_known(manifest)
    for path, wanted in manifest.files.items():
        file = _within(source, path)
        if not file.is_file() or described(file) != wanted:
            raise BackupRefused(f"{path} of {source} is missing or damaged: use another backup")
        on_file(len(manifest.files))
    return manifest


def restore_backup(
    settings: Settings,
    engine: Engine,
    source: Path,
    on_file: Callable[[int], None] = lambda count: None,
) -> Manifest:
    """Put a backup into an empty data folder and an empty database, and bring it up to date.

    The ledger comes last, and until then a mark keeps every process from starting on it.

    Raises:
        BackupRefused: it is not whole, was made by a newer version or on another kind of database,
            or there is something here already.
        LedgerError: the database does not take it.
    """
    manifest = read_manifest(source)
    _require_known(manifest)
    _require_same_database(manifest, engine)
    _require_nothing_here(settings.data_folder, engine)
    settings.data_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with unfinished(settings.data_folder):
        for path, wanted in manifest.files.items():
            file = _within(source, path)
            place = settings.data_folder / Path(path).relative_to(DATA) if _is_data(path) else None
            found = _found(file, place)
            if found != wanted:
                raise BackupRefused(
                    f"{path} of {source} is missing or damaged: use another backup, into an "
                    "empty data folder"
                )
            on_file(len(manifest.files))
        restore_ledger(engine, _within(source, manifest.ledger), manifest.counts)
        upgrade(engine)
    return manifest


def _found(file: Path, place: Path | None) -> object:
    """What a file is; copied to `place` on the way, if there is one."""
    try:
        return described(file) if place is None else copy_file(file, place)
    except FileNotFoundError:
        return None


def _is_data(path: str) -> bool:
    return path.startswith(f"{DATA}/")


def _within(source: Path, path: str) -> Path:
    file = source / path
    if not file.resolve().is_relative_to(source.resolve()) or ".." in Path(path).parts:
        raise BackupRefused(f"the manifest of {source} names {path!r}, which lies elsewhere")
    return file


def _require_known(manifest: Manifest) -> None:
    if manifest.revision not in known_revisions():
        raise BackupRefused(
            f"the backup's tables are at revision {manifest.revision}, which this version does "
            f"not know: install version {manifest.program_version} of Fracture Screen or a newer "
            "one"
        )


def _require_same_database(manifest: Manifest, engine: Engine) -> None:
    if manifest.database != engine.dialect.name:
        raise BackupRefused(
            f"the backup is of {manifest.database}, the settings name {engine.dialect.name}: set "
            "database_url to an empty database of that kind (for sqlite: leave it out)"
        )


def _require_nothing_here(data_folder: Path, engine: Engine) -> None:
    here = {path.name for path in data_folder.iterdir()} if data_folder.exists() else set()
    if MARK in here:
        raise BackupRefused(
            f"a restore into {data_folder} broke off: empty the folder and restore again"
        )
    if here - _NOT_OURS:
        raise BackupRefused(f"{data_folder} is not empty: a restore replaces nothing")
    if not is_empty(engine):
        raise BackupRefused(
            f"the database {engine.url.render_as_string(hide_password=True)} holds tables: name "
            "an empty one"
        )
