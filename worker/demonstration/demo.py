"""The demonstration from its first file to the last result in the stand-in PACS."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from sqlalchemy import Engine

from db import overview
from db.outcomes import FLAGGED, Outcome
from db.records import StudySummary
from db.session import reading
from db.states import StudyState
from dicom_node.errors import AssociationFailed
from dicom_node.instance import RemoteAE
from dicom_node.retry_classes import RetryClass
from dicom_node.storage_scu import StoreResult, echo, send_instances
from worker.composition import open_database, utc_now
from worker.demonstration.pictures import write_pictures
from worker.demonstration.product import LOG_FILE, PROCESS, Product, running_product
from worker.demonstration.stand_in_pacs import received_folder, stand_in_pacs
from worker.demonstration.studies import (
    PreparedStudy,
    file_names,
    prepare_own_studies,
    prepare_studies_of,
)
from worker.demonstration.watch import Look, Progress, Watch
from worker.errors import DemoRefused
from worker.logs import configure_logging

_CALLING_AE_TITLE = "DEMOMODALITY"
_SEND_TIMEOUT_S = 120.0
_TRIES_AFTER_A_STATUS = 5

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DemoStudy:
    """What became of one study.

    `results` are the DICOM files that arrived in the stand-in PACS, all that were made or none;
    `report` and `heatmaps` are the same as PDF and PNG.
    """

    study_instance_uid: str
    name: str
    marked: str
    body_part_examined: str
    outcome: str
    probability: float | None
    reason: str
    results: tuple[Path, ...] = ()
    report: Path | None = None
    heatmaps: tuple[Path, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether it has an outcome other than FAILED, its report, and a heatmap if flagged."""
        if self.outcome in ("", Outcome.FAILED) or self.report is None:
            return False
        return bool(self.heatmaps) or self.outcome not in FLAGGED


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The demonstration's answer."""

    seconds: float
    model: str
    studies: tuple[DemoStudy, ...]
    unreadable: tuple[str, ...] = ()
    """Files that never became part of a study, each with the reason."""
    refused: tuple[str, ...] = ()
    """Instances that the listener did not take, each with the reason."""

    @property
    def complete(self) -> bool:
        """Whether everything that could be sent was taken, and every study is complete."""
        everything = bool(self.studies) and all(study.complete for study in self.studies)
        return everything and not self.refused


@dataclass(frozen=True, slots=True)
class Demonstration:
    """The answer, and the product that gave it, which still runs."""

    result: DemoResult
    product: Product
    engine: Engine = field(repr=False)


@contextmanager
def demonstrated(folder: Path | None, out: Path, on_progress: Progress) -> Iterator[Demonstration]:
    """Start everything, send, wait for all results; at the end of the context stop everything.

    Args:
        folder: DICOM, PNG or JPEG files to send; None: the shipped radiographs and a drawing.
        out: where data, sent instances and results are left for a look.

    Raises:
        DemoRefused: `out` is in use, or nothing in `folder` can be sent.
        NothingToDo: `folder` has no file.
        DemoFailed: a process could not run, or nothing moved any more.
    """
    _make_empty(out)
    started = time.monotonic()
    on_progress(Look("preparing radiographs"))
    unreadable: list[str] = []
    if folder is None:
        studies = prepare_own_studies(out / "sent", utc_now())
    else:
        studies, unreadable = prepare_studies_of(folder, out / "sent", utc_now())
    with (out / LOG_FILE).open("a") as log:
        configure_logging(PROCESS, log)
        with stand_in_pacs(out / "pacs") as port, running_product(out, port) as product:
            watch = Watch(product, on_progress)
            watch.until_finished(lambda: _look_for_listener(product))
            sender = _Sender(studies, lambda: product.node)
            watch.until_finished(sender.look)
            engine = open_database(product.settings)
            screening = _Screening(engine, [study.study_instance_uid for study in sender.sent])
            watch.until_finished(screening.look)
            result = DemoResult(
                round(time.monotonic() - started, 1),
                _model(screening.summaries),
                tuple(_studies(studies, screening.summaries, out)),
                tuple(unreadable),
                tuple(sender.refused),
            )
            yield Demonstration(result, product, engine)


