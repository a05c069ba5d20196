"""`/studies/{uid}`: one study with its pictures, and the reader's answer about each image."""

from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Form, HTTPException, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from db.errors import CorrectionRefused
from db.ledger import Ledger
from db.outcomes import Outcome
from db.records import purged_on
from db.reviews import NewReview
from db.states import ReviewOutcome
from db.worklist_records import StudyDetail
from worklist import words
from worklist.corrections import StudyIdentities
from worklist.feedback import BOX, AnswerRefused, box_of_form, choices_for, review_of
from worklist.images import OVERLAY, REPORT, Image, heatmaps, images_of, result_of_kind
from worklist.pages.reading import InReach, Reading
from worklist.people import trail
from worklist.people.access import Admin, CsrfChecked, Reader, RequestRefused, SignedIn
from worklist.people.origin import client_address
from worklist.templating import page

router = APIRouter(include_in_schema=False)

Uid = Annotated[str, Path(max_length=64, pattern=r"^[0-9.]+$")]


@router.get("/studies/{study_instance_uid}")
def study(request: Request, reading: InReach, who: Reader, study_instance_uid: Uid) -> HTMLResponse:
    """Notes that it was opened."""
    found = open_study(request, reading, who, study_instance_uid)
    return _page(request, reading, who, found)


@router.post("/studies/{study_instance_uid}/reviews", dependencies=[CsrfChecked])
def review(
    request: Request,
    reading: InReach,
    who: Reader,
    study_instance_uid: Uid,
    sop_instance_uid: Annotated[str, Form(max_length=64)],
    analysis_revision: Annotated[int, Form(ge=0, le=2**31 - 1)],
    outcome: Annotated[ReviewOutcome | None, Form()] = None,
    box_left: Annotated[str, Form()] = "",
    box_top: Annotated[str, Form()] = "",
    box_width: Annotated[str, Form()] = "",
    box_height: Annotated[str, Form()] = "",
) -> Response:
    """Enters the answer and shows the study again."""
    found = known_study(reading, study_instance_uid)
    image = image_of(reading, found, sop_instance_uid, analysis_revision)
    form = dict(zip(BOX, (box_left, box_top, box_width, box_height), strict=True))
    try:
        if outcome is None:
            raise AnswerRefused("Choose one of the answers.")
        box = box_of_form(form)
        enter_review(request, reading, who, found, image, outcome, box)
    except AnswerRefused as refusal:
        chosen = form | {"outcome": outcome or ""}
        problem: dict[str, object] = {"image": image.number, "words": str(refusal), "form": chosen}
        return _page(request, reading, who, found, problem, status_code=422)
    return RedirectResponse(
        f"/studies/{found.study_instance_uid}?saved={image.number}#image-{image.number}", 303
    )


@router.post("/studies/{study_instance_uid}/retry", dependencies=[CsrfChecked])
def retry(request: Request, reading: InReach, who: Admin, study_instance_uid: Uid) -> Response:
    """Have a FAILED study screened again, as its next revision; then the study again."""
    parts = reading.parts
    details = {"address": client_address(request)}
    if not Ledger(parts.engine, parts.clock).retry_failed(study_instance_uid, who.name, details):
        raise RequestRefused(409, "The study is not failed any more: open it again.", who)
    return RedirectResponse(f"/studies/{study_instance_uid}", 303)


@router.post("/studies/{study_instance_uid}/identities", dependencies=[CsrfChecked])
def resolve(
    request: Request,
    reading: InReach,
    who: Admin,
    study_instance_uid: Uid,
    keep: Annotated[str, Form(max_length=64, pattern=r"^[0-9.]+$")],
    others: Annotated[Literal["discard", "accept"], Form()],
) -> Response:
    """Says whose study it is; then the study again."""
    try:
        reading.parts.corrector.resolve(
            study_instance_uid,
            keep,
            same_patient=others == "accept",
            actor=who.name,
            details={"address": client_address(request)},
        )
    except CorrectionRefused as refusal:
        raise RequestRefused(409, f"Not done: {refusal}.", who) from None
    return RedirectResponse(f"/studies/{study_instance_uid}", 303)


