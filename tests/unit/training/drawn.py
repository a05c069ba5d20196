"""Small labelled folders of every layout, drawn by the tests."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from tests.unit.dicom_node.instances import radiograph_dataset, write_instance

Grey = npt.NDArray[np.uint8]


def draw(seed: int, rows: int = 96, columns: int = 80) -> Grey:
    """A smooth picture like no other."""
    rough = np.random.default_rng(seed).random((7, 6))
    smooth = cv2.resize(rough, (columns, rows), interpolation=cv2.INTER_CUBIC)
    return (255 * np.clip(smooth, 0, 1)).astype(np.uint8)


def write_picture(path: Path, grey: Grey | None = None, *, seed: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), draw(seed) if grey is None else grey)
    return path


def write_labels(folder: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """labels.csv with the columns of the first row."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "labels.csv").open("w", newline="") as table:
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "labels.csv"


def draw_table(folder: Path, count: int = 40) -> Path:
    """A labelled table of `count` pictures; two neighbours are one patient's, every other patient
    has a fracture in both."""
    rows = []
    for number in range(count):
        name = f"images/{number:03d}.png"
        write_picture(folder / name, seed=number)
        rows.append(
            {
                "path": name,
                "fractured": number // 2 % 2,
                "patient": f"P{number // 2}",
                "region": "hand" if number % 8 < 4 else "leg",
                "view": "ap" if number % 2 else "lateral",
            }
        )
    write_labels(folder, rows)
    return folder


def draw_mura(folder: Path) -> Path:
    """Two parts, two regions, three patients; patient 1 has studies of both regions."""
    for name, seed in {
        "train/XR_HAND/patient00001/study1_positive/image1.png": 1,
        "train/XR_HAND/patient00001/study1_positive/image2.png": 2,
        "train/XR_WRIST/patient00001/study1_negative/image1.png": 3,
        "train/XR_HAND/patient00002/study1_negative/image1.png": 4,
        "valid/XR_HAND/patient00003/study1_negative/image1.png": 5,
    }.items():
        write_picture(folder / name, seed=seed)
    (folder / "train/XR_HAND/patient00001/study1_positive/._image1.png").write_bytes(b"finder")
    return folder


def draw_classes(folder: Path) -> Path:
    """Kaggle's way: parts, then classes."""
    names = ("train/fractured/a.jpg", "train/not fractured/b.png", "val/Fractured/c.png")
    for number, name in enumerate((*names, "val/normal/d.png")):
        write_picture(folder / name, seed=number)
    return folder


def dicom_dataset(number: int, patient: str = "P1", **attributes: object) -> Dataset:
    """A CR instance whose pixels are like no other's."""
    dataset = radiograph_dataset(number, rows=40, columns=32)
    pixels = draw(number, 40, 32).astype(np.uint16) * 16
    dataset.PixelData = pixels.tobytes()
    dataset.PatientID = patient
    dataset.StudyInstanceUID = f"2.25.{number}"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def draw_dicom(folder: Path, *, by: str = "sop_instance_uid") -> Path:
    """Three labelled instances of two patients, one without a label, and a text file."""
    rows = []
    (folder / "deep").mkdir(parents=True)
    for number, patient in ((1, "P1"), (2, "P1"), (3, "P2"), (4, "P3")):
        name = f"deep/{number}.dcm"
        dataset = dicom_dataset(number, patient)
        write_instance(dataset, folder / name)
        key = str(dataset.SOPInstanceUID) if by == "sop_instance_uid" else name
        rows.append({by: key, "fractured": int(number == 1), "hardware": ""})
    (folder / "notes.txt").write_text("no DICOM")
    write_labels(folder, rows[:3])
    return folder
