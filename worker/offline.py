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
from pydicom.filereader import read_file_meta_info
from pydicom.uid import MediaStorageDirectoryStorage

from db.outcomes import Outcome
from db.records import NewFinding
from dicom_node.errors import UnreadableInstance
from dicom_node.header import read_header
from dicom_node.image_file import read_image_file, wrap_as_dx
from dicom_node.received import describe_file
from dicom_node.result_content import heatmap_source
from dicom_node.result_file import write_result
from dicom_node.uids import picture_uids
from worker.conclude import conclude
from worker.errors import FolderInUse, NothingToDo
from worker.failure_reasons import failure_reason
from worker.result_pictures import (
    UniqueNames,
    is_own_picture,
    safe_stem,
    write_heatmap_png,
    write_report_pdf,
)
from worker.results import REPORT, Source
from worker.screening import Screener, Screening

TABLE = "results.csv"
SKIPPED = "SKIPPED"
"""Outcome of a file that is no image at all, such as a DICOMDIR or a text file beside images."""
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
_DICOM_SUFFIXES = frozenset({".dcm", ".dicom"})
_RESULT_SUFFIXES = frozenset({".dcm", ".png", ".pdf"})

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of results.csv: one image (frame), or one file that could not be analysed.

    `outcome` and `probability` are the image's own, not its study's; SKIPPED stands for a file that
    is no image. The peak of the saliency map is in pixels of the source image, 0-based, rows
    downwards. `results` are the files written for the image, relative to the table's folder, with a
    space between them: its heatmap, if it has one, and the report of its study.
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
    results: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """Where results go, and which are written beside the table."""

    folder: Path
    objects: bool = True
    """Heatmaps and reports as DICOM objects, in a folder per study."""
    pictures: bool = False
    """The same as PNG and PDF, named after the input files; needs `objects`."""


@dataclass(frozen=True, slots=True)
class _File:
    """A file that is an instance, or a picture that becomes one."""

    path: Path
    study_instance_uid: str
    source: Source


def find_files(paths: Sequence[Path], leave_out: Path | None = None) -> list[Path]:
    """The files named, and all files below the folders named, hidden ones left out, sorted.

    Files of the folder `leave_out` below them are not looked for: results of an earlier run.

    Raises:
        NothingToDo: a path does not exist, or there is no file at all.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(
                file
                for file in path.rglob("*")
                if file.is_file()
                and not _hidden(file, path)
                and not _left_out(file, path, leave_out)
            )
        elif path.exists():
            found.append(path)
        else:
            raise NothingToDo(f"{path} does not exist")
    if not found:
        raise NothingToDo(f"no file in {', '.join(str(path) for path in paths)}")
    return found


def prepare_output(folder: Path, *, overwrite: bool) -> None:
    """Make the results' folder. With `overwrite`, remove what an earlier run wrote there.

    Raises:
        FolderInUse: it holds results, and `overwrite` was not given; or it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise FolderInUse(f"--out {folder} is a file: name a folder")
    table = folder / TABLE
    if table.exists():
        if not overwrite:
            raise FolderInUse(
                f"{folder} already holds results ({TABLE}): name another folder with --out, or "
                "replace them with --overwrite"
            )
        _remove_results(table)
    folder.mkdir(parents=True, exist_ok=True)


