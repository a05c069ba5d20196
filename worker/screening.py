"""Steps 5 to 7 for one study: read, classify and explain, conclude, write the result objects.

The same for the Celery task and the offline command: it knows files, no database and no broker.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Protocol

from pydicom import Dataset

from db.records import NewFinding, NewResultObject
from dicom_node.errors import UnreadableInstance
from dicom_node.radiograph import (
    NotEligible,
    PixelLimits,
    Radiograph,
    Reason,
    read_radiographs,
)
from models.classifier import Classifier
from models.prediction import ModelIdentity
from models.preprocessing import shows_nothing
from worker.conclude import Verdict, conclude
from worker.results import ClassifiedFrame, ResultWriter, Source, header_or_nothing

LONGEST_DEVICE = 200
BLANK = "the image is blank: a single shade"
FOREIGN = "the image is outside the model's scope: unlike the radiographs that it learned from"
UNREAD_REASONS = frozenset({Reason.UNDECODABLE, Reason.TOO_LARGE})
"""Reasons that leave a radiograph unseen, rather than out of what the model is for."""


@dataclass(frozen=True, slots=True)
class Screening:
    """What one analysis of a study gave; the result objects are durable on disk."""

    verdict: Verdict
    findings_by_source: tuple[tuple[NewFinding, ...], ...]
    """In the order of the sources: one per frame, or one that says why none was analysed."""
    results: tuple[NewResultObject, ...]

    @property
    def findings(self) -> tuple[NewFinding, ...]:
        """All findings of the study."""
        return tuple(chain.from_iterable(self.findings_by_source))


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """An instance after reading and classifying.

    `findings`: one per frame, or one that says why there is none. `unread`: how many of them are
    of radiographs within what the model is for, that nothing can be said of.
    """

    findings: tuple[NewFinding, ...]
    frames: tuple[ClassifiedFrame, ...] = ()
    """Those that were analysed."""
    unread: int = 0


class ReadRadiographs(Protocol):
    """Reads an instance as `read_radiographs` does, here or in another process."""

    def __call__(
        self, path: Path, *, limits: PixelLimits, scope: Collection[str]
    ) -> list[Radiograph]:
        """Every frame; raises NotEligible or UnreadableInstance."""


class Screener:
    """Screens studies with one classifier."""

    def __init__(
        self,
        classifier: Classifier,
        limits: PixelLimits,
        clock: Callable[[], datetime],
        read: ReadRadiographs = read_radiographs,
        *,
        reject_outside_scope: bool = True,
    ) -> None:
        """`reject_outside_scope`: don't analyse what the model says it knows nothing of."""
        self._reject_outside_scope = reject_outside_scope
        ignores_scope = classifier.bundle.scope is not None and not reject_outside_scope
        self._variant = ("scope ignored",) if ignores_scope else ()
        self._classifier = classifier
        self._read = read
        self._limits = limits
        self._clock = clock

    @property
    def model(self) -> ModelIdentity:
        """The model that speaks."""
        return self._classifier.bundle.identity

    def screen(
        self,
        study_instance_uid: str,
        sources: Sequence[Source],
        *,
        root: Path,
        folder: str,
        revision: int = 1,
    ) -> Screening:
        """Screen one study and write its result objects to `root`/`folder`.

        Instances are taken one by one, so that a study of many large radiographs never is in
        memory at once. One that cannot be read is a finding with its reason, never an exception.
        The result objects' paths are relative to `root`.
        """
        writer = ResultWriter(
            self._classifier.bundle,
            study_instance_uid,
            root=root,
            folder=folder,
            revision=revision,
            now=self._clock(),
            variant=self._variant,
        )
        findings: list[tuple[NewFinding, ...]] = []
        unread = 0
        for source in sources:
            looked = self.look_at(source)
            findings.append(looked.findings)
            unread += looked.unread
            writer.add_frames(source, looked.frames)
            for finding in looked.findings:
                if not finding.analysed:
                    writer.add_not_analysed(source, finding.reason, finding.frame_number)
        verdict = conclude(list(chain.from_iterable(findings)), unread=unread)
        writer.add_report(verdict)
        return Screening(verdict, tuple(findings), writer.written)

    def look_at(self, source: Source) -> Looked:
        """Read, classify and explain one instance; nothing is written.

        Raises:
            OSError: the file is not there. That is our trouble, not the instance's: the attempt
                fails and may be repeated.
            ReadingFailed: reading crashed, hung or took too much memory; the attempt fails too.
        """
        source.path.stat()
        try:
            radiographs = self._read(
                source.path, limits=self._limits, scope=self._classifier.bundle.body_parts
            )
        except NotEligible as error:
            return _not_analysed(source, str(error), unread=int(error.reason in UNREAD_REASONS))
        except UnreadableInstance as error:
            return _not_analysed(
                source, f"cannot be read: {error}", unread=int(source.is_radiograph)
            )
        preprocessing = self._classifier.bundle.preprocessing
        if all(shows_nothing(radiograph.pixels, preprocessing) for radiograph in radiographs):
            return _not_analysed(source, BLANK, unread=1)
        classified = self._classifier.classify(
            [radiograph.pixels for radiograph in radiographs],
            [radiograph.body_part_examined for radiograph in radiographs],
        )
        rejected = [one.outside_scope and self._reject_outside_scope for one in classified]
        if all(rejected):
            return _not_analysed(source, FOREIGN, unread=len(rejected))
        frames = [
            ClassifiedFrame(radiograph, prediction, saliency)
            for radiograph, (prediction, saliency, _) in zip(radiographs, classified, strict=True)
        ]
        findings = tuple(
            _foreign_frame(frame) if outside else _finding(frame)
            for frame, outside in zip(frames, rejected, strict=True)
        )
        kept = tuple(frame for frame, outside in zip(frames, rejected, strict=True) if not outside)
        return Looked(findings, kept, unread=sum(rejected))


