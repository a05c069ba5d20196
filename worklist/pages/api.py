"""`/api`: what the pages show, as JSON for those who have signed in."""

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from db.outcomes import Outcome
from db.states import DeliveryState, ReviewOutcome, StudyState
from db.worklist_records import (
    AnalysisRecord,
    InstanceRecord,
    PatientHeader,
    ReviewRecord,
    StudyDetail,
    Verdict,
    WorklistFilter,
    WorklistLine,
)
from worklist.feedback import AnswerRefused
from worklist.pages.query import (
    CURSOR_PATTERN,
    LONGEST_SEARCH,
    cursor_text,
    parse_cursor,
    parse_filter,
)
from worklist.pages.reading import InReach
from worklist.pages.study import Uid, enter_review, image_of, known_study, open_study
from worklist.people.access import CsrfChecked, Reader

router = APIRouter(prefix="/api")


def _require_iso(text: object) -> object:
    if isinstance(text, str) and not _ISO_DAY.fullmatch(text):
        raise ValueError("not a day as 2026-03-04")
    return text


_ISO_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_Day = Annotated[date, BeforeValidator(_require_iso)]
_Cursor = Annotated[str, Query(pattern=f"^({CURSOR_PATTERN})?$")]
_Uid = Annotated[str, Field(max_length=64, pattern=r"^[0-9.]+$")]


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str


class Patient(BaseModel):
    """What the study's first radiograph says; "" and null: nothing."""

    model_config = ConfigDict(from_attributes=True)

    patient_name: str
    patient_id: str
    patient_birth_date: date | None
    patient_sex: str
    accession_number: str
    study_date: date | None
    study_description: str
    body_parts: str


class Answer(BaseModel):
    """What an analysis says of its study."""

    revision: int
    outcome: Outcome
    reason: str
    probability: float | None
    model_name: str
    model_version: str
    finished_at: datetime


class StudyLine(BaseModel):
    """One study of the list."""

    study_instance_uid: str
    state: StudyState
    revision: int
    received_at: datetime
    source: Literal["triage", "sweep"]
    opened: bool
    reviewed: bool
    patient: Patient | None
    analysis: Answer | None
    """null: it has no outcome yet."""


class StudyList(BaseModel):
    """Up to 50 studies, newest first, and the cursors around them."""

    studies: list[StudyLine]
    before: str | None
    """Ask with it for what is newer."""
    after: str | None
    """Ask with it for what is older."""


class Box(BaseModel):
    """In pixels of the radiograph, 0-based."""

    left: int = Field(ge=0, le=100_000)
    top: int = Field(ge=0, le=100_000)
    width: int = Field(ge=1, le=100_000)
    height: int = Field(ge=1, le=100_000)


class GivenReview(BaseModel):
    """One reader's answer about one image."""

    sop_instance_uid: str
    outcome: ReviewOutcome
    fractured: bool | None
    reader: str
    reviewed_at: datetime
    superseded_at: datetime | None
    box: Box | None


class NewReview(BaseModel):
    """An answer to be entered, in the name of who is signed in."""

    model_config = ConfigDict(extra="forbid")

    study_instance_uid: _Uid
    analysis_revision: int = Field(ge=0, le=2**31 - 1)
    """Of the analysis that it answers: another one since then refuses it."""
    sop_instance_uid: _Uid
    outcome: ReviewOutcome
    box: Box | None = None


class ImageFinding(BaseModel):
    """What is said of one frame of an instance."""

    model_config = ConfigDict(from_attributes=True)

    sop_instance_uid: str
    frame_number: int
    """0: of the whole instance."""
    analysed: bool
    reason: str
    probability: float | None
    operating_point: str
    body_part_examined: str | None
    rows: int | None
    columns: int | None


class ResultDelivery(BaseModel):
    """How far a result object got towards one destination."""

    model_config = ConfigDict(from_attributes=True)

    destination: str
    state: DeliveryState
    attempts: int
    last_status: int | None
    last_error: str
    sent_at: datetime | None


