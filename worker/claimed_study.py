"""A claimed study: its sources, and its screening put into the ledger."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import structlog
from pydicom import Dataset

from db.ledger import Ledger
from db.records import ClaimedStudy, Conclusion, StudyHeader
from models.prediction import ModelIdentity
from worker.composition import utc_now
from worker.flags import Flags, make_flags
from worker.patient_identity import DIFFERENT_PATIENTS
from worker.results import Source
from worker.screening import Looked, Screener, Screening
from worker.settings import Settings
from worker.study_header import first_header, header_of_patients, study_header

_log = structlog.get_logger(__name__)


def sources_of(settings: Settings, claim: ClaimedStudy) -> list[Source]:
    """Its instances, as they lie in the data folder."""
    root = settings.data_folder.resolve()
    return [
        Source(
            instance.sop_instance_uid,
            instance.sop_class_uid,
            instance.sha256,
            root / instance.path,
            instance.purged,
            None if instance.patient_path is None else root / instance.patient_path,
        )
        for instance in claim.instances
    ]


def screen_claim(
    settings: Settings,
    screener: Screener,
    claim: ClaimedStudy,
    sources: Sequence[Source],
    *,
    looked_at: Sequence[Looked] | None = None,
) -> Screening:
    """Screen it and write its results; what a sweep brought says so."""
    return screener.screen(
        claim.study_instance_uid,
        sources,
        root=settings.data_folder.resolve(),
        folder=f"{settings.results_folder.name}/{claim.study_id}",
        revision=claim.revision,
        looked_at=looked_at,
        retrospective=claim.sweep_id is not None,
    )


def record_screening(
    settings: Settings,
    ledger: Ledger,
    claim: ClaimedStudy,
    sources: Sequence[Source],
    model: ModelIdentity,
    screening: Screening,
    started_at: datetime,
    *,
    sends: bool = True,
) -> bool:
    """Conclude the study; False if it moved on meanwhile.

    Args:
        sends: whether its results go out; False: they are kept here.
    """
    header = first_header(sources)
    # Before anything uses a value of the header: its bytes are kept as they were sent.
    recorded_header = _header(screening, header)
    if screening.patients:  # a message names one patient, and which one is not known
        flags = Flags(withheld=DIFFERENT_PATIENTS if settings.receivers else None)
    else:
        flags = make_flags(
            settings, claim, sources, model, screening, header, utc_now(), sends=sends
        )
    destinations = settings.pacs_names if sends else ()
    results = [replace(one, destinations=destinations) for one in screening.results]
    conclusion = Conclusion(
        model_name=model.name,
        model_version=model.version,
        model_digest=model.digest,
        outcome=screening.verdict.outcome,
        reason=screening.verdict.reason,
        probability=screening.verdict.probability,
        findings=screening.findings,
        results=(*results, *flags.messages),
        header=recorded_header,
        unflagged_reason=flags.withheld,
        identity_conflict=bool(screening.patients),
    )
    recorded = ledger.conclude(claim, conclusion, started_at)
    _log.info(
        "study_screened" if recorded else "study_moved_on",
        study_instance_uid=claim.study_instance_uid,
        study_id=claim.study_id,
        revision=claim.revision,
        outcome=screening.verdict.outcome,
        seconds=round((utc_now() - started_at).total_seconds(), 3),
        messages=len(flags.messages),
        no_message=flags.withheld,
    )
    return recorded


def _header(screening: Screening, header: Dataset | None) -> StudyHeader | None:
    if header is None:
        return None
    recorded = study_header(header, screening.findings)
    return header_of_patients(recorded, screening.patients) if screening.patients else recorded
