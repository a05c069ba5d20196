"""What a sweep found, as files: a PDF to read, a line per study, its results if asked for.

Where a study is flagged they name the patient, as its instance states; the ledger knows no names.
"""

import csv
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path

import structlog
from pydicom import Dataset

from db.ledger import Ledger
from db.outcomes import FLAGGED, Outcome
from db.records import purged_on
from db.states import FlagKind
from db.sweep_records import SweepRecord, SweepTally, SweptStudy
from db.sweeps import Sweeps
from dicom_node.errors import UnreadableInstance
from dicom_node.header import read_header
from worker.errors import NothingToDo
from worker.report.content import report_header
from worker.settings import Settings
from worker.sweeps.folder import read_file
from worker.sweeps.folder_walk import walk
from worker.sweeps.progress import SweepProgress, progress_of
from worker.sweeps.report_document import Suspect, SweepContent, render_sweep_report
from worker.sweeps.selection import Selection
from worker.sweeps.time_window import TimeWindow

PDF, STUDIES, SUSPECTS = "report.pdf", "studies.csv", "suspected.csv"
FILES, RESULTS, MANIFEST = "files.csv", "results", "manifest.csv"
MOST_LISTED = 500
"""Suspected missed fractures in the PDF; the table has all of them."""

_log = structlog.get_logger(__name__)


def write_report(
    number: int,
    settings: Settings,
    sweeps: Sweeps,
    ledger: Ledger,
    folder: Path,
    *,
    now: datetime,
    with_results: bool,
) -> list[Path]:
    """Write the files of a sweep into `folder`; return them.

    Raises:
        NothingToDo: there is no such sweep, or what it found was purged.
    """
    sweep = sweeps.find(number)
    if sweep is None:
        raise NothingToDo(f"there is no sweep {number}; `fracture-screen sweep status` lists them")
    if sweep.purged_at is not None:
        raise NothingToDo(f"what sweep {number} found was {purged_on(sweep.purged_at)}")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    flagged = filter(suspected_missed, sweeps.swept(number))
    suspects = sorted(
        (
            _suspect(study, study.outcome, sweeps, settings)
            for study in flagged
            if study.outcome is not None
        ),
        key=lambda one: (one.outcome != Outcome.POSITIVE, -one.probability),
    )
    content = _content(sweep, sweeps.tally(number), settings, suspects, now)
    (folder / PDF).write_bytes(render_sweep_report(content))
    _write_table(folder / STUDIES, SweptStudy, map(asdict, sweeps.swept(number)))
    _write_table(folder / SUSPECTS, Suspect, map(asdict, suspects))
    written = [folder / name for name in (PDF, STUDIES, SUSPECTS)]
    if sweep.folder:
        written.append(_write_files(folder / FILES, sweep, sweeps))
    if with_results:
        written.append(_copy_results(folder / RESULTS, settings, ledger, sweeps, number))
    return written


def write_due_reports(
    settings: Settings, sweeps: Sweeps, ledger: Ledger, window: TimeWindow, now: datetime
) -> None:
    """The morning's: of what is done, and of what goes on the next night."""
    if settings.sweep.report_folder is None:
        return
    for number in sweeps.to_report(window.closed_at(now)):
        folder = settings.sweep.report_folder / f"sweep-{number}"
        write_report(number, settings, sweeps, ledger, folder, now=now, with_results=False)
        sweeps.record_report(number)
        _log.info("sweep_reported", sweep=number)


def suspected_missed(study: SweptStudy) -> bool:
    """Flagged by the sweep, and not before."""
    return study.outcome in FLAGGED and study.previous_outcome not in FLAGGED


def _suspect(study: SweptStudy, outcome: Outcome, sweeps: Sweeps, settings: Settings) -> Suspect:
    header = report_header(_first_header(sweeps.paths(study.study_instance_uid), settings))
    return Suspect(
        probability=study.probability or 0.0,
        outcome=outcome,
        previous_outcome=study.previous_outcome,
        patient_name=header.patient_name,
        patient_id=header.patient_id,
        study_date=header.study_date,
        accession_number=header.accession_number,
        study_instance_uid=study.study_instance_uid,
    )


def _first_header(paths: Iterable[str], settings: Settings) -> Dataset:
    for path in paths:
        try:
            return read_header(settings.data_folder / path)
        except UnreadableInstance:
            continue
    return Dataset()


