"""A PACS as the place of a sweep: searched by C-FIND, fetched from by C-MOVE or C-GET."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

import structlog

from db.sweep_records import Candidate, SweepItem
from db.sweeps import Sweeps
from dicom_node.bounded_reader import MIB
from dicom_node.errors import AssociationFailed, TooManyAnswers
from dicom_node.query import FoundSeries, Period, Queries, querying
from dicom_node.receiver import Receiver
from dicom_node.retrieve import Retrieved, get, move
from dicom_node.retry_classes import UNREACHABLE
from dicom_node.uids import derived_uid
from models.bundle import ModelBundle
from worker.settings import Retrieval, Settings, SourceSettings
from worker.sweeps.difference import (
    NO_RADIOGRAPH,
    Decision,
    Excluded,
    Fetch,
    Taken,
    is_reported,
    wanted_series,
    what_to_do,
)
from worker.sweeps.periods import SearchCursor, begin_search
from worker.sweeps.places import Found, retry_after
from worker.sweeps.selection import Selection

_log = structlog.get_logger(__name__)

CUT_SHORT = "more studies within a minute than the source gives at a time: raise most_answers"
TOO_LARGE = "more instances than the source tells of at a time: raise most_answers"
_MARGIN = timedelta(seconds=60)


class PacsPlace:
    """One source of the settings, for one sweep.

    Args:
        bundle: of the model in use.
        receiver: takes what comes by C-GET.
    """

    def __init__(
        self,
        source: SourceSettings,
        selection: Selection,
        sweep_id: int,
        settings: Settings,
        sweeps: Sweeps,
        bundle: ModelBundle,
        receiver: Receiver,
        clock: Callable[[], datetime],
    ) -> None:
        self.name, self.parallel = source.name, source.parallel
        self.studies_per_hour: int | None = source.studies_per_hour
        self.slow_answer_s = source.slow_answer_s
        self._source, self._selection = source, selection
        self._sweep_id = sweep_id
        self._settings, self._sweeps, self._bundle = settings, sweeps, bundle
        self._receiver, self._clock = receiver, clock

    def search(self, cursor: str) -> Found:
        """The studies of the next period back in time."""
        selection = self._selection
        today = self._clock().astimezone(self._settings.sweep.zone).date()
        at = SearchCursor.from_json(cursor) if cursor else begin_search(selection.last_day or today)
        period = at.period(selection.first_day)
        if period is None:
            return Found((), cursor, searched=True)
        try:
            candidates = self._candidates(period)
        except TooManyAnswers:
            shorter = at.halved(period)
            if shorter is not None:
                return Found((), shorter.to_json(), searched=False)
            _log.critical("sweep_period_cut_short", source=self.name, sweep=self._sweep_id)
            unknown = derived_uid("period of a sweep", period.first.isoformat())
            candidates = [Candidate(unknown, CUT_SHORT)]
        return Found(tuple(candidates), at.after(period, len(candidates)).to_json(), searched=False)

    def see_to(self, item: SweepItem) -> float:
        """Ask what the study holds, and fetch what the ledger lacks of it."""
        began = time.monotonic()
        try:
            with self._querying() as queries:
                series = queries.series(item.study_instance_uid)
                own = self._sweeps.own_series(item.study_instance_uid)
                self._sweeps.note_report(item.id, reported=is_reported(series, own))
                decision = self._decide(queries, item.study_instance_uid, series, own)
        except TooManyAnswers:
            decision = Excluded(TOO_LARGE)
        answer_s = time.monotonic() - began
        if isinstance(decision, Excluded):
            self._sweeps.exclude(item.id, decision.reason)
        elif isinstance(decision, Fetch):
            self._fetch(item, decision)
        elif isinstance(decision, Taken):
            self._sweeps.end_fetch(item.id, decision.instances)
        elif not self._sweeps.screen_again(item.id):
            # It moved on since it was looked at: the next look will say how.
            self._sweeps.retry(item.id, "", self._clock() + retry_after(item.attempts))
        return answer_s

    def plan(self) -> Iterator[Decision]:
        """Search to the end, asking of each study what it holds."""
        found = self.search("")
        while not found.searched:
            with self._querying() as queries:
                for one in found.candidates:
                    if one.excluded:
                        yield Excluded(one.excluded)
                    else:
                        study = one.study_instance_uid
                        own = self._sweeps.own_series(study)
                        yield self._decide(queries, study, queries.series(study), own)
            found = self.search(found.cursor)

    def _candidates(self, period: Period) -> list[Candidate]:
        found: dict[str, Candidate] = {}
        with self._querying() as queries:
            for modality in self._selection.modalities:
                for study in queries.studies(period, modality):
                    fits = not study.modalities or modality in study.modalities
                    uid = study.study_instance_uid
                    if uid and (fits or uid not in found):
                        found[uid] = Candidate(uid, "" if fits else NO_RADIOGRAPH)
        return list(found.values())

    def _decide(
        self, queries: Queries, study: str, found: Sequence[FoundSeries], own: Collection[str]
    ) -> Decision:
        words = self._settings.body_parts
        series = wanted_series(found, self._selection, self._bundle.body_parts, own, words)
        if isinstance(series, Excluded):
            return series
        instances = {
            one.series_instance_uid: queries.instances(study, one.series_instance_uid)
            for one in series
        }
        known = self._sweeps.known(study)
        return what_to_do(
            study, instances, known, self._bundle.identity, self._selection, self._sweep_id
        )

    def _fetch(self, item: SweepItem, fetch: Fetch) -> None:
        timeout = timedelta(seconds=self._source.timeout_s)
        until = self._clock() + timeout * len(fetch.wanted) + _MARGIN
        self._sweeps.begin_fetch(item.id, len(fetch.everything), until)
        problem = ""
        try:
            answers = self._retrieve(fetch)
        except AssociationFailed as error:
            problem = str(error)
            if error.problem in UNREACHABLE and not self._arrived(item, fetch.missing):
                self._sweeps.retry(item.id, problem, self._clock() + retry_after(item.attempts))
                raise
        else:
            problem = "; ".join(dict.fromkeys(one.problem for one in answers if one.problem))
        self._enter(item, fetch, problem)

    def _enter(self, item: SweepItem, fetch: Fetch, problem: str) -> None:
        """What counts is what is registered, not what the source says that it sent."""
        arrived, expected = self._arrived(item, fetch.everything), len(fetch.everything)
        attempts = item.attempts + 1
        if arrived == expected:
            self._sweeps.end_fetch(item.id, arrived)
            return
        problem = problem or f"{self.name} says that it sent all, but not all of it came"
        _log.warning(
            "sweep_fetch_incomplete",
            study_instance_uid=item.study_instance_uid,
            source=self.name,
            expected=expected,
            arrived=arrived,
            attempt=attempts,
            reason=problem,
        )
        if attempts >= self._source.maximum_tries:
            self._sweeps.end_fetch(item.id, arrived, missing=problem)
        else:
            self._sweeps.retry(item.id, problem, self._clock() + retry_after(item.attempts))

    def _arrived(self, item: SweepItem, wanted: frozenset[str]) -> int:
        known = self._sweeps.known(item.study_instance_uid)
        return 0 if known is None else len(wanted & known.sop_instance_uids)

    def _retrieve(self, fetch: Fetch) -> Sequence[Retrieved]:
        source = self._source
        if source.retrieval is Retrieval.MOVE:
            return list(
                move(
                    source.remote,
                    fetch.wanted,
                    to_ae_title=self._settings.listener.ae_title,
                    calling_ae_title=self._calling,
                    timeout_s=source.timeout_s,
                )
            )
        return list(
            get(
                source.remote,
                fetch.wanted,
                receiver=self._receiver,
                calling_ae_title=self._calling,
                timeout_s=source.timeout_s,
                largest_bytes=self._settings.limits.maximum_instance_mib * MIB,
            )
        )

    @property
    def _calling(self) -> str:
        return self._source.calling_ae_title or self._settings.delivery.calling_ae_title

    def _querying(self) -> AbstractContextManager[Queries]:
        source = self._source
        return querying(
            source.remote,
            calling_ae_title=self._calling,
            timeout_s=source.timeout_s,
            most_answers=source.most_answers,
        )
