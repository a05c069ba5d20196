"""The parts of a report: strings, numbers and arrays, with the checks on them. No layout."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from db.outcomes import Grade, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportHeader:
    """Patient and study as the source states them, ready to be read; "" where it does not."""

    patient_name: str
    patient_id: str
    patient_birth_date: str
    patient_sex: str
    accession_number: str
    study_date: str
    study_description: str
    referring_physician_name: str = ""
    institution_name: str
    study_instance_uid: str


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ReportImage:
    """One radiograph of the study, or an instance that was not analysed.

    `label` tells it from the study's others, `place` is body part, view and side in words.
    `probability` is calibrated, in [0, 1], None when not analysed, and `reason` then says why.
    `picture` is uint8 grey (rows, columns), `overlay` uint8 RGB (rows, columns, 3), as
    worker.overlay draws them at one size; a radiograph below both operating points needs no
    overlay. `notes` are sentences on how the image was read.
    """

    label: str
    place: str
    body_part_examined: str
    laterality: str
    view_position: str
    probability: float | None
    grade: Grade
    reason: str
    picture: npt.NDArray[np.uint8] | None
    overlay: npt.NDArray[np.uint8] | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportModel:
    """The model that was used; `summary` holds its limits and measured performance, by line."""

    name: str
    version: str
    digest: str
    sensitive_threshold: float
    specific_threshold: float
    summary: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ReportContent:
    """All that a report says.

    `headline` replaces the outcome's words where it is not "", `reason` stands below them.
    `revision` counts the analyses of the study from 1. `model` None: the analysis failed before
    any model was used. `generated_at` is timezone-aware. `retrospective`: made for a sweep.
    """

    header: ReportHeader
    outcome: Outcome
    headline: str = ""
    reason: str = ""
    images: tuple[ReportImage, ...]
    model: ReportModel | None
    revision: int
    generated_at: datetime
    retrospective: bool = False


def check_content(content: ReportContent) -> None:
    """Raise ValueError for content that contradicts itself."""
    if content.generated_at.utcoffset() is None:
        raise ValueError(
            f"generated_at {content.generated_at.isoformat()} has no time zone: pass an aware time"
        )
    for number, image in enumerate(content.images, start=1):
        _check_image(number, image)


def _check_image(number: int, image: ReportImage) -> None:
    if image.probability is None and (image.grade or not image.reason):
        raise ValueError(
            f"image {number} has no probability: give the reason why it was not analysed, "
            "and no grade"
        )
    if image.probability is not None and not 0.0 <= image.probability <= 1.0:
        raise ValueError(f"image {number}: probability {image.probability!r} is not within [0, 1]")
    _check_picture(number, image.picture, "(rows, columns)", 2)
    _check_picture(number, image.overlay, "(rows, columns, 3)", 3)


def _check_picture(
    number: int, picture: npt.NDArray[np.uint8] | None, expected: str, dimensions: int
) -> None:
    if picture is None:
        return
    if (
        picture.dtype != np.uint8
        or picture.ndim != dimensions
        or picture.shape[2:] not in ((), (3,))
    ):
        raise ValueError(
            f"image {number}: a picture is {picture.dtype} {picture.shape}: give uint8 {expected}"
        )
