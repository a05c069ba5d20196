"""Random walks over the whole life of studies, checked after each step against what must hold."""

from collections.abc import Iterable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from db.outcomes import Outcome
from db.records import ClaimedStudy, QueuedStudy, RegistrationKind
from db.states import LEGAL_STUDY_MOVES, StudyState
from db.tables import Analysis, AuditEvent, Base, Study
from tests.unit.db.ledger_factories import (
    LEASE,
    QUIET,
    Bench,
    make_conclusion,
    make_instance,
    make_result,
    study_uid,
)

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

STUDIES = st.integers(0, 2)
MAX_ATTEMPTS = 2


class StudyLife(RuleBasedStateMachine):
    """Keeps only who may conclude what; everything else is read back from the tables."""

    engine: Engine

    def __init__(self) -> None:
        super().__init__()
        _empty(self.engine)
        self.bench = Bench(self.engine)
        self.ledger = self.bench.ledger
        self.messages: list[QueuedStudy] = []
        self.claims: list[ClaimedStudy] = []
        self.valid: dict[int, ClaimedStudy] = {}
        self.before: dict[int, tuple[StudyState, int]] = {}

    @rule(study=STUDIES, number=st.integers(0, 4), content=st.sampled_from(["", "other"]))
    def an_instance_arrives(self, study: int, number: int, content: str) -> None:
        registration = self.ledger.register_instance(make_instance(study, number, content))
        if registration.kind == RegistrationKind.ACCEPTED:
            self.valid.pop(registration.study_id, None)

    @rule()
    def studies_become_quiet(self) -> None:
        self.bench.clock.forward(QUIET)
        self.ledger.mark_quiet_studies_ready(QUIET)

    @rule(limit=st.integers(1, 3))
    def a_dispatcher_queues(self, limit: int) -> None:
        self._remember(self.ledger.queue_ready_studies(limit))

    @rule(limit=st.integers(1, 3))
    def a_dispatcher_publishes_again(self, limit: int) -> None:
        self._remember(self.ledger.requeue_unclaimed(QUIET, limit))

    @rule(pick=st.integers(0, 99))
    def a_worker_claims(self, pick: int) -> None:
        if not self.messages:
            return
        message = self.messages[-1 - pick % len(self.messages)]
        claim = self.ledger.claim_study(message.study_id, message.revision, "worker", LEASE)
        if claim is not None:
            assert message.study_id not in self.valid, "two workers hold one study"
            self.claims.append(claim)
            self.valid[claim.study_id] = claim

    @rule(pick=st.integers(0, 99), outcome=st.sampled_from(Outcome))
    def a_worker_concludes(self, pick: int, outcome: Outcome) -> None:
        claim = self._pick(pick)
        if claim is None:
            return
        may = self.valid.get(claim.study_id) == claim
        result = make_result(len(claim.instances), claim.study_id)
        conclusion = make_conclusion(outcome, (result,))
        assert self.ledger.conclude(claim, conclusion, self.bench.clock()) == may
        if may:
            del self.valid[claim.study_id]

    @rule(pick=st.integers(0, 99))
    def a_worker_fails(self, pick: int) -> None:
        claim = self._pick(pick)
        if claim is None:
            return
        may = self.valid.get(claim.study_id) == claim
        state = self.ledger.fail_attempt(claim, "broken", MAX_ATTEMPTS)
        if may:
            assert state in (StudyState.QUEUED, StudyState.FAILED)
            del self.valid[claim.study_id]

    @rule()
    def workers_die(self) -> None:
        self.bench.clock.forward(LEASE)
        for released in self.ledger.release_expired_leases(MAX_ATTEMPTS):
            del self.valid[released.study_id]
            if released.state == StudyState.QUEUED:
                self._remember([QueuedStudy(released.study_id, released.revision)])
        assert not self.valid, "a lease outlived its end"

    @rule(study=STUDIES)
    def an_operator_retries(self, study: int) -> None:
        self.ledger.retry_failed(study_uid(study))

    @invariant()
    def every_move_was_legal(self) -> None:
        now = {study.id: (study.state, study.revision) for study in self._studies()}
        for study_id, (state, revision) in now.items():
            former = self.before.get(study_id)
            if former is None:
                assert (state, revision) == (StudyState.RECEIVING, 1)
            else:
                assert state == former[0] or state in LEGAL_STUDY_MOVES[former[0]]
                reopened = former[0] in (StudyState.SCREENED, StudyState.FAILED)
                assert revision == former[1] + (reopened and state != former[0])
        self.before = now

    @invariant()
    def a_lease_and_the_state_screening_go_together(self) -> None:
        for study in self._studies():
            leased = study.lease_owner is not None and study.lease_expires_at is not None
            assert leased == (study.state == StudyState.SCREENING) == (study.id in self.valid)

    @invariant()
    def every_ended_study_has_exactly_one_current_outcome(self) -> None:
        with Session(self.engine) as session, session.begin():
            analyses = session.scalars(select(Analysis)).all()
            session.expunge_all()
        keys = [(analysis.study_id, analysis.revision) for analysis in analyses]
        assert len(keys) == len(set(keys))
        for study in self._studies():
            current = [a for a in analyses if a.study_id == study.id and a.superseded_at is None]
            assert len(current) <= 1
            if study.state in (StudyState.SCREENED, StudyState.FAILED):
                assert [analysis.revision for analysis in current] == [study.revision]
                failed = current[0].outcome == Outcome.FAILED
                assert failed == (study.state == StudyState.FAILED)

    def _remember(self, queued: Iterable[QueuedStudy]) -> None:
        self.messages += queued

    def _pick(self, pick: int) -> ClaimedStudy | None:
        # Mostly the latest claims: the first ones are soon out of date.
        return self.claims[-1 - pick % len(self.claims)] if self.claims else None

    def _studies(self) -> list[Study]:
        with Session(self.engine) as session, session.begin():
            studies = list(session.scalars(select(Study)))
            session.expunge_all()
        return studies


def test_whatever_happens_states_move_legally_and_outcomes_are_unique(
    ledger_engine: Engine,
) -> None:
    machine = type("StudyLifeOnThisDatabase", (StudyLife,), {"engine": ledger_engine})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )


def _empty(engine: Engine) -> None:
    with engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            if table is not AuditEvent.__table__:  # append-only, and no part of the machine
                connection.execute(table.delete())