def known_study(reading: Reading, study_instance_uid: str) -> StudyDetail:
    """Or 404."""
    found = reading.worklist.study(study_instance_uid)
    if found is None:
        raise HTTPException(404, "No study of this UID was received here.")
    return found


def open_study(
    request: Request, reading: Reading, who: SignedIn, study_instance_uid: str
) -> StudyDetail:
    """A study that somebody looks at from now on."""
    found = known_study(reading, study_instance_uid)
    if found.current is not None:
        reading.worklist.note_opened(found.study_id, found.current.verdict.revision)
    trail.record(request, who, "opened study", study_instance_uid)
    return found


def image_of(
    reading: Reading, study: StudyDetail, sop_instance_uid: str, analysis_revision: int
) -> Image:
    """The image that an answer is about; 409 where it answers what holds no longer."""
    if study.current is None or study.current.verdict.revision != analysis_revision:
        raise HTTPException(
            409, "The study was analysed anew while you looked at it: open it again."
        )
    images = images_of(study, reading.parts.pictures)
    for image in images:
        if image.instance.sop_instance_uid == sop_instance_uid:
            return image
    raise HTTPException(404, "The study has no such image.")


def enter_review(
    request: Request,
    reading: Reading,
    who: SignedIn,
    study: StudyDetail,
    image: Image,
    outcome: ReviewOutcome,
    box: tuple[int, int, int, int] | None,
) -> NewReview:
    """The review that was entered. Raises AnswerRefused."""
    review = review_of(image, outcome, box, who.name, reading.parts.clock())
    reading.reviews.record([review])
    trail.record(
        request,
        who,
        "reviewed",
        study.study_instance_uid,
        sop_instance_uid=review.sop_instance_uid,
        outcome=outcome.value,
    )
    return review


def _page(
    request: Request,
    reading: Reading,
    who: SignedIn,
    study: StudyDetail,
    problem: dict[str, object] | None = None,
    status_code: int = 200,
) -> HTMLResponse:
    images = images_of(study, reading.parts.pictures)
    current = study.current
    return page(
        request,
        "study.html",
        who,
        status_code=status_code,
        study=study,
        current=current,
        images=images,
        missing_files=_missing_files(reading, study),
        choices_for=choices_for,
        problem=problem,
        saved=request.query_params.get("saved", ""),
        result_names=_result_names(reading, study, images),
        report=None if current is None else result_of_kind(current, REPORT),
        purged_on=purged_on,
        identities=_identities(reading, study),
        viewer_link=viewer_link(reading.parts.viewer_url, study.study_instance_uid),
        words=words,
    )


def _missing_files(reading: Reading, study: StudyDetail) -> frozenset[str]:
    """SOP Instance UIDs whose stored files are gone, if the analysis in force failed.

    For these the page asks for no picture.
    """
    if study.current is None or study.current.verdict.outcome is not Outcome.FAILED:
        return frozenset()
    return frozenset(
        one.sop_instance_uid
        for one in study.instances
        if one.purged_at is None and not (reading.parts.data_folder / one.path).is_file()
    )


def _identities(reading: Reading, study: StudyDetail) -> StudyIdentities | None:
    """Who is in a study that is held; None: it is not, and no file is read for it."""
    if study.current is None or not study.current.identity_conflict:
        return None
    return reading.parts.corrector.identities(study.study_instance_uid)


def viewer_link(template: str, study_instance_uid: str) -> str:
    """Into the hospital's viewer; "": there is none."""
    return template.replace("{study_instance_uid}", quote(study_instance_uid, safe=""))


def _result_names(reading: Reading, study: StudyDetail, images: list[Image]) -> dict[str, str]:
    """SOP Instance UID of a result of the current analysis → what people call it."""
    if study.current is None:
        return {}
    numbers = {image.instance.sop_instance_uid: image.number for image in images}
    names = {
        result.sop_instance_uid: words.RESULTS.get(result.kind, result.kind)
        for result in study.current.results
    }
    for (source, _), result in heatmaps(study.current, reading.parts.pictures).items():
        if source in numbers:
            names[result.sop_instance_uid] = f"{words.RESULTS[OVERLAY]} of image {numbers[source]}"
    return names
