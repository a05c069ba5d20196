"""Pictures and report of a study, as files for the browser; only what its ledger names."""

import hashlib
from collections.abc import Callable
from datetime import datetime

import anyio.to_thread
from fastapi import APIRouter, HTTPException, Request, Response

from db.records import purged_on
from db.worklist_records import AnalysisRecord, StudyDetail
from dicom_node.errors import DicomNodeError
from worklist.images import REPORT, heatmaps, result_of_kind
from worklist.pages.reading import InReach, Reading
from worklist.people.access import Reader

router = APIRouter(include_in_schema=False)

_PRIVATE = "private, no-cache"


@router.get("/studies/{study_instance_uid}/images/{sop_instance_uid}/{frame_number}/radiograph.png")
async def radiograph(
    request: Request,
    reading: InReach,
    _who: Reader,
    study_instance_uid: str,
    sop_instance_uid: str,
    frame_number: int,
) -> Response:
    """One frame as it is displayed, without any result."""

    def find() -> bytes:
        study = _study(reading, study_instance_uid)
        for instance in study.instances:
            if instance.sop_instance_uid == sop_instance_uid:
                _require_kept("the image", instance.purged_at)
                return reading.parts.pictures.radiograph(instance.path, frame_number)
        raise HTTPException(404, "the study has no such image")

    return await _answer(request, reading, find, "image/png")


@router.get("/studies/{study_instance_uid}/images/{sop_instance_uid}/{frame_number}/heatmap.png")
async def heatmap(
    request: Request,
    reading: InReach,
    _who: Reader,
    study_instance_uid: str,
    sop_instance_uid: str,
    frame_number: int,
) -> Response:
    """The current analysis's heatmap over that frame."""

    def find() -> bytes:
        analysis = _current(_study(reading, study_instance_uid))
        result = heatmaps(analysis, reading.parts.pictures).get((sop_instance_uid, frame_number))
        size = next(
            (
                (one.rows, one.columns)
                for one in analysis.findings
                if (one.sop_instance_uid, one.frame_number) == (sop_instance_uid, frame_number)
            ),
            (None, None),
        )
        if result is None or size[0] is None or size[1] is None:
            raise HTTPException(404, "the image has no heatmap")
        return reading.parts.pictures.heatmap(result.path, size[0], size[1])

    return await _answer(request, reading, find, "image/png")


@router.get("/studies/{study_instance_uid}/report")
async def report(
    request: Request, reading: InReach, _who: Reader, study_instance_uid: str
) -> Response:
    """The current analysis's report."""

    def find() -> bytes:
        result = result_of_kind(_current(_study(reading, study_instance_uid)), REPORT)
        if result is None:
            raise HTTPException(404, "the study has no report")
        _require_kept("the report", result.purged_at)
        return reading.parts.pictures.report(result.path)

    response = await _answer(request, reading, find, "application/pdf")
    response.headers["Content-Disposition"] = f'inline; filename="report-{study_instance_uid}.pdf"'
    return response


def _study(reading: Reading, study_instance_uid: str) -> StudyDetail:
    study = reading.worklist.study(study_instance_uid)
    if study is None:
        raise HTTPException(404, "the study is not known here")
    return study


def _require_kept(what: str, purged_at: datetime | None) -> None:
    if purged_at is not None:
        raise HTTPException(404, f"{what} was {purged_on(purged_at)}: the PACS has it")


def _current(study: StudyDetail) -> AnalysisRecord:
    if study.current is None:
        raise HTTPException(404, "the study has no outcome yet")
    return study.current


async def _answer(
    request: Request, reading: Reading, find: Callable[[], bytes], media_type: str
) -> Response:
    try:
        content = await anyio.to_thread.run_sync(find, limiter=reading.picture_slots)
    except DicomNodeError as error:
        raise HTTPException(404, f"it cannot be shown: {error}") from None
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": _PRIVATE}
    if request.headers.get("If-None-Match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)
