"""The data folder and the database that the settings name: begun, opened, or found missing.

Imports no DICOM, no model and no broker, so that a command that only asks starts at once.
"""

import os
import pwd
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from db.ledger import Ledger
from db.registry import ModelRegistry
from db.session import make_engine, require_current, upgrade
from worker.backup.unfinished import require_whole
from worker.errors import DataFolderRefused, NoInstallation
from worker.settings import Settings


def utc_now() -> datetime:
    """Return the present time; the clock of production."""
    return datetime.now(UTC)


def make_folders(settings: Settings) -> None:
    """Create the data folder, readable for our user alone: it holds radiographs of patients.

    Raises:
        DataFolderRefused: the folder cannot be made or written.
        RestoreUnfinished: a restore into it broke off.
    """
    folder = settings.data_folder
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        require_whole(folder)
        settings.results_folder.mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        _refuse(folder, error.strerror or str(error))
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        _refuse(folder, "no permission to write")


def open_database(settings: Settings) -> Engine:
    """Return an engine whose tables are of this version; begin the installation if there is none.

    Raises:
        DataFolderRefused: the data folder cannot be made or written.
        LedgerOutOfDate: a database other than the embedded one has other tables than this version
            needs.
    """
    make_folders(settings)
    return _ready(settings)


def open_existing(settings: Settings) -> Engine:
    """Return the same of an installation that was begun before; make neither folder nor file.

    Raises:
        NoInstallation: there is no data folder or no database yet.
    """
    file = _database_file(settings)
    if file is not None and not file.is_file():
        raise NoInstallation(f"there is no installation: {file} does not exist")
    if settings.data_folder.is_dir():
        require_whole(settings.data_folder)
    return _ready(settings)


def open_ledger(settings: Settings, clock: Callable[[], datetime] = utc_now) -> Ledger:
    """Return the ledger, ready for use; begun if there is none."""
    return Ledger(open_database(settings), clock)


def open_registry(settings: Settings) -> ModelRegistry:
    """Return the registry of imported models, ready for use; begun if there is none."""
    return ModelRegistry(open_database(settings), utc_now)


def _ready(settings: Settings) -> Engine:
    engine = make_engine(settings.effective_database_url)
    if settings.is_embedded_database:
        upgrade(engine)
    else:
        require_current(engine)
    return engine


def _database_file(settings: Settings) -> Path | None:
    """Return the file of an SQLite database; None: the database is a server's."""
    url = make_url(settings.effective_database_url)
    is_file = url.get_backend_name() == "sqlite" and url.database
    return Path(str(url.database)) if is_file else None


def _refuse(folder: Path, reason: str) -> NoReturn:
    folder, user = folder.absolute(), _user()
    raise DataFolderRefused(
        f"data_folder {folder} cannot be used by user {user} ({reason}): set data_folder to a "
        'folder of your own, for example data_folder = "~/fracture-screen-data"; or have root make '
        f"it: install -d -o {user} -m 700 {folder}"
    )


def _user() -> str:
    """Return our user's name; a container may run as a number that has none."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
