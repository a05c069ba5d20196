"""Steps 5 to 7 for one study: read, classify and explain, conclude, write the result objects.

The same for the Celery task and the offline command: it knows files, no database and no broker.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Protocol

from pydicom import Dataset

from db.outcomes import Grade, Outcome, grade_word, percent
from db.records import NewFinding, NewResultObject, PurgedInstance, purged_on
from dicom_node.errors import UnreadableInstance
from dicom_node.patient import PatientFacts, patient_facts
from dicom_node.radiograph import (
    NotEligible,
    PixelLimits,
    Radiograph,
    Reason,
    read_radiographs,
)
from dicom_node.stated_body_part import stated_value
from models.classifier import Classification, Classifier
from models.prediction import ModelIdentity
from models.preprocessing import shows_nothing
from worker.conclude import Verdict, conclude
from worker.patient_identity import DIFFERENT_PATIENTS, identities
from worker.results import (
    ClassifiedFrame,
    ResultWriter,
    Source,
    header_or_nothing,
    named_as_accepted,
)
from worker.twins import twin_positions

LONGEST_DEVICE = 200
BLANK = "the image is blank: a single shade"
FOREIGN = "the image is outside the model's scope: unlike the radiographs that it learned from"
TWIN = "for processing; its twin for presentation was analysed"
LEFT_OUT_REASONS = frozenset({Reason.NOT_CR_OR_DX, Reason.OWN_RESULT, Reason.OUTSIDE_SCOPE})
"""Reasons that leave a study free to be NEGATIVE: no radiograph, or surely one of something else.

