"""The Celery tasks: each claims its work in the ledger, calls the trunk and records what came."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from celery import Celery

from db.ledger import Ledger
from db.records import ClaimedStudy
from db.states import StudyState
from db.sweeps import Sweeps
from dicom_node.errors import ReadingFailed
from models.prediction import ModelIdentity
from worker.app import (
    ADVANCE_SWEEPS_TASK,
    BEGIN_SWEEP_TASK,
    CONFIRM_TASK,
    DELIVER_TASK,
    REPORT_FAILURE_TASK,
    SCREEN_BATCH_TASK,
    SCREEN_TASK,
    publish_batch,
    publish_study,
)
from worker.batches import Batch, BatchReader
from worker.claimed_study import record_screening, screen_claim, sources_of
from worker.composition import utc_now
from worker.confirmation import Confirmer
from worker.delivery import Deliverer
from worker.failure_reasons import failure_reason
from worker.failure_report import report_failure
from worker.queues import SWEEP_QUEUE
from worker.screening import Screener, Screening
from worker.settings import Settings
from worker.sweeps.report import write_due_reports
from worker.sweeps.schedules import begin_scheduled
from worker.sweeps.sweeper import Sweeper

_log = structlog.get_logger(__name__)

_ADVANCE_EVERY_S = 5.0
_BEGIN_EVERY_S = 20.0


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
            started_at = utc_now()
            sources = sources_of(settings, claim)
            made = screen_claim(settings, screener, claim, sources)
            if record_screening(settings, ledger, claim, sources, screener.model, made, started_at):
                screening = made
        except Exception as error:  # the boundary: the study must get its state
            broken = error
        # Not in the handler: were the ledger away too, Celery would log the first error's text.
        if broken is not None:
            _give_back(app, settings, ledger, claim, broken)
        elif screening is not None:
            _tell_after(after_screening, claim, screening, screener.model)


def register_failure_reports(app: Celery, settings: Settings, ledger: Ledger) -> None:
    """Add the task that reports a study which FAILED because its workers ended."""

    @app.task(name=REPORT_FAILURE_TASK, shared=False)  # type: ignore[untyped-decorator]  # celery ships no types
    def report_failed_study(study_id: int, revision: int) -> None:
        _report(settings, ledger, study_id, revision)


def register_backlog(
    app: Celery,
    settings: Settings,
    ledger: Ledger,
    sweeps: Sweeps,
    current_screener: Callable[[], Screener],
    reader: BatchReader,
) -> None:
    """Add the task that screens studies of the backlog together, with one model.

    Args:
        current_screener: asked once per batch, at its beginning.
        reader: reads ahead of the classifier.
    """

    @app.task(name=SCREEN_BATCH_TASK, shared=False)  # type: ignore[untyped-decorator]  # celery ships no types
    def screen_batch(studies: list[tuple[int, int]]) -> None:
        lease = timedelta(seconds=settings.study.lease_s)
        # One by one as they are read: a lease begins with its study.
        claimed = (ledger.claim_study(*study, owner_name(), lease) for study in studies)
        claims = (claim for claim in claimed if claim is not None)
        batch = Batch(settings, ledger, sweeps, current_screener(), reader)
        for claim, broken in batch.screen(claims):
            if broken is not None:
                _give_back(app, settings, ledger, claim, broken)


def register_sweeps(
    app: Celery, settings: Settings, ledger: Ledger, sweeps: Sweeps, sweeper: Sweeper
) -> None:
    """Add the tasks that begin scheduled sweeps and move sweeps on, and when beat asks for them."""

    @app.task(name=ADVANCE_SWEEPS_TASK, shared=False)  # type: ignore[untyped-decorator]  # celery ships no types
    def advance_sweeps() -> None:
        with _logged("sweep_interrupted"):
            sweeper.advance()
        with _logged("sweep_report_interrupted"):
            write_due_reports(settings, sweeps, ledger, sweeper.window, utc_now())

    @app.task(name=BEGIN_SWEEP_TASK, shared=False)  # type: ignore[untyped-decorator]  # celery ships no types
    def begin_scheduled_sweep(name: str) -> None:
        schedule = next((one for one in settings.schedules if one.name == name), None)
        with _logged("schedule_interrupted"):
            begun = schedule and begin_scheduled(schedule, settings, sweeps, utc_now())
            if begun:
                _log.info("sweep_begun", sweep=begun.id, schedule=name)

    app.conf.beat_schedule = beat_schedule(settings)


def beat_schedule(settings: Settings) -> dict[str, dict[str, object]]:
    """Beat's entries. A message that nobody took in time is worth nothing: the next one comes."""
    options = {"queue": SWEEP_QUEUE, "expires": _ADVANCE_EVERY_S}
    entries: dict[str, dict[str, object]] = {
        "advance sweeps": {
            "task": ADVANCE_SWEEPS_TASK,
            "schedule": _ADVANCE_EVERY_S,
            "options": options,
        }
    }
    for one in settings.schedules:
        entries[f"begin {one.name}"] = {
            "task": BEGIN_SWEEP_TASK,
            "args": (one.name,),
            "schedule": _BEGIN_EVERY_S,
            "options": options,
        }
    return entries


@contextmanager
def _logged(event: str) -> Iterator[None]:
    """Errors by kind and place, never by text; whatever it was, beat asks again."""
    try:
        yield
    except Exception as error:
        _log.error(event, kind=type(error).__name__, trace=_places(error))


def register_delivery(app: Celery, deliverer: Deliverer, confirmer: Confirmer) -> None:
    """Add the tasks that send a study's due results to one destination and ask for them there."""

    @app.task(name=DELIVER_TASK, shared=False)  # type: ignore[untyped-decorator]  # celery ships no types
    def deliver_results(study_id: int, destination: str) -> None:
        deliverer.deliver(study_id, destination, owner_name())

    @app.task(name=CONFIRM_TASK)  # type: ignore[untyped-decorator]  # celery ships no types
    def confirm_results(study_id: int, destination: str) -> None:
        confirmer.confirm(study_id, destination)


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


def _give_back(
    app: Celery, settings: Settings, ledger: Ledger, claim: ClaimedStudy, error: Exception
) -> None:
    """Record an attempt that failed, with its reason in plain words."""
    reason = failure_reason(error)
    state = ledger.fail_attempt(claim, reason, settings.study.maximum_attempts)
    _log.error(
        "study_failed" if state is StudyState.FAILED else "study_attempt_failed",
        study_instance_uid=claim.study_instance_uid,
        attempt=claim.attempt,
        reason=reason,
        kind=(error.kind if isinstance(error, ReadingFailed) else "") or type(error).__name__,
        trace=_places(error),
    )
    if state is StudyState.FAILED:
        _report(settings, ledger, claim.study_id, claim.revision)
    if state is StudyState.QUEUED and claim.sweep_id is None:
        publish_study(app, claim.study_id, claim.revision)
    elif state is StudyState.QUEUED:
        publish_batch(app, [(claim.study_id, claim.revision)])


def _report(settings: Settings, ledger: Ledger, study_id: int, revision: int) -> None:
    """The study is FAILED whatever becomes of its report."""
    try:
        report_failure(settings, ledger, study_id, revision, utc_now())
    except Exception as error:
        _log.error(
            "failure_not_reported",
            study_id=study_id,
            kind=type(error).__name__,
            trace=_places(error),
        )


def _places(error: Exception) -> list[str]:
    """File, line and function of each frame: where it broke, without any value."""
    places, step = [], error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        places.append(f"{os.path.basename(code.co_filename)}:{step.tb_lineno} {code.co_name}")
        step = step.tb_next
    return places
