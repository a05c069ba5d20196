"""A folder of DICOM files with `labels.csv`, by SOP Instance UID or by path.

Patient, study, body part, view and laterality come from the headers, what else is known from the
table's columns `hardware`, `boxes` and `part` (as in labelled_table.py).
"""

import hashlib
from pathlib import Path

from pydicom import Dataset

from dicom_node.errors import DicomNodeError
from dicom_node.header import read_header
from training.data.example import Example
from training.data.header_text import header_text
from training.data.labelled_table import TABLE, named_groups
from training.data.pixels import is_picture
from training.data.table import Row, read_rows, refuse_misspelt_columns
from training.errors import DataError

BY_UID = "sop_instance_uid"
_OURS = ("path", BY_UID, "fractured", "hardware", "boxes", "part")


def recognises(folder: Path) -> bool:
    """Whether labels.csv names SOP Instance UIDs, or files that are no pictures."""
    table = folder / TABLE
    if not table.is_file():
        return False
    rows = read_rows(table, named_by=_key(table))
    return BY_UID in rows[0].cells or not is_picture(Path(rows[0].name))


def read_dicom_folder(folder: Path) -> list[Example]:
    """All labelled instances; files that the table does not name have no label and are left out.

    A file that cannot be parsed is still an example when the table names its path: `data check`
    tells what is wrong with it.

    Raises:
        DataError: a UID of the table is in no readable file, or in two; or the table is wrong.
    """
    table = folder / TABLE
    refuse_misspelt_columns(table, _OURS)
    rows = read_rows(table, named_by=_key(table), required=("fractured",))
    if _key(table) == BY_UID:
        found = _files_by_uid(folder)
        return [_example(_file_of(row, found), row) for row in rows]
    return [_example(folder / row.stated("path"), row) for row in rows]


def _key(table: Path) -> str:
    """The column that names instances."""
    header = table.read_text(encoding="utf-8-sig").partition("\n")[0]
    return BY_UID if BY_UID in header else "path"


def _files_by_uid(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        header = _header(path)
        if header is not None and path.name != TABLE:
            found.setdefault(header_text(header, "SOPInstanceUID"), []).append(path)
    return found


def _file_of(row: Row, found: dict[str, list[Path]]) -> Path:
    files = found.get(row.stated(BY_UID), [])
    if len(files) != 1:
        names = " and ".join(str(path) for path in files[:2]) or "no readable file"
        raise DataError(f"{row.table} names SOP Instance UID {row.name}, which is in {names}")
    return files[0]


def _example(path: Path, row: Row) -> Example:
    try:
        return _labelled(path, _header(path) or Dataset(), row)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _labelled(path: Path, header: Dataset, row: Row) -> Example:
    study = header_text(header, "StudyInstanceUID")
    return Example(
        path=path,
        fractured=row.is_yes("fractured"),
        groups=named_groups(patient=_hashed_patient(header), study=study),
        region=header_text(header, "BodyPartExamined").lower(),
        hardware=row.may_be_yes("hardware"),
        view=header_text(header, "ViewPosition").lower(),
        study=study,
        laterality=header_text(header, "ImageLaterality") or header_text(header, "Laterality"),
        part=row.text("part"),
        boxes=row.boxes("boxes"),
    )


def _header(path: Path) -> Dataset | None:
    try:
        return read_header(path)
    except DicomNodeError:
        return None


def _hashed_patient(header: Dataset) -> str:
    """16 hex digits of SHA-256 of issuer and Patient ID; empty where none is stated.

    It keeps the id off screens and reports. It is no anonymisation: who can guess ids can try them.
    """
    patient = header_text(header, "PatientID")
    issuer = header_text(header, "IssuerOfPatientID")
    return hashlib.sha256(f"{issuer}\n{patient}".encode()).hexdigest()[:16] if patient else ""
