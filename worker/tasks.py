"""The Celery tasks: each claims its work in the ledger, calls the trunk and records what came."""

import os
import socket
from collections.abc import Callable
from datetime import timedelta

import structlog
from celery import Celery

from db.ledger import Ledger
from db.records import ClaimedStudy, Conclusion
from db.states import StudyState
from dicom_node.errors import ReadingFailed
from models.errors import BundleError
from models.prediction import ModelIdentity
from worker.app import CONFIRM_TASK, DELIVER_TASK, SCREEN_TASK, publish_study
from worker.composition import utc_now
from worker.confirmation import Confirmer
from worker.delivery import Deliverer
from worker.results import Source
from worker.screening import Screener, Screening
from worker.settings import Settings

_log = structlog.get_logger(__name__)


def owner_name() -> str:
    """Who holds a lease: this process, on this machine."""
    return f"{socket.gethostname()}:{os.getpid()}"


def register_screening(
    app: Celery,
    settings: Settings,
    ledger: Ledger,
    current_screener: Callable[[], Screener],
    after_screening: Callable[[ClaimedStudy, Screening, ModelIdentity], None] = lambda *_: None,
) -> None:
    """Add the task that screens a study.

    Args:
        current_screener: asked once per study, at its beginning.
        after_screening: told of each study whose conclusion is committed; whatever it raises is
            logged and costs the study nothing.
    """

    @app.task(name=SCREEN_TASK, shared=False)  # type: ignore[untyped-decorator]  # celery ships no types
    def screen_study(study_id: int, revision: int) -> None:
        lease = timedelta(seconds=settings.study.lease_s)
        claim = ledger.claim_study(study_id, revision, owner_name(), lease)
        if claim is None:
            _log.info("study_not_claimed", study_id=study_id, revision=revision)
            return
        broken: Exception | None = None
        screening: Screening | None = None
        try:
            screener = current_screener()
            screening = _screen(settings, ledger, screener, claim)
        except Exception as error:  # the boundary: the study must get its state
            broken = error
        # Not in the handler: were the ledger away too, Celery would log the first error's text.
        if broken is not None:
            _give_back(app, settings, ledger, claim, broken)
        elif screening is not None:
            _tell_after(after_screening, claim, screening, screener.model)


def register_delivery(app: Celery, deliverer: Deliverer, confirmer: Confirmer) -> None:
    """Add the tasks that send a study's due results to one destination and ask for them there."""

    @app.task(name=DELIVER_TASK, shared=False)  # type: ignore[untyped-decorator]  # celery ships no types
    def deliver_results(study_id: int, destination: str) -> None:
        deliverer.deliver(study_id, destination, owner_name())

    @app.task(name=CONFIRM_TASK)  # type: ignore[untyped-decorator]  # celery ships no types
    def confirm_results(study_id: int, destination: str) -> None:
        confirmer.confirm(study_id, destination)


def _screen(
    settings: Settings,
    ledger: Ledger,
    screener: Screener,
    claim: ClaimedStudy,
) -> Screening | None:
    """Screen and record; None if the study moved on meanwhile."""
    started_at = utc_now()
    root = settings.data_folder.resolve()
    sources = [
        Source(one.sop_instance_uid, one.sop_class_uid, one.sha256, root / one.path)
        for one in claim.instances
    ]
    screening = screener.screen(
        claim.study_instance_uid,
        sources,
        root=root,
        folder=f"{settings.results_folder.name}/{claim.study_id}",
        revision=claim.revision,
    )
    recorded = ledger.conclude(claim, _conclusion(settings, screener.model, screening), started_at)
    _log.info(
        "study_screened" if recorded else "study_moved_on",
        study_instance_uid=claim.study_instance_uid,
        revision=claim.revision,
        outcome=screening.verdict.outcome,
        seconds=round((utc_now() - started_at).total_seconds(), 3),
    )
    return screening if recorded else None


def _tell_after(
    after_screening: Callable[[ClaimedStudy, Screening, ModelIdentity], None],
    claim: ClaimedStudy,
    screening: Screening,
    model: ModelIdentity,
) -> None:
    try:
        after_screening(claim, screening, model)
    except Exception as error:  # the study has its outcome: nothing may take it back
        _log.error(
            "after_screening_failed",
            study_instance_uid=claim.study_instance_uid,
            kind=type(error).__name__,
            trace=_places(error),
        )


def _conclusion(settings: Settings, model: ModelIdentity, screening: Screening) -> Conclusion:
    return Conclusion(
        model_name=model.name,
        model_version=model.version,
        model_digest=model.digest,
        outcome=screening.verdict.outcome,
        reason=screening.verdict.reason,
        probability=screening.verdict.probability,
        findings=screening.findings,
        results=screening.results,
        destinations=[destination.name for destination in settings.destinations],
    )


def _give_back(
    app: Celery, settings: Settings, ledger: Ledger, claim: ClaimedStudy, error: Exception
) -> None:
    """Record an attempt that broke: most often its kind alone, for texts may hold patient data."""
    reason = str(error) if isinstance(error, (ReadingFailed, BundleError)) else ""
    reason = reason or f"screening broke with {type(error).__name__}"
    state = ledger.fail_attempt(claim, reason, settings.study.maximum_attempts)
    _log.error(
        "study_failed" if state is StudyState.FAILED else "study_attempt_failed",
        study_instance_uid=claim.study_instance_uid,
        attempt=claim.attempt,
        reason=reason,
        trace=_places(error),
    )
    if state is StudyState.QUEUED:
        publish_study(app, claim.study_id, claim.revision)


def _places(error: Exception) -> list[str]:
    """File, line and function of each frame: where it broke, without any value."""
    places, step = [], error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        places.append(f"{os.path.basename(code.co_filename)}:{step.tb_lineno} {code.co_name}")
        step = step.tb_next
    return places
