"""MURA (Rajpurkar et al., arXiv 1712.06957): `XR_HAND/patient00001/study1_positive/image1.png`.

A label is of the study, and says abnormal, not fractured. Its licence does not let us pass it on:
this reads the layout for who has it.
"""

import re
from pathlib import Path

from training.data.class_folders import PARTS
from training.data.example import Example
from training.data.pixels import is_picture
from training.errors import DataError

ATTRIBUTION = "MURA, Rajpurkar et al., arXiv 1712.06957 (2017), Stanford; abnormal, not fractured"
LIMITS = (
    "Trained on labels of studies that say abnormal, not fractured: it flags other findings too.",
)
_STUDY = "patient*/study*_*"
_LABELS = {"positive": True, "negative": False}


def recognises(folder: Path) -> bool:
    """Whether studies of patients lie in it, at any of the levels of the set."""
    above = ("", "XR_*/", "*/XR_*/", "*/*/XR_*/")
    return any(next(folder.glob(level + _STUDY), None) is not None for level in above)


def read_mura(folder: Path) -> list[Example]:
    """All pictures of all studies; `folder` is the set, a part of it, or one region's folder.

    A patient's number is the same in all regions. Hidden files ("._image1.png") are left out.

    Raises:
        DataError: a study's folder ends neither in _positive nor in _negative, or there are no
            pictures.
    """
    pictures = sorted(
        path
        for path in folder.rglob(f"{_STUDY}/*")
        if is_picture(path) and not path.name.startswith(".")
    )
    if not pictures:
        raise DataError(f"{folder} holds no patient…/study…/image….png")
    return [_example(path) for path in pictures]


def _example(path: Path) -> Example:
    study, patient = path.parent, path.parents[1]
    label = _LABELS.get(study.name.rpartition("_")[2])
    if label is None:
        raise DataError(f"{study} ends neither in _positive nor in _negative")
    region = patient.parent.name
    return Example(
        path=path,
        fractured=label,
        groups=(f"patient {re.sub(r'^patient', '', patient.name)}",),
        region=region.removeprefix("XR_").lower(),
        study=f"{region}/{patient.name}/{study.name}",
        part=PARTS.get(patient.parents[1].name.lower(), ""),
    )