Every other one leaves a radiograph unseen that may show a fracture.
"""


@dataclass(frozen=True, slots=True)
class Screening:
    """What one analysis of a study gave; the result objects are durable on disk."""

    verdict: Verdict
    findings_by_source: tuple[tuple[NewFinding, ...], ...]
    """In the order of the sources: one per frame, or one that says why none was analysed."""
    results: tuple[NewResultObject, ...]
    patients: tuple[PatientFacts, ...] = ()
    """Of a study that is held: the different patients that its instances name."""

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

    @property
    def analysed(self) -> bool:
        """Whether all of it was."""
        return all(finding.analysed for finding in self.findings)


@dataclass(frozen=True, slots=True, eq=False)
class ReadSource:
    """An instance whose radiographs wait to be classified."""

    source: Source
    radiographs: tuple[Radiograph, ...]

    @property
    def pixels(self) -> int:
        """Of all its radiographs."""
        return sum(radiograph.pixels.size for radiograph in self.radiographs)


class ReadRadiographs(Protocol):
    """Reads an instance as `read_radiographs` does, here or in another process."""

    def __call__(
        self, path: Path, *, limits: PixelLimits, scope: Collection[str] | None
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
        looked_at: Sequence[Looked] | None = None,
        retrospective: bool = False,
    ) -> Screening:
        """Screen one study and write its result objects to `root`/`folder`.

        Instances are taken one by one, so that a study of many large radiographs never is in
        memory at once. One that cannot be read is a finding with its reason, never an exception.
        Instances that name different patients are held: nothing is analysed and nothing written.
        The result objects' paths are relative to `root`.

        Args:
            looked_at: the sources after `look_at` and `leave_out_twins`, where they were looked at
                before.
            retrospective: whether the results are to say that they were made for a sweep.
        """
        held = held_for_identity(sources)
        if held is not None:
            return held
        writer = ResultWriter(
            self._classifier.bundle,
            study_instance_uid,
            root=root,
            folder=folder,
            revision=revision,
            now=self._clock(),
            variant=self._variant,
            retrospective=retrospective,
        )
        seen: dict[int, Looked] = {}
        for position, looked in (
            self.look_at_all(sources) if looked_at is None else enumerate(looked_at)
        ):
            source = sources[position]
            seen[position] = replace(looked, frames=())
            writer.add_frames(source, looked.frames)
            for finding in looked.findings:
                if not finding.analysed or source.purged is not None:
                    reason = _as_before(finding) if finding.analysed else finding.reason
                    writer.add_not_analysed(source, reason, finding.frame_number)
        without_results = screening_of([seen[position] for position in range(len(sources))])
        writer.add_report(without_results.verdict)
        return replace(without_results, results=writer.written)

    def look_at_all(self, sources: Sequence[Source]) -> Iterator[tuple[int, Looked]]:
        """Look at each source of a study, one by one; its position, and what was seen.

        Images for processing that have a twin come last, and are read only where the twin was not
        analysed. Raises as `look_at`.
        """
        twins = twin_positions(sources)
        analysed: set[int] = set()
        for position in sorted(range(len(sources)), key=twins.__contains__):
            if twins.get(position) in analysed:
                yield position, _left_out_for_twin(sources[position])
                continue
            looked = self.look_at(sources[position])
            if looked.analysed:
                analysed.add(position)
            yield position, looked

    def look_at(self, source: Source) -> Looked:
        """Read, classify and explain one instance; nothing is written.

        Raises:
            OSError: the file is not there. That is our trouble, not the instance's: the attempt
                fails and may be repeated.
            ReadingFailed: reading crashed, hung or took too much memory; the attempt fails too.
        """
        return next(self.classify([self.read(source, self._read)]))

    def read(self, source: Source, read: ReadRadiographs) -> Looked | ReadSource:
        """The first half of `look_at`, for any thread: what the second one needs, or the end of it.

        Raises as `look_at`.
        """
        if source.purged is not None:
            return _of_purged(source, source.purged, self.model)
        source.path.stat()
        try:
            radiographs = read(
                source.path, limits=self._limits, scope=self._classifier.bundle.body_parts
            )
            radiographs = [
                replace(radiograph, reference=named_as_accepted(source, radiograph.reference))
                for radiograph in radiographs
            ]
        except NotEligible as error:
            unread = int(error.reason not in LEFT_OUT_REASONS)
            return _not_analysed(source, str(error), unread=unread)
        except UnreadableInstance as error:
            return _not_analysed(
                source, f"cannot be read: {error}", unread=int(source.is_radiograph)
            )
        preprocessing = self._classifier.bundle.preprocessing
        if all(shows_nothing(radiograph.pixels, preprocessing) for radiograph in radiographs):
            return _not_analysed(source, BLANK, unread=1)
        return ReadSource(source, tuple(radiographs))

    def classify(self, sources: Sequence[Looked | ReadSource]) -> Iterator[Looked]:
        """The second half, of several instances at once; in their order."""
        radiographs = [
            radiograph
            for source in sources
            if isinstance(source, ReadSource)
            for radiograph in source.radiographs
        ]
        classified = iter(
            self._classifier.classify(
                [radiograph.pixels for radiograph in radiographs],
                [self._region(radiograph) for radiograph in radiographs],
            )
        )
        for source in sources:
            if isinstance(source, Looked):
                yield source
            else:
                yield self._looked(source, list(islice(classified, len(source.radiographs))))

    def _region(self, radiograph: Radiograph) -> str:
        """The region whose operating points are used: the term as stated, or what it stands for."""
        stated = radiograph.body_part_examined
        known = self._classifier.bundle.region_operating_points
        return stated if stated in known else radiograph.body_part.region

    def _looked(self, read: ReadSource, classified: Sequence[Classification]) -> Looked:
        rejected = [one.outside_scope and self._reject_outside_scope for one in classified]
        if all(rejected):
            return _not_analysed(read.source, FOREIGN, unread=len(rejected))
        frames = [
            ClassifiedFrame(radiograph, prediction, saliency)
            for radiograph, (prediction, saliency, _) in zip(
                read.radiographs, classified, strict=True
            )
        ]
        findings = tuple(
            _foreign_frame(frame) if outside else _finding(frame)
            for frame, outside in zip(frames, rejected, strict=True)
        )
        kept = tuple(frame for frame, outside in zip(frames, rejected, strict=True) if not outside)
        return Looked(findings, kept, unread=sum(rejected))


def leave_out_twins(sources: Sequence[Source], looked_at: Sequence[Looked]) -> list[Looked]:
    """Return what was seen without images for processing whose twin was analysed.

    Args:
        sources: of one study.
        looked_at: each of them after `look_at`.
    """
    left_out = {
        position for position, twin in twin_positions(sources).items() if looked_at[twin].analysed
    }
    return [
        _left_out_for_twin(source) if position in left_out else looked
        for position, (source, looked) in enumerate(zip(sources, looked_at, strict=True))
    ]


def screening_of(looked_at: Sequence[Looked]) -> Screening:
    """What an analysis says, without any result object."""
    findings = tuple(looked.findings for looked in looked_at)
    unread = sum(looked.unread for looked in looked_at)
    verdict = conclude(list(chain.from_iterable(findings)), unread=unread)
    return Screening(verdict, findings, ())


def held_for_identity(sources: Sequence[Source]) -> Screening | None:
    """Return the end of a study whose instances name different patients; None: they do not.

    Instances whose file was purged or whose header cannot be read name nobody.
    """
    present = [source for source in sources if source.purged is None]
    if len(present) < 2:
        return None
    headers = ((source, header_or_nothing(source)) for source in present)
    found = identities(
        (source.sop_instance_uid, patient_facts(header))
        for source, header in headers
        if "StudyInstanceUID" in header
    )
    if len(found) < 2:
        return None
    findings = tuple(
        (NewFinding(source.sop_instance_uid, 0, analysed=False, reason=DIFFERENT_PATIENTS),)
        for source in sources
    )
    verdict = Verdict(Outcome.NOT_ANALYSED, DIFFERENT_PATIENTS, None)
    return Screening(verdict, findings, (), tuple(identity.patient for identity in found))


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
        body_part_examined=None if header is None else stated_value(header)[:LONGEST_DEVICE],
        device=None if header is None else device_of(header),
    )
    return Looked((finding,), unread=unread)


def _left_out_for_twin(source: Source) -> Looked:
    """Nothing is unread, and no device is blamed: the exposure was looked at."""
    return Looked((NewFinding(source.sop_instance_uid, 0, analysed=False, reason=TWIN),))


def _of_purged(source: Source, purged: PurgedInstance, model: ModelIdentity) -> Looked:
    """What the same model said of it holds: a late image takes no finding back.

    What another model said is not this one's word: the radiograph counts as not seen.
    """
    said = [one for one in purged.findings if one.analysed]
    if said and purged.model_digest == model.digest:
        unread = sum(not one.analysed for one in purged.findings) if source.is_radiograph else 0
        return Looked(purged.findings, unread=unread)
    before = f", where another model said: {_words(said)}" if said else ""
    reason = f"its file was {purged_on(purged.purged_at)}{before}"
    unread = int(source.is_radiograph)
    finding = NewFinding(source.sop_instance_uid, 0, analysed=False, reason=reason)
    return Looked((finding,), unread=unread)


def _as_before(finding: NewFinding) -> str:
    return f"as analysed before, its file was purged since: {_words([finding])}"


def _words(findings: Sequence[NewFinding]) -> str:
    highest = max(findings, key=lambda one: one.probability or 0.0)
    return f"{grade_word(Grade(highest.operating_point))} ({percent(highest.probability)})"


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
        reason=" ".join(frame.radiograph.notes),
    )
