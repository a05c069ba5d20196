"""Folders of the settings beside the data folder: what sweeps read, and where their reports go."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from worker.doctor.finding import Verdict, failed, ok
from worker.settings import Settings


@dataclass(frozen=True, slots=True)
class NamedFolder:
    """A folder, and what for."""

    setting: str
    path: Path
    is_written: bool
    """Else it is read."""


def named_folders(settings: Settings) -> Iterator[NamedFolder]:
    """Those of sweeps."""
    for one in settings.schedules:
        if one.folder is not None:
            yield NamedFolder(f"schedules.{one.name}", one.folder, is_written=False)
    if settings.sweep.report_folder is not None:
        yield NamedFolder("sweep.report_folder", settings.sweep.report_folder, is_written=True)


def look_at_named_folder(folder: NamedFolder) -> Verdict:
    """There and to be read; or to be written, being made if it is not there."""
    path = folder.path.resolve()
    there = next(one for one in (path, *path.parents) if one.exists())
    if not there.is_dir() or (there != path and not folder.is_written):
        return failed(
            f"{path} ({folder.setting}) is no folder",
            "Correct the path, or mount what should be there: nothing is screened from it.",
        )
    need, word = (os.W_OK, "written") if folder.is_written else (os.R_OK, "read")
    if not os.access(there, need | os.X_OK):
        return failed(
            f"{there} ({folder.setting}) cannot be {word} by user {os.geteuid()}",
            f"Let the service's user do so: `chown` or `setfacl` on {there}; look at its mount.",
        )
    return ok(f"{path} can be {word}")
