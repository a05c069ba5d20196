"""What the demonstration sends: shipped radiographs and a drawing, or the files of a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np

from dicom_node.errors import UnreadableInstance
from dicom_node.image_file import GreyPixels, wrap_as_dx
from dicom_node.received import describe_file
from dicom_node.result_file import write_result
from dicom_node.uids import derived_uid
from worker.demonstration.chest_film import draw_chest_film
from worker.errors import DemoRefused
from worker.offline import find_files, is_picture, wrap_picture

RADIOGRAPHS = files("worker.demonstration") / "radiographs"
"""The shipped radiographs, with their source and licence in README.md."""


@dataclass(frozen=True, slots=True)
class DemoPicture:
    """A picture that is sent as a study of its own; the drawing has no `file`."""

    name: str
    body_part_examined: str
    marked: str
    """What the data set's radiologists marked in it; "–" for the drawing."""
    file: str = ""


PICTURES = (
    DemoPicture("Forearm", "FOREARM", "fracture", "IMG0002532.jpg"),
    DemoPicture("Shoulder", "SHOULDER", "fracture", "IMG0002306.jpg"),
    DemoPicture("Forearm and hand", "FOREARM", "fracture", "IMG0003266.jpg"),
    DemoPicture("Foot and ankle", "FOOT", "nothing", "IMG0002797.jpg"),
    DemoPicture("Knee", "KNEE", "nothing", "IMG0001107.jpg"),
    DemoPicture("Chest", "CHEST", "–"),
)


@dataclass(frozen=True, slots=True)
class PreparedStudy:
    """One study to send: its instances as DICOM files, and what people call it."""

    study_instance_uid: str
    name: str
    marked: str
    paths: tuple[Path, ...]


def prepare_own_studies(folder: Path, now: datetime) -> list[PreparedStudy]:
    """Write the shipped radiographs and the drawn chest film into `folder` as synthetic DX."""
    folder.mkdir(parents=True)
    return [
        _prepare(picture, number, folder, now) for number, picture in enumerate(PICTURES, start=1)
    ]


def prepare_studies_of(
    source: Path, folder: Path, now: datetime
) -> tuple[list[PreparedStudy], list[str]]:
    """Return the studies of the files in `source`, and what is wrong with each other file.

    Pictures are written into `folder` as DX, each a study of its own.

    Raises:
        DemoRefused: no file can be sent.
        NothingToDo: there is no file.
    """
    paths: dict[str, list[Path]] = {}
    names: dict[str, str] = {}
    unreadable: list[str] = []
    for path in find_files([source]):
        try:
            dicom = wrap_picture(path, folder, now) if is_picture(path) else path
            study_instance_uid = describe_file(dicom, "").study_instance_uid
        except UnreadableInstance as error:
            unreadable.append(f"{path}: {error}")
            continue
        paths.setdefault(study_instance_uid, []).append(dicom)
        names.setdefault(study_instance_uid, path.stem)
    if not paths:
        reasons = "".join(f"\n  {reason}" for reason in unreadable)
        raise DemoRefused(f"{source} holds no DICOM, PNG or JPEG file that can be read:{reasons}")
    studies = [PreparedStudy(uid, names[uid], "", tuple(found)) for uid, found in paths.items()]
    return studies, unreadable


def _prepare(picture: DemoPicture, number: int, folder: Path, now: datetime) -> PreparedStudy:
    key = picture.file or picture.name
    study_instance_uid = derived_uid("demo study", key)
    sop_instance_uid = derived_uid("demo instance", key)
    dataset = wrap_as_dx(
        _pixels(picture),
        study_instance_uid=study_instance_uid,
        series_instance_uid=derived_uid("demo series", key),
        sop_instance_uid=sop_instance_uid,
        patient_id=f"DEMO-{number}",
        patient_name=f"Demo^{picture.name}",
        now=now,
        body_part_examined=picture.body_part_examined,
        synthetic_note=_note(picture),
    )
    path = folder / f"{sop_instance_uid}.dcm"
    write_result(dataset, path)
    return PreparedStudy(study_instance_uid, picture.name, picture.marked, (path,))


def _pixels(picture: DemoPicture) -> GreyPixels:
    if not picture.file:
        return draw_chest_film()
    encoded = np.frombuffer((RADIOGRAPHS / picture.file).read_bytes(), np.uint8)
    decoded = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)
    if decoded is None:
        raise DemoRefused(f"{RADIOGRAPHS / picture.file} is damaged: install the package again")
    return decoded.astype(np.uint8, copy=False)


def _note(picture: DemoPicture) -> str:
    if not picture.file:
        return "Drawn by fracture-screen: not a radiograph, no patient."
    return (
        f"8 bit JPEG {picture.file} of FracAtlas, Abedeen et al., Scientific Data 10, 521 (2023), "
        "CC BY 4.0."
    )


def file_names(studies: Sequence[PreparedStudy]) -> dict[str, str]:
    """Return a short unique name for files about each study, by Study Instance UID."""
    names: dict[str, str] = {}
    for study in studies:
        plain = "".join(c if c.isalnum() else "-" for c in study.name.lower()).strip("-")
        name = plain[:40] or "study"
        if name in names.values():
            name = f"{name}-{len(names) + 1}"
        names[study.study_instance_uid] = name
    return names