class Result(BaseModel):
    """One result object."""

    model_config = ConfigDict(from_attributes=True)

    sop_instance_uid: str
    kind: str
    deliveries: list[ResultDelivery]


class Analysis(Answer):
    """One analysis of a study, with what it found and made."""

    started_at: datetime
    superseded_at: datetime | None
    source: Literal["triage", "sweep"]
    findings: list[ImageFinding]
    results: list[Result]


class ReceivedInstance(BaseModel):
    """One received instance."""

    sop_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    received_at: datetime
    status: Literal["waiting", "failed", "analysed", "not analysed"]
    """Of the analysis in force: of a FAILED study no image was analysed."""


class StudyAnswer(BaseModel):
    """Everything about one study."""

    study_instance_uid: str
    state: StudyState
    revision: int
    calling_ae_title: str
    received_at: datetime
    last_instance_at: datetime
    failure_reason: str
    patient: Patient | None
    instances: list[ReceivedInstance]
    analyses: list[Analysis]
    """Latest revision first."""
    reviews: list[GivenReview]
    """As they were entered."""


_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "What was sent makes no sense"},
    401: {"model": Problem, "description": "Not signed in"},
    403: {"model": Problem, "description": "Not allowed, or without the session's CSRF token"},
    503: {"model": Problem, "description": "The database cannot be reached"},
}
_UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "Not known"}}


@router.get("/studies", responses=_REFUSALS)
def list_studies(
    request: Request,
    reading: InReach,
    _who: Reader,
    outcome: Annotated[
        list[
            Literal[
                "POSITIVE",
                "DOUBTFUL",
                "INCOMPLETE",
                "NOT_ANALYSED",
                "FAILED",
                "NEGATIVE",
                "WAITING",
            ]
        ],
        Query(default_factory=list),
    ],
    source: Literal["", "triage", "sweep"] = "",
    body_part: Annotated[str, Query(max_length=LONGEST_SEARCH)] = "",
    model: Annotated[str, Query(max_length=512)] = "",
    since: _Day | None = None,
    until: _Day | None = None,
    q: Annotated[str, Query(max_length=LONGEST_SEARCH)] = "",
    before: _Cursor = "",
    after: _Cursor = "",
) -> StudyList:
    """Studies that meet every condition given, newest first."""
    del outcome, source, body_part, model, since, until, q  # documented here, read there
    wanted: WorklistFilter = parse_filter(
        request.query_params.multi_items(), reading.parts.time_zone
    )
    start = parse_cursor(before or after)
    page = reading.worklist.page(wanted, start, backwards=bool(before))
    return StudyList(
        studies=[_line(line) for line in page.lines],
        before=None if page.newer is None else cursor_text(page.newer),
        after=None if page.older is None else cursor_text(page.older),
    )


@router.get("/studies/{study_instance_uid}", responses=_REFUSALS | _UNKNOWN)
def show_study(
    request: Request, reading: InReach, who: Reader, study_instance_uid: Uid
) -> StudyAnswer:
    """One study; that it was opened is noted."""
    return _study(open_study(request, reading, who, study_instance_uid))


@router.get("/studies/{study_instance_uid}/reviews", responses=_REFUSALS | _UNKNOWN)
def list_reviews(reading: InReach, _who: Reader, study_instance_uid: Uid) -> list[GivenReview]:
    """All answers about a study's images, as they were entered."""
    return [_review(one) for one in known_study(reading, study_instance_uid).reviews]


@router.post(
    "/reviews",
    status_code=201,
    dependencies=[CsrfChecked],
    responses=_REFUSALS
    | _UNKNOWN
    | {409: {"model": Problem, "description": "The study was analysed anew"}},
)
def enter(request: Request, reading: InReach, who: Reader, answer: NewReview) -> GivenReview:
    """Enter an answer; a later one about the same image supersedes it."""
    study = known_study(reading, answer.study_instance_uid)
    image = image_of(reading, study, answer.sop_instance_uid, answer.analysis_revision)
    box = answer.box
    numbers = None if box is None else (box.left, box.top, box.width, box.height)
    try:
        review = enter_review(request, reading, who, study, image, answer.outcome, numbers)
    except AnswerRefused as refusal:
        raise HTTPException(400, str(refusal)) from None
    return _review(ReviewRecord(review, None))


