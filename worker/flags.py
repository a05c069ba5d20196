"""Step 7's messages: one per receiver of the settings that hears of the outcome, then frozen."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

import structlog
from pydicom import Dataset

from db.outcomes import GRADES, Grade, Outcome
from db.records import ClaimedStudy, NewFinding, NewResultObject
from db.states import FlagKind
from dicom_node.patient import date_of, text_of
from dicom_node.result_file import is_own_result, write_message
from dicom_node.sop_classes import REPORT_SOP_CLASSES
from dicom_node.uids import derived_uid
from models.prediction import ModelIdentity
from worker.results import Source, header_or_nothing
from worker.screening import Screening
from worker.settings import Hl7Receiver, Settings, WebhookReceiver
from worker.study_header import flag_patient
from worklist.flags.content import Flag, FlagImage, FlagModel, flag_uid
from worklist.flags.hl7 import Hl7Parties, MessageNotMade, build_message
from worklist.flags.webhook import build_body

SUFFIXES: Mapping[FlagKind, str] = MappingProxyType(
    {FlagKind.HL7: ".hl7", FlagKind.WEBHOOK: ".json"}
)
NOT_SENT = "the sweep sends nothing of this outcome"
NEVER = "made by a sweep, and sweep.notify_days is 0"
NO_DATE = "made by a sweep, and the study has no date"
TOO_OLD = "made by a sweep, and the study is older than sweep.notify_days"
REPORTED = "made by a sweep, and the study was reported before"

_log = structlog.get_logger(__name__)

Receiver = Hl7Receiver | WebhookReceiver


@dataclass(frozen=True, slots=True)
class Flags:
    """Messages, durable on disk; `withheld`: why some or all are missing, None: none is."""

    messages: tuple[NewResultObject, ...] = ()
    withheld: str | None = None


def make_flags(
    settings: Settings,
    claim: ClaimedStudy,
    sources: Sequence[Source],
    model: ModelIdentity,
    screening: Screening,
    header: Dataset | None,
    now: datetime,
    *,
    sends: bool,
) -> Flags:
    """The messages about one analysis.

    Who was told another outcome of the study is always told that it does not hold.

    Args:
        sends: whether results of this analysis go out at all.
    """
    if not settings.receivers:
        return Flags()
    outcome = screening.verdict.outcome
    wrong = {name for name, told in claim.told.items() if told is not outcome}
    hear = {one.name for one in settings.receivers if outcome in one.outcomes}
    header = header or Dataset()
    why = _why_not(settings, claim, sources, header, now, sends=sends)
    messages: list[NewResultObject] = []
    problems = [why] if why and hear - wrong else []
    for receiver in settings.receivers:
        if receiver.name not in (wrong if why else wrong | hear):
            continue
        corrected = receiver.name in claim.told
        flag = _flag(claim, model, screening, header, now, receiver.name, corrected=corrected)
        try:
            messages.append(_frozen(settings, claim, flag, receiver))
        except MessageNotMade as error:  # a study has its outcome whatever a header holds
            problems.append(f"message for {receiver.name} could not be made: {error}")
            _log.critical("flag_not_made", study_id=claim.study_id, reason=problems[-1])
    return Flags(tuple(messages), "; ".join(problems) or None)


def trial_flag(receiver: str, now: datetime) -> Flag:
    """A message about no study, which says so: of an outcome that alarms nobody."""
    return Flag(
        receiver=receiver,
        study_instance_uid=derived_uid("trial", now.isoformat()),
        accession_number="",
        study_date=None,
        patient=flag_patient(Dataset()),
        outcome=Outcome.NOT_ANALYSED,
        reason="test message: no study was analysed",
        probability=None,
        images=(),
        model=FlagModel("none", "0", ""),
        revision=1,
        corrected=False,
        retrospective=False,
        made_at=now,
        test=True,
    )


def content_for(flag: Flag, receiver: Receiver) -> bytes:
    """The message as it goes out to this receiver. Raises MessageNotMade."""
    if isinstance(receiver, WebhookReceiver):
        return build_body(
            flag, patient_data=receiver.patient_data, worklist_url=receiver.worklist_url
        )
    return build_message(
        flag,
        Hl7Parties(
            receiver.sending_application,
            receiver.sending_facility,
            receiver.receiving_application,
            receiver.receiving_facility,
        ),
    )


def kind_for(receiver: Receiver) -> FlagKind:
    """What it gets."""
    return FlagKind.WEBHOOK if isinstance(receiver, WebhookReceiver) else FlagKind.HL7


def _why_not(
    settings: Settings,
    claim: ClaimedStudy,
    sources: Sequence[Source],
    header: Dataset,
    now: datetime,
    *,
    sends: bool,
) -> str:
    """Why nobody is told of this analysis; "": they are.

    What a sweep finds is news only while the study is recent and nobody has reported it.
    """
    if not sends:
        return NOT_SENT
    if claim.sweep_id is None:
        return ""
    if not settings.sweep.notify_days:
        return NEVER
    study_date = date_of(header, "StudyDate")
    if study_date is None:
        return NO_DATE
    today = now.astimezone(settings.sweep.zone).date()
    if today - study_date > timedelta(days=settings.sweep.notify_days):
        return TOO_OLD
    return REPORTED if claim.reported_at_source or _holds_report(sources) else ""


def _holds_report(sources: Sequence[Source]) -> bool:
    """Whether a report that is not ours was received with the study."""
    return any(
        one.sop_class_uid in REPORT_SOP_CLASSES and not is_own_result(header_or_nothing(one))
        for one in sources
    )


def _flag(
    claim: ClaimedStudy,
    model: ModelIdentity,
    screening: Screening,
    header: Dataset,
    now: datetime,
    receiver: str,
    *,
    corrected: bool,
) -> Flag:
    verdict = screening.verdict
    return Flag(
        receiver=receiver,
        study_instance_uid=claim.study_instance_uid,
        accession_number=text_of(header, "AccessionNumber"),
        study_date=date_of(header, "StudyDate"),
        patient=flag_patient(header),
        outcome=verdict.outcome,
        reason=verdict.reason,
        probability=verdict.probability,
        images=tuple(map(_image, filter(_is_of_radiograph, screening.findings))),
        model=FlagModel(model.name, model.version, model.digest),
        revision=claim.revision,
        corrected=corrected,
        retrospective=claim.sweep_id is not None,
        made_at=now.replace(microsecond=0),
    )


def _is_of_radiograph(finding: NewFinding) -> bool:
    """Of the thousand images of a CT, sent by mistake, the study's reason says enough."""
    return finding.body_part_examined is not None


def _image(finding: NewFinding) -> FlagImage:
    outcome = GRADES[Grade(finding.operating_point)] if finding.analysed else Outcome.NOT_ANALYSED
    return FlagImage(
        sop_instance_uid=finding.sop_instance_uid,
        frame_number=finding.frame_number,
        outcome=outcome,
        probability=finding.probability,
        reason="" if finding.analysed else finding.reason,
        body_part_examined=finding.body_part_examined or "",
    )


def _frozen(
    settings: Settings, claim: ClaimedStudy, flag: Flag, receiver: Receiver
) -> NewResultObject:
    """On disk; one that an earlier attempt left there stays as it is."""
    kind = kind_for(receiver)
    uid = flag_uid(kind, flag)
    root = settings.data_folder.resolve()
    folder = root / settings.results_folder.name / str(claim.study_id)
    path = folder / f"{uid}{SUFFIXES[kind]}"
    if not path.is_file():
        write_message(content_for(flag, receiver), path)
    content = path.read_bytes()
    return NewResultObject(
        sop_instance_uid=uid,
        series_instance_uid="",
        sop_class_uid="",
        kind=kind,
        path=path.relative_to(root).as_posix(),
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        destinations=(receiver.name,),
    )