def device_of(header: Dataset) -> str:
    """Manufacturer, model and station (PS3.3 C.7.5.1, General Equipment), what is stated of them.

    Equipment, never a person: which device sends other pictures than before is what drift is about.
    """
    keywords = ("Manufacturer", "ManufacturerModelName", "StationName")
    stated = (_stated(header, keyword) for keyword in keywords)
    return " ".join(value for value in stated if value)[:LONGEST_DEVICE]


def _not_analysed(source: Source, reason: str, *, unread: int) -> Looked:
    header = header_or_nothing(source) if source.is_radiograph else None
    finding = NewFinding(
        source.sop_instance_uid,
        0,
        analysed=False,
        reason=reason,
        body_part_examined=None if header is None else _stated(header, "BodyPartExamined").upper(),
        device=None if header is None else device_of(header),
    )
    return Looked((finding,), unread=unread)


def _stated(header: Dataset, keyword: str) -> str:
    """A short text; "" where it is not stated or cannot be read, which must not cost the study."""
    try:
        return " ".join(str(header.get(keyword) or "").split())[:LONGEST_DEVICE]
    except Exception:  # pydicom converts when a value is used and raises whatever it provokes
        return ""


def _foreign_frame(frame: ClassifiedFrame) -> NewFinding:
    """Of one frame among others that were analysed."""
    return NewFinding(
        frame.radiograph.sop_instance_uid,
        frame.radiograph.frame_number,
        analysed=False,
        reason=FOREIGN,
        body_part_examined=frame.radiograph.body_part_examined,
        device=device_of(frame.radiograph.reference),
    )


def _finding(frame: ClassifiedFrame) -> NewFinding:
    row, column = frame.saliency.peak(*frame.radiograph.pixels.shape)
    return NewFinding(
        sop_instance_uid=frame.radiograph.sop_instance_uid,
        frame_number=frame.radiograph.frame_number,
        analysed=True,
        probability=frame.prediction.probability,
        operating_point=frame.prediction.operating_point or "",
        peak_row=row,
        peak_column=column,
        body_part_examined=frame.radiograph.body_part_examined,
        device=device_of(frame.radiograph.reference),
        mean_intensity=float(frame.radiograph.pixels.mean()),
        rows=frame.radiograph.pixels.shape[0],
        columns=frame.radiograph.pixels.shape[1],
    )