@router.get("/openapi.json", include_in_schema=False)
def openapi(request: Request, _who: Reader) -> dict[str, Any]:
    """What this API is."""
    app = request.app
    return get_openapi(title=app.title, version=app.version, routes=app.routes)


def _line(line: WorklistLine) -> StudyLine:
    return StudyLine(
        study_instance_uid=line.study_instance_uid,
        state=line.state,
        revision=line.revision,
        received_at=line.received_at,
        source=_source(line.swept),
        opened=line.opened,
        reviewed=line.reviewed,
        patient=_patient(line.header),
        analysis=None if line.verdict is None else Answer(**_answer(line.verdict)),
    )


def _study(study: StudyDetail) -> StudyAnswer:
    return StudyAnswer(
        study_instance_uid=study.study_instance_uid,
        state=study.state,
        revision=study.revision,
        calling_ae_title=study.calling_ae_title,
        received_at=study.received_at,
        last_instance_at=study.last_instance_at,
        failure_reason=study.failure_reason,
        patient=_patient(study.header),
        instances=[_instance(study.current, one) for one in study.instances],
        analyses=[_analysis(one) for one in study.analyses],
        reviews=[_review(one) for one in study.reviews],
    )


def _instance(current: AnalysisRecord | None, instance: InstanceRecord) -> ReceivedInstance:
    return ReceivedInstance(
        sop_instance_uid=instance.sop_instance_uid,
        series_instance_uid=instance.series_instance_uid,
        sop_class_uid=instance.sop_class_uid,
        received_at=instance.received_at,
        status=_status(current, instance.sop_instance_uid),
    )


def _status(
    current: AnalysisRecord | None, sop_instance_uid: str
) -> Literal["waiting", "failed", "analysed", "not analysed"]:
    own = [] if current is None else current.findings
    findings = [one for one in own if one.sop_instance_uid == sop_instance_uid]
    if findings:
        return "analysed" if any(one.analysed for one in findings) else "not analysed"
    failed = current is not None and current.verdict.outcome is Outcome.FAILED
    return "failed" if failed else "waiting"


def _analysis(analysis: AnalysisRecord) -> Analysis:
    return Analysis(
        **_answer(analysis.verdict),
        started_at=analysis.started_at,
        superseded_at=analysis.superseded_at,
        source=_source(analysis.swept),
        findings=[ImageFinding.model_validate(one) for one in analysis.findings],
        results=[Result.model_validate(one) for one in analysis.results],
    )


def _answer(verdict: Verdict) -> dict[str, Any]:
    """Any: values of Answer's fields."""
    return {
        "revision": verdict.revision,
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "probability": verdict.probability,
        "model_name": verdict.model.name,
        "model_version": verdict.model.version,
        "finished_at": verdict.finished_at,
    }


def _review(record: ReviewRecord) -> GivenReview:
    review = record.review
    numbers = (review.box_left, review.box_top, review.box_width, review.box_height)
    left, top, width, height = numbers
    box = None
    if left is not None and top is not None and width is not None and height is not None:
        # As they were entered, perhaps from a table: not checked again.
        box = Box.model_construct(left=left, top=top, width=width, height=height)
    return GivenReview(
        sop_instance_uid=review.sop_instance_uid,
        outcome=review.outcome,
        fractured=review.fractured,
        reader=review.reader,
        reviewed_at=review.reviewed_at,
        superseded_at=record.superseded_at,
        box=box,
    )


def _patient(header: PatientHeader | None) -> Patient | None:
    return None if header is None else Patient.model_validate(header)


def _source(swept: bool) -> Literal["triage", "sweep"]:
    return "sweep" if swept else "triage"
