"""A study's images as its page shows them: each with finding, heatmap and reviews."""

from dataclasses import dataclass

from db.records import NewFinding, ResultSummary
from db.worklist_records import (
    AnalysisRecord,
    InstanceRecord,
    ReviewRecord,
    StudyDetail,
)
from dicom_node.errors import DicomNodeError
from dicom_node.image_label import ImageLabel, image_number
from dicom_node.sop_classes import RADIOGRAPH_SOP_CLASSES
from worklist.parts import Pictures

OVERLAY, REPORT = "overlay", "report"
"""Kinds of result objects, as the ledger has them."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture to look at."""

    number: int
    finding: NewFinding | None
    """None: nothing has been said of it yet."""
    has_heatmap: bool


@dataclass(frozen=True, slots=True)
class Image:
    """One received instance."""

    number: str
    """Series and instance number, or the place in the study, as in the report."""
    place: str
    """Body part, view and side; "" where not known."""
    instance: InstanceRecord
    frames: tuple[Frame, ...]
    """Those that may have a picture; of one that was not analysed whole, the first."""
    reviews: tuple[ReviewRecord, ...]
    """As they were entered."""

    @property
    def findings(self) -> list[NewFinding]:
        """What is said of its frames."""
        return [frame.finding for frame in self.frames if frame.finding is not None]

    @property
    def is_radiograph(self) -> bool:
        """Whether there is a picture of it to show."""
        return self.instance.sop_class_uid in RADIOGRAPH_SOP_CLASSES

    @property
    def can_be_reviewed(self) -> bool:
        """Whether something was said of it."""
        return any(finding.analysed for finding in self.findings)

    @property
    def is_flagged(self) -> bool:
        """Whether a fracture is said to be in it."""
        return any(finding.operating_point for finding in self.findings)

    @property
    def review(self) -> ReviewRecord | None:
        """The one in force."""
        return next((one for one in self.reviews if one.superseded_at is None), None)


def images_of(study: StudyDetail, pictures: Pictures) -> list[Image]:
    """In the order in which the analysis and its report take them: by series, then instance."""
    current = study.current
    shown = {} if current is None else heatmaps(current, pictures)
    ordered = sorted(
        (instance for instance in study.instances if instance.discarded_at is None),
        key=lambda one: (one.series_instance_uid, one.sop_instance_uid),
    )
    labels = [_label(instance, pictures) for instance in ordered]
    numbers: list[str] = []
    for position, label in enumerate(labels, start=1):
        numbers.append(image_number(label, position, numbers))
    return [
        Image(
            number,
            label.place,
            instance,
            _frames(instance.sop_instance_uid, current, shown),
            tuple(
                one
                for one in study.reviews
                if one.review.sop_instance_uid == instance.sop_instance_uid
            ),
        )
        for number, label, instance in zip(numbers, labels, ordered, strict=True)
    ]


def _label(instance: InstanceRecord, pictures: Pictures) -> ImageLabel:
    """Nothing of one whose file is purged or damaged."""
    if instance.purged_at is None:
        try:
            return pictures.label(instance.path)
        except DicomNodeError:
            pass
    return ImageLabel("", "")


def heatmaps(analysis: AnalysisRecord, pictures: Pictures) -> dict[tuple[str, int], ResultSummary]:
    """(SOP Instance UID, frame number) → the heatmap over it; none that is purged or damaged."""
    found = {}
    for result in analysis.results:
        if result.kind != OVERLAY or result.purged_at is not None:
            continue
        try:
            found[pictures.heatmap_source(result.path)] = result
        except DicomNodeError:
            continue
    return found


def result_of_kind(analysis: AnalysisRecord, kind: str) -> ResultSummary | None:
    """The first one."""
    return next((one for one in analysis.results if one.kind == kind), None)


def _frames(
    sop_instance_uid: str,
    analysis: AnalysisRecord | None,
    shown: dict[tuple[str, int], ResultSummary],
) -> tuple[Frame, ...]:
    findings = [] if analysis is None else analysis.findings
    own = [one for one in findings if one.sop_instance_uid == sop_instance_uid]
    if not own:
        return (Frame(1, None, has_heatmap=False),)
    return tuple(
        Frame(
            max(finding.frame_number, 1),
            finding,
            has_heatmap=finding.rows is not None
            and (sop_instance_uid, finding.frame_number) in shown,
        )
        for finding in own
    )
