"""`fracture-screen screen`: the same pipeline over files, without network, ledger or broker."""

import csv
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from db.records import NewFinding
from db.states import Outcome
from dicom_node.errors import UnreadableInstance
from dicom_node.image_file import read_image_file, wrap_as_dx
from dicom_node.received import describe_file
from dicom_node.result_file import write_result
from dicom_node.uids import picture_uids
from worker.conclude import conclude
from worker.errors import NothingToDo
from worker.results import Source
from worker.screening import Screener

TABLE = "results.csv"
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of results.csv: one image (frame), or one file that could not be analysed.

    `outcome` and `probability` are the image's own, not its study's. The peak of the saliency map
    is in pixels of the source image, 0-based, rows downwards.
    """

    path: str
    study_instance_uid: str
    sop_instance_uid: str
    outcome: str
    probability: float | None
    peak_row: int | None
    peak_column: int | None
    reason: str
    model: str


@dataclass(frozen=True, slots=True)
class _File:
    """A file that is an instance, or a picture that becomes one."""

    path: Path
    study_instance_uid: str
    source: Source


def find_files(paths: Sequence[Path]) -> list[Path]:
    """The files named, and all files below the folders named, hidden ones left out, sorted.

    Raises:
        NothingToDo: a path does not exist, or there is no file at all.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(
                one for one in path.rglob("*") if one.is_file() and not _hidden(one, path)
            )
        elif path.exists():
            found.append(path)
        else:
            raise NothingToDo(f"{path} does not exist")
    if not found:
        raise NothingToDo(f"no file in {', '.join(str(path) for path in paths)}")
    return found


def screen_files(
    files: Sequence[Path],
    screener: Screener,
    out: Path,
    *,
    write_objects: bool,
    clock: Callable[[], datetime],
    on_file: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Screen every file; write `out`/results.csv and, per study, `out`/<study UID>/*.dcm.

    A file that breaks is a row with its reason and never stops the rest.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    with (
        (out / TABLE).open("w", newline="", encoding="utf-8") as table,
        TemporaryDirectory(prefix="fracture-screen-") as wrapped,
    ):
        writer = csv.DictWriter(table, [field.name for field in fields(Row)])
        writer.writeheader()
        for group in _by_study(files):
            for row in _screen_group(group, screener, out, Path(wrapped), write_objects, clock):
                writer.writerow(asdict(row))
                rows.append(row)
            table.flush()
            for _ in group:
                on_file()
    return rows


def as_instance(path: Path, folder: Path, now: datetime) -> tuple[str, Source]:
    """(Study Instance UID, instance) of a DICOM file, or of a picture wrapped into `folder`.

    Raises:
        UnreadableInstance: neither DICOM nor a picture, or damaged.
    """
    dicom = wrap_picture(path, folder, now) if is_picture(path) else path
    instance = describe_file(dicom, "")
    return instance.study_instance_uid, Source(
        instance.sop_instance_uid, instance.sop_class_uid, instance.sha256, dicom
    )


def is_picture(path: Path) -> bool:
    """Whether a file is taken for PNG or JPEG, by its name."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def wrap_picture(path: Path, folder: Path, now: datetime) -> Path:
    """Write a picture as a DX instance into `folder`; the same picture gives the same UIDs."""
    pixels = read_image_file(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    study, series, instance = picture_uids(digest)
    dataset = wrap_as_dx(
        pixels,
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uid=instance,
        patient_id=f"PICTURE-{digest[:12]}",
        patient_name="Picture^Wrapped",
        now=now,
        synthetic_note="Picture file wrapped as DX: not an acquisition",
    )
    target = folder / f"{instance}.dcm"
    folder.mkdir(parents=True, exist_ok=True)
    write_result(dataset, target)
    return target


def _hidden(path: Path, below: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(below).parts)


def _by_study(files: Sequence[Path]) -> Iterator[list[Path]]:
    """Pictures one by one as they come, then DICOM files by study."""
    studies: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        if is_picture(path):
            yield [path]
            continue
        try:
            studies[describe_file(path, "").study_instance_uid].append(path)
        except UnreadableInstance:
            yield [path]  # its row will say why
    yield from studies.values()


def _screen_group(
    group: Sequence[Path],
    screener: Screener,
    out: Path,
    wrapped: Path,
    write_objects: bool,
    clock: Callable[[], datetime],
) -> Iterator[Row]:
    """Rows of the files of one study."""
    files: list[_File] = []
    for path in group:
        try:
            files.append(_File(path, *as_instance(path, wrapped, clock())))
        except UnreadableInstance as error:
            yield _failed_row(path, str(error), screener.model.label)
    if not files:
        return
    try:
        per_file = _findings(files, screener, out, write_objects)
    except Exception as error:  # the boundary: the other studies must go on
        _log.error("study_failed", kind=type(error).__name__, exc_info=True)
        reason = f"screening broke with {type(error).__name__}"
        yield from (_failed_row(file.path, reason, screener.model.label) for file in files)
        return
    for file, findings in zip(files, per_file, strict=True):
        for finding in findings:
            yield _row(file, finding, screener.model.label)
        if is_picture(file.path):
            file.source.path.unlink()


def _findings(
    files: Sequence[_File], screener: Screener, out: Path, write_objects: bool
) -> Sequence[Sequence[NewFinding]]:
    sources = [file.source for file in files]
    if not write_objects:
        return [screener.look_at(source).findings for source in sources]
    study = files[0].study_instance_uid
    return screener.screen(study, sources, root=out, folder=study).findings_by_source


def _row(file: _File, finding: NewFinding, model: str) -> Row:
    verdict = conclude([finding], unread=0)
    return Row(
        path=str(file.path),
        study_instance_uid=file.study_instance_uid,
        sop_instance_uid=finding.sop_instance_uid,
        outcome=verdict.outcome,
        probability=verdict.probability,
        peak_row=finding.peak_row,
        peak_column=finding.peak_column,
        reason=finding.reason,
        model=model,
    )


def _failed_row(path: Path, reason: str, model: str) -> Row:
    return Row(str(path), "", "", Outcome.FAILED, None, None, None, reason, model)
