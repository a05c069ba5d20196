"""What a report says about patient, study, radiograph and model: data set in, plain text out."""

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from db.outcomes import Grade
from dicom_node.image_label import image_label
from dicom_node.patient import date_of, shown_group, text_of
from models.bundle import ModelBundle
from worker.model_card import performance, region_points
from worker.report.parts import ReportHeader, ReportImage, ReportModel


def report_header(reference: Dataset) -> ReportHeader:
    """Patient and study as the source states them; "" where it does not."""
    return ReportHeader(
        patient_name=person_name(text_of(reference, "PatientName")),
        patient_id=_text(reference, "PatientID"),
        patient_birth_date=_date(reference, "PatientBirthDate"),
        patient_sex=_text(reference, "PatientSex"),
        accession_number=_text(reference, "AccessionNumber"),
        study_date=_date(reference, "StudyDate"),
        study_description=_text(reference, "StudyDescription"),
        referring_physician_name=person_name(text_of(reference, "ReferringPhysicianName")),
        institution_name=_text(reference, "InstitutionName"),
        study_instance_uid=_text(reference, "StudyInstanceUID"),
    )


def report_image(
    reference: Dataset,
    number: str,
    frame_number: int,
    *,
    probability: float | None = None,
    grade: Grade = Grade.BELOW,
    reason: str = "",
    picture: npt.NDArray[np.uint8] | None = None,
    overlay: npt.NDArray[np.uint8] | None = None,
    notes: tuple[str, ...] = (),
) -> ReportImage:
    """One line of the report's table; `number` as `dicom_node.image_label` gives it."""
    frame = f", frame {frame_number}" if _text(reference, "NumberOfFrames") not in ("", "1") else ""
    return ReportImage(
        label=f"Image {number}{frame}",
        place=image_label(reference).place,
        body_part_examined=_text(reference, "BodyPartExamined"),
        laterality=_side(reference),
        view_position=_text(reference, "ViewPosition"),
        probability=probability,
        grade=grade,
        reason=reason,
        picture=picture,
        overlay=overlay,
        notes=notes,
    )


def _side(reference: Dataset) -> str:
    """L, R or B; "" for U, the term for unpaired body parts."""
    side = _text(reference, "ImageLaterality") or _text(reference, "Laterality")
    return "" if side == "U" else side


def report_model(bundle: ModelBundle) -> ReportModel:
    """The model with its measured performance and its limits, from the card."""
    return ReportModel(
        name=bundle.identity.name,
        version=bundle.identity.version,
        digest=bundle.identity.digest,
        sensitive_threshold=bundle.operating_points.sensitive,
        specific_threshold=bundle.operating_points.specific,
        summary=(
            performance(bundle.card["metrics"]),
            *region_points(bundle),
            *bundle.limits,
        ),
    )


def person_name(value: str | None) -> str:
    """ "Family, Given Middle" per component group (PS3.5 6.2.1.2), groups joined by " / "."""
    groups = [shown_group(group) for group in (value or "").split("=")]
    return " / ".join(dict.fromkeys(group for group in groups if group))


def _text(dataset: Dataset, keyword: str) -> str:
    return text_of(dataset, keyword)


def _date(dataset: Dataset, keyword: str) -> str:
    """ISO form of a DA value (PS3.5 6.2); shown as it is if it is no such value."""
    stated = date_of(dataset, keyword)
    return _text(dataset, keyword) if stated is None else stated.isoformat()