def _content(
    sweep: SweepRecord,
    tally: SweepTally,
    settings: Settings,
    suspects: Sequence[Suspect],
    now: datetime,
) -> SweepContent:
    progress = progress_of(sweep, tally, now)
    return SweepContent(
        number=sweep.id,
        place=sweep.source or sweep.folder or "studies screened before",
        lines=_lines(sweep, tally, progress, settings),
        outcomes=tally.outcomes,
        excluded=tally.exclusions,
        missing=tally.missing,
        unscreened=tally.reasons,
        changed=tally.changed,
        suspects=suspects[:MOST_LISTED],
        suspect_count=len(suspects),
    )


def _lines(
    sweep: SweepRecord, tally: SweepTally, progress: SweepProgress, settings: Settings
) -> list[tuple[str, str]]:
    ended, local = sweep.finished_at, settings.sweep.local
    state = sweep.state + (f": {sweep.remark}" if sweep.remark else "")
    return [
        ("State", state if progress.searched else f"{state}; the search goes on"),
        ("Begun", f"{local(sweep.created_at)} by {sweep.actor}"),
        ("Ended", local(ended) if ended else "not yet"),
        ("Selection", _selection(Selection.from_json(dict(sweep.selection)))),
        ("Studies found", str(progress.found)),
        ("Not for this sweep", str(progress.excluded)),
        ("Fetched or taken up again", f"{progress.fetched} studies, {tally.instances} instances"),
        ("Missing", str(progress.missing)),
        ("Screened", str(progress.screened)),
        ("Still to do", str(progress.to_do)),
        ("Studies screened an hour", f"{progress.per_hour:.0f}" if progress.per_hour else "–"),
    ]


def _selection(selection: Selection) -> str:
    said = [
        f"Study Date from {selection.first_day or 'any day on'} to "
        f"{selection.last_day or 'the day of the search'}",
        f"modality {', '.join(selection.modalities)}",
    ]
    if selection.body_parts:
        said.append(f"body part {', '.join(selection.body_parts)}")
    if selection.institution:
        said.append(f"institution {selection.institution}")
    if selection.model_older_than:
        said.append(f"screened by a model older than {selection.model_older_than}")
    if selection.since:
        said.append(f"screened since {selection.since:%Y-%m-%d}")
    if selection.only_negative:
        said.append("screened negative")
    return "; ".join(said)


def _write_table(path: Path, kind: type, rows: Iterable[dict[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(kind)])
        writer.writeheader()
        for row in rows:
            writer.writerow({key: _cell(value) for key, value in row.items()})


def _cell(value: object) -> object:
    """Spreadsheets take a text for a formula that begins so: one from a file must not be run."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def _write_files(path: Path, sweep: SweepRecord, sweeps: Sweeps) -> Path:
    """A line per file of the folder, as it is now."""
    selection, folder = Selection.from_json(dict(sweep.selection)), Path(sweep.folder)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "study_instance_uid", "sop_instance_uid", "outcome", "reason"))
        for one in walk(folder):
            read = read_file(one, folder, selection, ())
            study = sweeps.line(sweep.id, read.study_instance_uid)
            outcome = "" if study is None or read.excluded else str(study.outcome or "")
            reason = read.excluded or (study.reason if study else "not seen by the sweep")
            place = one.relative_to(folder).as_posix()
            uids = (read.study_instance_uid, read.sop_instance_uid)
            known = uids if read.is_instance else ("", "")
            writer.writerow((_cell(place), *known, outcome, reason))
    return path


def _copy_results(
    folder: Path, settings: Settings, ledger: Ledger, sweeps: Sweeps, number: int
) -> Path:
    """Each study's result objects, and what each of them is."""
    manifest = folder / MANIFEST
    folder.mkdir(exist_ok=True, mode=0o700)
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "kind", "study_instance_uid", "outcome", "probability"))
        for study in sweeps.swept(number):
            if study.outcome is None:
                continue
            summary = ledger.study_summary(study.study_instance_uid)
            for result in () if summary is None else summary.results:
                if result.kind in set(FlagKind):  # a message is for its receiver
                    continue
                row = (result.kind, study.study_instance_uid, study.outcome, study.probability)
                if result.purged_at is not None:
                    writer.writerow((purged_on(result.purged_at), *row))
                    continue
                place = Path(study.study_instance_uid) / Path(result.path).name
                (folder / place).parent.mkdir(exist_ok=True, mode=0o700)
                shutil.copyfile(settings.data_folder / result.path, folder / place)
                writer.writerow((place.as_posix(), *row))
    return manifest
