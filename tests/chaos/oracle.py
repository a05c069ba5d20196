"""What must hold after any kills, looked up in the files, the tables and the PACS themselves.

1. Every acknowledged instance has a row, its file has the row's digest, and its data set is byte
   for byte the one that was sent.
2. Every study ended; one that is SCREENED has a current analysis of its own revision that speaks of
   all its instances, one that FAILED has a reason. No revision has two analyses; every analysis
   that did not fail has exactly one report, and one heatmap per finding that reaches an operating
   point. The files of all result objects have the digests of their rows.
3. The PACS, which takes the same SOP Instance UID for the same object, holds nothing twice: it got
   no UID that the ledger doesn't know, and all copies of a UID had the same bytes. An object that
   it got again is excused only if the delivery worker was killed while it sent the copy before, or
   before that one's answer can have been recorded (5 s around its arrival): then the first answer
   was lost with the worker. What the ledger calls SENT the PACS has.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pynetdicom.dsutils import split_dataset
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, selectinload

from db.outcomes import Outcome
from db.states import DeliveryState, StudyState
from db.tables import Analysis, Delivery, Instance, ResultObject, Study
from tests.servers.scripted_pacs import Reception

ANSWER_RECORDED_WITHIN_S = 5.0


@dataclass(frozen=True)
class Evidence:
    """Everything a run leaves behind."""

    data_folder: Path
    engine: Engine
    acknowledged: Mapping[str, Path]
    refused: Sequence[str]
    receptions: Sequence[Reception]
    delivery_kills: Sequence[float]


def complaints(evidence: Evidence) -> list[str]:
    """All that does not hold; empty is what one wants."""
    with Session(evidence.engine) as session, session.begin():
        return [
            *(f"an instance was refused with {status}" for status in evidence.refused),
            *_lost_instances(session, evidence),
            *_studies_without_one_result(session, evidence),
            *_wrong_deliveries(session, evidence),
        ]


def data_set_digest(path: Path) -> str:
    """SHA-256 of a DICOM file's bytes after the file meta information."""
    _, offset = split_dataset(path)
    return hashlib.sha256(path.read_bytes()[offset:]).hexdigest()


def _lost_instances(session: Session, evidence: Evidence) -> Iterator[str]:
    rows = {row.sop_instance_uid: row for row in session.scalars(select(Instance))}
    for uid, sent in evidence.acknowledged.items():
        if uid not in rows:
            yield f"instance {uid} was acknowledged and has no row"
            continue
        file = evidence.data_folder / rows[uid].path
        if not file.is_file():
            yield f"instance {uid} was acknowledged and has no file"
        elif hashlib.sha256(file.read_bytes()).hexdigest() != rows[uid].sha256:
            yield f"instance {uid}: its file has another digest than its row"
        elif data_set_digest(file) != data_set_digest(sent):
            yield f"instance {uid}: the data set is not the one that was sent"


def _studies_without_one_result(session: Session, evidence: Evidence) -> Iterator[str]:
    analyses: dict[int, list[Analysis]] = defaultdict(list)
    loaded = (selectinload(Analysis.findings), selectinload(Analysis.results))
    for analysis in session.scalars(select(Analysis).options(*loaded)):
        analyses[analysis.study_id].append(analysis)
        yield from _wrong_results(analysis)
    for study in session.scalars(select(Study)):
        current = [one for one in analyses[study.id] if one.superseded_at is None]
        revisions = [one.revision for one in analyses[study.id]]
        name = f"study {study.study_instance_uid} ({study.state}, revision {study.revision})"
        if len(set(revisions)) != len(revisions):
            yield f"{name} has two analyses of one revision: {revisions}"
        if study.state not in (StudyState.SCREENED, StudyState.FAILED):
            yield f"{name} did not end"
        elif [one.revision for one in current] != [study.revision]:
            yield f"{name} has current analyses of {[one.revision for one in current]}"
        elif study.state is StudyState.FAILED and not study.failure_reason:
            yield f"{name} failed without a reason"
        elif study.state is StudyState.SCREENED:
            yield from _unmentioned_instances(session, study, current[0])
    for result in session.scalars(select(ResultObject)):
        file = evidence.data_folder / result.path
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != result.sha256:
            yield f"result object {result.sop_instance_uid}: file missing or not as frozen"


def _wrong_results(analysis: Analysis) -> Iterator[str]:
    if analysis.outcome is Outcome.FAILED:
        return
    kinds = [result.kind for result in analysis.results]
    flagged = sum(bool(finding.operating_point) for finding in analysis.findings)
    if kinds.count("report") != 1 or kinds.count("overlay") != flagged:
        yield f"analysis {analysis.id} has {flagged} flagged findings and the results {kinds}"


def _unmentioned_instances(session: Session, study: Study, analysis: Analysis) -> Iterator[str]:
    instances = set(
        session.scalars(select(Instance.sop_instance_uid).where(Instance.study_id == study.id))
    )
    found = {finding.sop_instance_uid for finding in analysis.findings}
    if found != instances:
        yield f"study {study.study_instance_uid}: the analysis lacks {instances - found}"


def _wrong_deliveries(session: Session, evidence: Evidence) -> Iterator[str]:
    copies: dict[str, list[Reception]] = defaultdict(list)
    for reception in evidence.receptions:
        copies[reception.sop_instance_uid].append(reception)
    known = {}
    rows = session.execute(
        select(ResultObject, Delivery).join(Delivery, Delivery.result_object_id == ResultObject.id)
    )
    for result, delivery in rows:
        uid = result.sop_instance_uid
        known[uid] = data_set_digest(evidence.data_folder / result.path)
        if delivery.state is DeliveryState.PENDING:
            yield f"delivery of {uid} is still PENDING: {delivery.last_error}"
        elif delivery.state is DeliveryState.FAILED and not delivery.last_error:
            yield f"delivery of {uid} is a dead letter without a reason"
        elif delivery.state is DeliveryState.SENT and uid not in copies:
            yield f"delivery of {uid} is SENT and the PACS has never seen it"
    for uid, received in copies.items():
        if {copy.digest for copy in received} != {known.get(uid)}:
            yield f"the PACS got {uid} with other bytes than were frozen, or it is unknown"
        for first, second in pairwise(received):
            if not _answer_was_lost(first, second, evidence.delivery_kills):
                yield f"the PACS got {uid} again although its first answer arrived"


def _answer_was_lost(first: Reception, second: Reception, kills: Sequence[float]) -> bool:
    # What the dead worker's socket still held may arrive a moment after it.
    begin, end = first.time - ANSWER_RECORDED_WITHIN_S, first.time + ANSWER_RECORDED_WITHIN_S
    return any(begin <= kill <= min(end, second.time) for kill in kills)
