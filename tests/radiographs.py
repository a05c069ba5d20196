"""Radiographs for the tests: synthetic phantoms that the project draws, and real ones."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from pydicom import dcmread

from dicom_node.image_file import GreyPixels, wrap_as_dx
from dicom_node.result_file import write_result
from dicom_node.sop_classes import DIGITAL_XRAY_FOR_PROCESSING
from dicom_node.uids import derived_uid
from tests.paths import SHARED_DATA
from worker.offline import wrap_picture
from worker.phantom import draw_phantom

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
WG04 = SHARED_DATA / "dicom" / "wg04"
ODDITIES = SHARED_DATA / "dicom" / "oddities"
FRACATLAS = SHARED_DATA / "fracatlas"

_DRAWINGS = 4


@dataclass(frozen=True)
class Phantom:
    """A synthetic DX instance on disk."""

    path: Path
    study_instance_uid: str
    sop_instance_uid: str


def write_phantom(
    folder: Path,
    study: str,
    number: int = 1,
    *,
    body_part_examined: str = "HAND",
    made_at: datetime = NOW,
) -> Phantom:
    """A small phantom; the same study name and number give the same instance."""
    study_uid, uid = derived_uid("test study", study), derived_uid("test", study, str(number))
    dataset = wrap_as_dx(
        _small_phantom(1 + (number - 1) % _DRAWINGS),
        study_instance_uid=study_uid,
        series_instance_uid=derived_uid("test series", study),
        sop_instance_uid=uid,
        patient_id=f"SYNTHETIC-{study}"[:64],
        patient_name="Synthetic^Phantom",
        now=made_at,
        body_part_examined=body_part_examined,
        synthetic_note="Synthetic phantom",
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uid}.dcm"
    write_result(dataset, path)
    return Phantom(path, study_uid, uid)


def make_for_processing(path: Path) -> Path:
    """Turn a DX file into one of what the detector read; its phantoms are all of one second."""
    dataset = dcmread(path)
    dataset.SOPClassUID = DIGITAL_XRAY_FOR_PROCESSING
    dataset.file_meta.MediaStorageSOPClassUID = DIGITAL_XRAY_FOR_PROCESSING
    dataset.PresentationIntentType = "FOR PROCESSING"
    dataset.save_as(path)
    return path


@cache
def _small_phantom(seed: int) -> GreyPixels:
    """Drawing takes a second; instances differ by their UIDs anyway."""
    return draw_phantom(seed, fractured=bool(seed % 2), rows=256, columns=208)


def wrap_fracatlas(image_id: str, folder: Path) -> Path:
    """A FracAtlas picture as synthetic DX."""
    return wrap_picture(FRACATLAS / "images" / image_id, folder, NOW)