def _make_empty(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DemoRefused(f"{out} is not empty; name another folder with --out, or remove it")
    out.mkdir(parents=True, exist_ok=True)


def _look_for_listener(product: Product) -> Look:
    waiting = Look("starting the listener")
    if not product.listens:
        return waiting
    try:
        echo(product.node, calling_ae_title=_CALLING_AE_TITLE)
    except AssociationFailed:
        return waiting
    return Look("starting the listener", finished=True)


class _Sender:
    """Sends study by study, as a modality would; what may go better later is sent again."""

    def __init__(self, studies: Sequence[PreparedStudy], node: Callable[[], RemoteAE]) -> None:
        self.sent: list[PreparedStudy] = []
        """Studies of which the listener took something."""
        self.refused: list[str] = []
        self._studies, self._node = studies, node
        self._waiting = [(study, list(study.paths)) for study in studies]
        self._tries = 0

    def look(self) -> Look:
        """Send the instances of the first study that waits."""
        if self._waiting:
            study, paths = self._waiting[0]
            results = send_instances(
                self._node(), paths, calling_ae_title=_CALLING_AE_TITLE, timeout_s=_SEND_TIMEOUT_S
            )
            if study not in self.sent and any(result.stored for result in results):
                self.sent.append(study)
            self._keep(results)
        done = len(self._studies) - len(self._waiting)
        return Look("sending radiographs", done, len(self._studies), finished=not self._waiting)

    def _keep(self, results: Sequence[StoreResult]) -> None:
        """Keep what is worth another try, and note what is refused."""
        study, _ = self._waiting.pop(0)
        self._tries += any(result.status is not None and not result.stored for result in results)
        again = [result for result in results if self._may_go_better(result)]
        self.refused += [
            f"{result.path}: {result.error}"
            for result in results
            if not result.stored and result not in again
        ]
        if again:
            self._waiting.insert(0, (study, [result.path for result in again]))
            _log.warning("sending_again", instances=len(again), why=again[0].error)
        else:
            self._tries = 0

    def _may_go_better(self, result: StoreResult) -> bool:
        if result.retry_class is not RetryClass.TRANSIENT:
            return False
        return result.status is None or self._tries < _TRIES_AFTER_A_STATUS


class _Screening:
    """The studies in the ledger, from their reception to the last delivery."""

    def __init__(self, engine: Engine, study_instance_uids: Sequence[str]) -> None:
        self.summaries: dict[str, StudySummary] = {}
        self._engine, self._uids = engine, study_instance_uids

    def look(self) -> Look:
        """Read how far all studies are."""
        with reading(self._engine) as session:
            found = [overview.study_summary(session, uid) for uid in self._uids]
        self.summaries = {one.study_instance_uid: one for one in found if one is not None}
        summaries, total = self.summaries.values(), len(self._uids)
        moved = tuple((study.state, study.attempts, _sent(study)) for study in summaries)
        concluded = sum(_is_concluded(study) for study in summaries)
        finished = sum(study.is_finished for study in summaries)
        if concluded < total:
            return Look("screening", concluded, total, moved)
        return Look("sending results", finished, total, moved, finished == total)


def _is_concluded(study: StudySummary) -> bool:
    return study.state in (StudyState.SCREENED, StudyState.FAILED)


def _sent(study: StudySummary) -> int:
    return sum(one.sent_at is not None for result in study.results for one in result.deliveries)


def _model(summaries: dict[str, StudySummary]) -> str:
    analyses = [summary.analysis for summary in summaries.values() if summary.analysis]
    return ", ".join(dict.fromkeys(f"{one.model_name} {one.model_version}" for one in analyses))


def _studies(
    prepared: Sequence[PreparedStudy], summaries: dict[str, StudySummary], out: Path
) -> Iterator[DemoStudy]:
    names = file_names(prepared)
    for study in prepared:
        uid = study.study_instance_uid
        summary = summaries.get(uid)
        if summary is None:
            yield DemoStudy(uid, study.name, study.marked, "", "", None, "nothing of it was taken")
        else:
            yield _study(
                study, summary, received_folder(out / "pacs"), out / "results" / names[uid]
            )


def _study(prepared: PreparedStudy, summary: StudySummary, received: Path, stem: Path) -> DemoStudy:
    folder = received / summary.study_instance_uid
    due = [folder / f"{result.sop_instance_uid}.dcm" for result in summary.results]
    missing = [path for path in due if not path.is_file()]
    reasons = [summary.reason or summary.failure_reason]
    if missing or not due:
        reasons.append(f"results missing in the PACS: {len(missing) or 'all'}")
    results = () if missing else tuple(path.resolve() for path in due)
    report, heatmaps = write_pictures(results, stem)
    findings = () if summary.analysis is None else summary.analysis.findings
    parts = dict.fromkeys(finding.body_part_examined or "" for finding in findings)
    return DemoStudy(
        summary.study_instance_uid,
        prepared.name,
        prepared.marked,
        ", ".join(part for part in parts if part),
        summary.outcome or "",
        summary.probability,
        "; ".join(reason for reason in reasons if reason),
        results,
        report,
        heatmaps,
    )
