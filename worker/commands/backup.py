"""`fracture-screen backup` and `restore`: go on elsewhere, where this installation stopped."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.commands.console import (
    Json,
    err,
    existing_database,
    out,
    print_json,
    progress_bar,
    settings_of,
)

if TYPE_CHECKING:
    from worker.backup.manifest import Manifest

MIB = 1024 * 1024


def backup(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(help="A new folder, or that of the backup before: it is added to.")
    ],
    as_json: Json = False,
) -> None:
    """Copy ledger, received instances, results, models and settings, while everything runs.

    Not among it: secrets and certificates. Exit code 1: it is whole but for files that are missing
    or damaged here already.

    Example: `fracture-screen --config settings.toml backup /mnt/backup/screen`
    """
    from db.audit import Trail
    from worker.backup.make import make_backup
    from worker.database import utc_now
    from worker.model_updates.actor import present_actor

    settings, config = settings_of(context), _config(context)
    engine = existing_database(context)
    with _counted("backing up") as on_file:
        manifest, done = make_backup(
            settings, engine, folder, utc_now(), config=config, on_file=on_file
        )
    told = _told(manifest) | {"kept": done.kept, "out": str(folder.resolve())}
    Trail(engine, utc_now).note(present_actor(), "backup", "installation", told)
    if as_json:
        print_json(told | {"left_out": manifest.left_out})
    else:
        _print(manifest, f"in {folder}; {done.kept} of them were there already")
        _print_left_out(manifest)
    if manifest.missing or manifest.damaged:
        for path in (*manifest.missing, *manifest.damaged):
            err.print(f"missing or damaged in the data folder: {path}", markup=False)
        raise typer.Exit(1)


def restore(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="As `backup` made it.")],
    check: Annotated[
        bool, typer.Option("--check", help="Only read the backup, every file of it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Set a backup up in the empty data folder and the empty database that the settings name.

    Every digest is checked and older tables are brought up to date. Start nothing while it runs,
    and nothing of the old machine afterwards.

    Examples: `fracture-screen restore /mnt/backup/screen --check`,
    `fracture-screen --config settings.toml restore /mnt/backup/screen`
    """
    from db.audit import Trail
    from db.session import make_engine
    from worker.backup.restore import check_backup, restore_backup
    from worker.database import utc_now
    from worker.model_updates.actor import present_actor

    settings = settings_of(context)
    if check:
        with _counted("checking") as on_file:
            manifest = check_backup(folder, on_file)
    else:
        engine = make_engine(settings.effective_database_url)
        with _counted("restoring") as on_file:
            manifest = restore_backup(settings, engine, folder, on_file)
        Trail(engine, utc_now).note(present_actor(), "restore", "installation", _told(manifest))
    if as_json:
        print_json(_told(manifest) | {"restored": not check})
    else:
        _print(manifest, "are whole" if check else f"in {settings.data_folder}")


def _config(context: typer.Context) -> Path | None:
    from worker.settings.loading import CONFIG_VARIABLE

    stated = context.find_root().obj or os.environ.get(CONFIG_VARIABLE)
    return Path(stated) if stated else None


def _told(manifest: "Manifest") -> dict[str, Any]:  # Any: JSON
    return {
        "made_at": manifest.made_at,
        "machine": manifest.machine,
        "program_version": manifest.program_version,
        "revision": manifest.revision,
        "database": manifest.database,
        "studies": manifest.counts.get("study", 0),
        "files": len(manifest.files),
        "bytes": manifest.size,
        "missing": len(manifest.missing),
        "damaged": len(manifest.damaged),
    }


def _print(manifest: "Manifest", where: str) -> None:
    told = _told(manifest)
    out.print(
        f"{told['studies']} studies, {told['files']} files, {told['bytes'] / MIB:.1f} MiB of "
        f"{told['made_at']} {where}",
        markup=False,
        soft_wrap=True,
    )


def _print_left_out(manifest: "Manifest") -> None:
    for one in manifest.left_out:
        out.print(f"not in it: {one}", markup=False, soft_wrap=True)


@contextmanager
def _counted(what: str) -> Iterator[Callable[[int], None]]:
    with progress_bar() as bar:
        task = bar.add_task(what, total=None)
        yield lambda count: bar.update(task, total=count, advance=1)
