"""Step 7's files: heatmaps and the report of one analysis, written once and then frozen."""

import hashlib
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread
from pydicom.uid import EncapsulatedPDFStorage, SecondaryCaptureImageStorage

from db.outcomes import Grade
from db.records import NewResultObject, PurgedInstance
from dicom_node.encapsulated_pdf import build_encapsulated_pdf
from dicom_node.errors import DicomNodeError
from dicom_node.image_label import image_label, image_number
from dicom_node.patient_study import with_patient_of
from dicom_node.radiograph import Radiograph, read_header
from dicom_node.result_file import write_result
from dicom_node.result_identity import RESULT_SERIES_NUMBERS, ResultIdentity
from dicom_node.secondary_capture import build_secondary_capture
from dicom_node.sop_classes import RADIOGRAPH_SOP_CLASSES
from dicom_node.uids import AnalysisKey, device_uid, result_instance_uid, result_series_uid
from models.bundle import ModelBundle
from models.prediction import Prediction, SaliencyMap
from worker.conclude import Verdict
from worker.overlay import (
    OverlayCaption,
    reduced,
    render_map,
    render_radiograph,
    with_caption,
)
from worker.report.content import report_header, report_image, report_model
from worker.report.document import TITLE, render_report
from worker.report.parts import ReportContent, ReportImage

OVERLAY = "overlay"
REPORT = "report"
REPORT_PICTURE_SIDE = 1024
THUMBNAIL_SIDE = 256

_SERIES_NUMBER = {
    OVERLAY: RESULT_SERIES_NUMBERS["secondary_capture"],
    REPORT: RESULT_SERIES_NUMBERS["encapsulated_pdf"],
}
_SERIES_TITLE = {
    OVERLAY: "AI heatmap, not for primary diagnosis",
    REPORT: "AI report, not for primary diagnosis",
}
_SOP_CLASS = {OVERLAY: SecondaryCaptureImageStorage, REPORT: EncapsulatedPDFStorage}

RgbPixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Source:
    """One received instance, as the spool or a folder holds it."""

    sop_instance_uid: str
    sop_class_uid: str
    sha256: str
    path: Path
    purged: PurgedInstance | None = None
    """What is left of it; None: its file is here."""
    patient_path: Path | None = None
    """File of the instance whose patient it was accepted as; None: it names its own."""

    @property
    def content(self) -> str:
        """Names its bytes and, where an administrator said so, whose patient it shows."""
        patient = "" if self.patient_path is None else f" as in {self.patient_path.name}"
        return self.sha256 + patient

    @property
    def is_radiograph(self) -> bool:
        """Whether it is of a storage class that the model looks at."""
        return self.sop_class_uid in RADIOGRAPH_SOP_CLASSES


@dataclass(frozen=True, slots=True, eq=False)
class ClassifiedFrame:
    """One radiograph with what the model says of it."""

    radiograph: Radiograph
    prediction: Prediction
    saliency: SaliencyMap

    @property
    def grade(self) -> Grade:
        """What readers are told of it."""
        return Grade(self.prediction.operating_point or "")