def screen_files(
    files: Sequence[Path],
    screener: Screener,
    output: Output,
    *,
    clock: Callable[[], datetime],
    on_file: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Screen every file; write results.csv and, if asked for, objects and pictures.

    A file that breaks is a row with its reason and never stops the rest.
    """
    output.folder.mkdir(parents=True, exist_ok=True)
    run = _Run(screener, output)
    rows: list[Row] = []
    with (
        (output.folder / TABLE).open("w", newline="", encoding="utf-8") as table,
        TemporaryDirectory(prefix="fracture-screen-") as wrapped,
    ):
        writer = csv.DictWriter(table, [field.name for field in fields(Row)])
        writer.writeheader()
        for group in _by_study(files):
            for row in run.screen_group(group, Path(wrapped), clock):
                writer.writerow(asdict(row))
                rows.append(row)
            table.flush()
            for _ in group:
                on_file()
    return rows


def is_picture(path: Path) -> bool:
    """Whether a file is taken for PNG or JPEG, by its name."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def wrap_picture(path: Path, folder: Path, now: datetime) -> Path:
    """Write a picture as a DX instance into `folder`; the same picture gives the same UIDs."""
    pixels = read_image_file(path)
    if is_own_picture(path):
        raise UnreadableInstance(f"{path.name} is a heatmap made by this program, no radiograph")
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


def _left_out(file: Path, searched: Path, leave_out: Path | None) -> bool:
    """Whether a file lies in a folder that is left out, and that is not searched on purpose."""
    if leave_out is None or _is_below(searched, leave_out):
        return False
    return _is_below(file, leave_out)


def _is_below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _remove_results(table: Path) -> None:
    """Remove a table and the result files that it names, none outside of its folder."""
    with table.open(newline="", encoding="utf-8") as lines:
        names = {
            name for row in csv.DictReader(lines) for name in (row.get("results") or "").split()
        }
    for path in (table.parent / name for name in names):
        if path.suffix in _RESULT_SUFFIXES and _is_below(path, table.parent):
            path.unlink(missing_ok=True)
    table.unlink()


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


class _Run:
    """One run of the command: groups of files in, rows out."""

    def __init__(self, screener: Screener, output: Output) -> None:
        self._screener, self._output = screener, output
        self._model = screener.model.label
        self._names = UniqueNames(output.folder)

    def screen_group(
        self, group: Sequence[Path], wrapped: Path, clock: Callable[[], datetime]
    ) -> Iterator[Row]:
        """Rows of the files of one study."""
        files: list[_File] = []
        for path in group:
            try:
                files.append(_as_instance(path, wrapped, clock()))
            except UnreadableInstance as error:
                skipped = _why_skipped(path)
                outcome = SKIPPED if skipped else Outcome.FAILED
                yield self._row_without_image(path, outcome, skipped or str(error))
        if not files:
            return
        try:
            rows = self._screen(files)
        except Exception as error:  # the boundary: the other studies must go on
            _log.error("study_failed", kind=type(error).__name__, exc_info=True)
            reason = failure_reason(error)
            rows = [self._row_without_image(file.path, Outcome.FAILED, reason) for file in files]
        yield from rows
        for file in files:
            if is_picture(file.path):
                file.source.path.unlink()

    def _screen(self, files: Sequence[_File]) -> list[Row]:
        sources = [file.source for file in files]
        if not self._output.objects:
            looked_at = dict(self._screener.look_at_all(sources))
            return [
                self._row(file, finding, ())
                for position, file in enumerate(files)
                for finding in looked_at[position].findings
            ]
        study = files[0].study_instance_uid
        screening = self._screener.screen(study, sources, root=self._output.folder, folder=study)
        heatmaps, report = self._files_written(files, screening)
        return [
            self._row(
                file,
                finding,
                [*heatmaps[finding.sop_instance_uid, finding.frame_number], *report],
            )
            for file, of_file in zip(files, screening.findings_by_source, strict=True)
            for finding in of_file
        ]

    def _files_written(
        self, files: Sequence[_File], screening: Screening
    ) -> tuple[dict[tuple[str, int], list[str]], list[str]]:
        """Names of the heatmaps' files by (SOP Instance UID, frame), and of the report's."""
        stems = _picture_stems(files, screening)
        heatmaps: dict[tuple[str, int], list[str]] = defaultdict(list)
        report: list[str] = []
        # A radiograph that is there twice has its heatmap once.
        for path, kind in dict.fromkeys((one.path, one.kind) for one in screening.results):
            if kind == REPORT:
                stem = f"{safe_stem(files[0].path)}-report"
                report += [path, *self._picture(path, stem, ".pdf", write_report_pdf)]
            else:
                source = heatmap_source(read_header(self._output.folder / path))
                stem = f"{stems[source]}-heatmap"
                heatmaps[source] += [path, *self._picture(path, stem, ".png", write_heatmap_png)]
        return heatmaps, report

    def _picture(
        self, result: str, stem: str, suffix: str, write: Callable[[Path, Path], None]
    ) -> list[str]:
        if not self._output.pictures:
            return []
        name = self._names.take(stem, suffix)
        write(self._output.folder / result, self._output.folder / name)
        return [name]

    def _row(self, file: _File, finding: NewFinding, results: Sequence[str]) -> Row:
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
            model=self._model,
            results=" ".join(results),
        )

    def _row_without_image(self, path: Path, outcome: str, reason: str) -> Row:
        return Row(str(path), "", "", outcome, None, None, None, reason, self._model)


def _picture_stems(files: Sequence[_File], screening: Screening) -> dict[tuple[str, int], str]:
    """Beginnings of names by (SOP Instance UID, frame): the file's name, the frame if several."""
    stems: dict[tuple[str, int], str] = {}
    for file, findings in zip(files, screening.findings_by_source, strict=True):
        for finding in findings:
            frame = f"-frame-{finding.frame_number}" if len(findings) > 1 else ""
            key = (finding.sop_instance_uid, finding.frame_number)
            stems.setdefault(key, safe_stem(file.path) + frame)
    return stems


def _why_skipped(path: Path) -> str:
    """Return why an unreadable file is no image, or "" if it may be a damaged one."""
    if is_picture(path) or path.suffix.lower() in _DICOM_SUFFIXES:
        return ""
    try:
        with path.open("rb") as file:
            beginning = file.read(132)
    except OSError:
        return ""
    if beginning[128:] == b"DICM":
        try:
            media_class = read_file_meta_info(path).get("MediaStorageSOPClassUID")
        except Exception:  # pydicom raises whatever damaged bytes provoke
            return ""
        return "a DICOMDIR, not an image" if media_class == MediaStorageDirectoryStorage else ""
    # Without a preamble, a DICOM file begins with an element of group 0002 or 0008, in either
    # byte order; an empty file may have been an image.
    may_be_dicom = not beginning or beginning[:2] in (b"\2\0", b"\0\2", b"\x08\0", b"\0\x08")
    return "" if may_be_dicom else "neither a DICOM file nor a picture"


def _as_instance(path: Path, folder: Path, now: datetime) -> _File:
    """A DICOM file, or a picture wrapped into `folder`.

    Raises:
        UnreadableInstance: neither DICOM nor a picture, or damaged.
    """
    dicom = wrap_picture(path, folder, now) if is_picture(path) else path
    instance = describe_file(dicom, "")
    return _File(
        path,
        instance.study_instance_uid,
        Source(instance.sop_instance_uid, instance.sop_class_uid, instance.sha256, dicom),
    )
