"""A patient whom nobody must meet where no patient belongs: made, sent, and looked for.

`Canary.stamp` writes the patient into an instance; `leaks` says where of given places it is found.
Allowed are spool, results, the table study_header, and HL7 messages.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from pydicom import dcmread
from sqlalchemy import Engine, MetaData, select

HOLDS_PATIENTS = frozenset({"study_header"})
"""Tables that may."""


@dataclass(frozen=True)
class Canary:
    """What only this patient has. Each is sought by itself, whatever the case of its letters."""

    family_name: str = "Kanarienvogel"
    given_name: str = "Zebedea"
    patient_id: str = "CANARY-4711-ID"
    accession_number: str = "CANARYACC0815"
    birth_date: str = "19370417"
    comment: str = "canarycommentquux"

    @property
    def marks(self) -> tuple[str, ...]:
        """All that is sought."""
        iso = date.fromisoformat(self.birth_date).isoformat()
        return (
            self.family_name,
            self.given_name,
            self.patient_id,
            self.accession_number,
            self.birth_date,
            iso,
            self.comment,
        )

    def stamp(self, path: Path) -> Path:
        """Make the instance at `path` one of this patient."""
        dataset = dcmread(path)
        dataset.PatientName = f"{self.family_name}^{self.given_name}"
        dataset.PatientID = self.patient_id
        dataset.OtherPatientIDs = [self.patient_id]
        dataset.AccessionNumber = self.accession_number
        dataset.PatientBirthDate = self.birth_date
        dataset.PatientComments = dataset.StudyDescription = self.comment
        dataset.ReferringPhysicianName = f"{self.family_name}^Referring"
        dataset.save_as(path)
        return path

    def found_in(self, content: bytes | str) -> list[str]:
        """The marks in it, in UTF-8 or UTF-16, as they are or as JSON or base64 writes them."""
        raw = content.encode() if isinstance(content, str) else content
        lowered = raw.lower()
        return [mark for mark in self.marks if any(one in lowered for one in _written(mark))] + [
            mark for mark in self.marks if any(one in raw for one in _in_base64(mark))
        ]


def leaks(canary: Canary, places: Mapping[str, bytes | str]) -> dict[str, list[str]]:
    """Place → marks found there; only places where some are."""
    found = {name: canary.found_in(content) for name, content in places.items()}
    return {name: marks for name, marks in found.items() if marks}


def files_below(*folders: Path) -> dict[str, bytes]:
    """Every file's path and content; the path is looked through too."""
    return {
        str(path): str(path).encode() + b"\n" + path.read_bytes()
        for folder in folders
        for path in _files(folder)
    }


def tables_of(engine: Engine) -> dict[str, str]:
    """Every table's content as text, but of those that may hold patients."""
    metadata = MetaData()
    metadata.reflect(engine)
    with engine.connect() as connection:
        return {
            f"table {table.name}": "\n".join(
                _text(row) for row in connection.execute(select(table)).mappings()
            )
            for table in metadata.sorted_tables
            if table.name not in HOLDS_PATIENTS
        }


def _text(row: Mapping[Any, Any]) -> str:  # Any: column values
    return json.dumps(dict(row), default=str, ensure_ascii=False)


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in sorted(folder.rglob("*")) if path.is_file())


def _written(mark: str) -> Iterable[bytes]:
    lowered = mark.lower()
    return lowered.encode(), lowered.encode("utf-16-le")


def _in_base64(mark: str) -> Iterable[bytes]:
    """What stays of a mark in base64 wherever in a text it begins: three ways."""
    for shift in range(3):
        whole = base64.b64encode(b"x" * shift + mark.encode()).rstrip(b"=")
        yield whole[-(-8 * shift // 6) : -1]