class ResultWriter:
    """Makes the result objects of one analysis, in the order: radiographs first, report last.

    A result object's UID follows from its input and the model. One that exists on disk is complete
    (it was written atomically) and may have been sent, so it is never written again.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        study_instance_uid: str,
        *,
        root: Path,
        folder: str,
        revision: int,
        now: datetime,
        variant: Sequence[str] = (),
        retrospective: bool = False,
    ) -> None:
        """Prepare; nothing is written yet.

        Args:
            variant: what results depend on beside bundle and radiographs; part of their UIDs.
            retrospective: whether they are made for a sweep, and say so.
        """
        self._retrospective = retrospective
        variant = (*variant, *(["retrospective"] if retrospective else []))
        self._bundle = bundle
        self._root, self._folder = root, folder
        self._revision, self._now = revision, now
        points = bundle.operating_points
        self._key = AnalysisKey(
            study_instance_uid,
            bundle.identity.digest,
            (repr(points.sensitive), repr(points.specific), *variant),
        )
        self._sources: list[Source] = []
        self._numbers: dict[str, str] = {}
        self._images: list[ReportImage] = []
        self._reference: Dataset | None = None
        self._written: list[NewResultObject] = []

    @property
    def written(self) -> tuple[NewResultObject, ...]:
        """All result objects, durable on disk."""
        return tuple(self._written)

    def add_frames(self, source: Source, frames: Sequence[ClassifiedFrame]) -> None:
        """Write a heatmap for every frame that reaches an operating point."""
        if not frames:  # `add_not_analysed` names it, by its header
            return
        number = self._add_source(source, frames[0].radiograph.reference)
        for frame in frames:
            if self._reference is None:
                self._reference = frame.radiograph.reference
            overlay = None
            if frame.grade is Grade.BELOW:
                picture = render_radiograph(frame.radiograph.pixels, THUMBNAIL_SIDE)
            else:
                grey = render_radiograph(frame.radiograph.pixels)
                coloured = render_map(grey, frame.saliency.values)
                caption = self._caption(frame)
                self._write_overlay(source, frame, with_caption(coloured, caption))
                picture = reduced(grey, REPORT_PICTURE_SIDE)
                overlay = with_caption(reduced(coloured, REPORT_PICTURE_SIDE), caption)
            self._images.append(
                report_image(
                    frame.radiograph.reference,
                    number,
                    frame.radiograph.frame_number,
                    probability=frame.prediction.probability,
                    grade=frame.grade,
                    picture=picture,
                    overlay=overlay,
                    notes=frame.radiograph.notes,
                )
            )

    def add_not_analysed(self, source: Source, reason: str, frame_number: int = 0) -> None:
        """Let the report say of an instance, or of one frame of it, why nothing is said of it."""
        header = header_or_nothing(source)
        number = self._add_source(source, header)
        self._images.append(report_image(header, number, frame_number, reason=reason))

    def add_report(self, verdict: Verdict) -> None:
        """Write the report of everything added so far."""
        uid = self._uid(REPORT, [(s.sop_instance_uid, s.content, 0) for s in self._sources])
        if self._record_existing(REPORT, uid):
            return
        reference = self._reference_header()
        content = ReportContent(
            header=report_header(deepcopy(reference)),  # reading a name would re-encode it
            outcome=verdict.outcome,
            reason=verdict.reason,
            images=tuple(self._images),
            model=report_model(self._bundle),
            revision=self._revision,
            generated_at=self._now,
            retrospective=self._retrospective,
        )
        dataset = build_encapsulated_pdf(
            reference,
            render_report(content),
            sources=[(s.sop_class_uid, s.sop_instance_uid) for s in self._sources],
            title=TITLE,
            identity=self._identity(REPORT, uid, self._next_number(REPORT)),
            now=self._now,
        )
        self._write(REPORT, uid, dataset)

    def _add_source(self, source: Source, header: Dataset) -> str:
        """Return the image's number, the same each time."""
        if source not in self._sources:
            self._sources.append(source)
            taken = self._numbers.values()
            number = image_number(image_label(header), len(self._sources), taken)
            self._numbers[source.sop_instance_uid] = number
        return self._numbers[source.sop_instance_uid]

    def _write_overlay(self, source: Source, frame: ClassifiedFrame, overlay: RgbPixels) -> None:
        number = frame.radiograph.frame_number
        uid = self._uid(OVERLAY, [(source.sop_instance_uid, source.content, number)])
        if self._record_existing(OVERLAY, uid):
            return
        multiframe = int(frame.radiograph.reference.get("NumberOfFrames") or 1) > 1
        dataset = build_secondary_capture(
            frame.radiograph.reference,
            overlay,
            identity=self._identity(OVERLAY, uid, self._next_number(OVERLAY)),
            derivation_description=f"{frame.saliency.method} heatmap over the radiograph, "
            f"{self._described(source, frame)}, layer {frame.saliency.target_layer}",
            now=self._now,
            source_frame_number=number if multiframe else None,
        )
        self._write(OVERLAY, uid, dataset)

    def _next_number(self, kind: str) -> int:
        """Instance Number after those that this revision's series holds already."""
        series = result_series_uid(self._key, kind, self._revision)
        return 1 + sum(one.series_instance_uid == series for one in self._written)

    def _described(self, source: Source, frame: ClassifiedFrame) -> str:
        """Number and place of the image in ASCII."""
        place = image_label(frame.radiograph.reference).place
        described = f"image {self._numbers[source.sop_instance_uid]}" + (place and f", {place}")
        return described.encode("ascii", "replace").decode()

    def _caption(self, frame: ClassifiedFrame) -> OverlayCaption:
        if frame.grade is Grade.BELOW:
            raise ValueError("a radiograph below both operating points has no heatmap")
        return OverlayCaption(
            self._bundle.identity.name,
            self._bundle.identity.version,
            frame.grade,
            frame.prediction.probability,
            frame.radiograph.body_part_examined,
            self._retrospective,
        )

    def _uid(self, kind: str, sources: Sequence[tuple[str, str, int]]) -> str:
        return result_instance_uid(self._key, kind, sources)

    def _identity(self, kind: str, uid: str, number: int) -> ResultIdentity:
        model = self._bundle.identity
        title = _SERIES_TITLE[kind]
        if self._retrospective:
            title = f"Retrospective {title}"
        return ResultIdentity(
            series_instance_uid=result_series_uid(self._key, kind, self._revision),
            sop_instance_uid=uid,
            series_number=_SERIES_NUMBER[kind],
            instance_number=number,
            series_description=f"{title} {model.name} {model.version}"[:64],
            model_name=model.name,
            model_version=model.version,
            device_uid=device_uid(model.digest),
            software_version=version("fracture-screen"),
        )

    def _reference_header(self) -> Dataset:
        """The first radiograph's header, else the first readable one, else the study UID alone."""
        if self._reference is not None:
            return self._reference
        headers = (header_or_nothing(source) for source in self._sources)
        nothing = Dataset()
        nothing.StudyInstanceUID = self._key.study_instance_uid
        return next((header for header in headers if "StudyInstanceUID" in header), nothing)

    def _write(self, kind: str, uid: str, dataset: Dataset) -> None:
        path = self._path(uid)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A worker that lost its lease may still be writing the same object: the first one stays.
        write_result(dataset, path, frozen=True)
        self._record_existing(kind, uid)

    def _record_existing(self, kind: str, uid: str) -> bool:
        path = self._path(uid)
        if not path.is_file():
            return False
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self._written.append(
            NewResultObject(
                sop_instance_uid=uid,
                series_instance_uid=_series_of(path),
                sop_class_uid=_SOP_CLASS[kind],
                kind=kind,
                path=path.relative_to(self._root).as_posix(),
                sha256=sha256,
                size=path.stat().st_size,
            )
        )
        return True

    def _path(self, uid: str) -> Path:
        """Named after our own UID, never after one that a peer sent."""
        return self._root / self._folder / f"{uid}.dcm"


def _series_of(path: Path) -> str:
    """Series Instance UID of a result: one of an earlier revision stays in its series."""
    header = dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
    return str(header.SeriesInstanceUID)


def header_or_nothing(source: Source) -> Dataset:
    """An instance's header; empty where it cannot be read."""
    try:
        return named_as_accepted(source, read_header(source.path))
    except DicomNodeError:
        return Dataset()


def named_as_accepted(source: Source, header: Dataset) -> Dataset:
    """Return a header of the source with the patient that an administrator accepted it as.

    Raises UnreadableInstance where the instance that names the patient cannot be read.
    """
    if source.patient_path is None:
        return header
    return with_patient_of(header, read_header(source.patient_path))
