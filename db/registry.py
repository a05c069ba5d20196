"""`ModelRegistry`: which imported bundles there are, and which one speaks.

Every change is one transaction together with its line in the audit trail. While no model is the
CHAMPION, the bundle of the settings is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from db.audit import AuditRecord, Details, recent_events, record_event
from db.errors import ModelMoveRefused
from db.session import transaction
from db.states import LEGAL_MODEL_MOVES, ModelState
from db.tables import ModelVersion


@dataclass(frozen=True, slots=True)
class NewModel:
    """A bundle that stands in the data folder, to be entered."""

    name: str
    version: str
    digest: str
    """SHA-256 (hex) over card and weights, as `ModelIdentity.digest`."""
    path: str
    """Of the bundle's folder, relative to the data folder."""


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """An imported model and what it is used for."""

    model_id: int
    name: str
    version: str
    digest: str
    path: str
    state: ModelState
    imported_at: datetime
    state_changed_at: datetime

    @property
    def label(self) -> str:
        """Name and version, as tables show it and commands take it."""
        return f"{self.name}-{self.version}"


@dataclass(frozen=True, slots=True)
class SpeakingModels:
    """What a worker looks up for each study; None: the bundle of the settings, and no shadow."""

    champion: ModelRecord | None
    shadow: ModelRecord | None


class ModelRegistry:
    """The imported models. Safe to share between threads.

    `clock` as in `Ledger`. Every method raises LedgerUnavailable when the database cannot be used,
    and then nothing was stored; those that move a model raise ModelMoveRefused for an illegal move.
    `actor` is who asks, for the audit trail.
    """

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        """Connect to nothing yet."""
        self._engine = engine
        self._clock = clock

    def models(self) -> list[ModelRecord]:
        """All imported models, oldest first."""
        with transaction(self._engine) as session:
            rows = session.scalars(select(ModelVersion).order_by(ModelVersion.id))
            return [_record(row) for row in rows]

    def speaking(self) -> SpeakingModels:
        """Champion and shadow of this moment: one query."""
        wanted = select(ModelVersion).where(
            ModelVersion.state.in_((ModelState.CHAMPION, ModelState.SHADOW))
        )
        with transaction(self._engine) as session:
            found = {row.state: _record(row) for row in session.scalars(wanted)}
        return SpeakingModels(found.get(ModelState.CHAMPION), found.get(ModelState.SHADOW))

    def add(self, model: NewModel, actor: str, details: Details) -> ModelRecord:
        """Enter a model as CANDIDATE; one that is RETIRED becomes CANDIDATE again.

        One that is in use stays as it is. ModelMoveRefused: its name and version stand for other
        content.
        """
        with transaction(self._engine) as session:
            row = _known(session, model)
            if row is None:
                now = self._clock()
                row = ModelVersion(
                    **{field: getattr(model, field) for field in NewModel.__slots__},
                    state=ModelState.CANDIDATE,
                    imported_at=now,
                    state_changed_at=now,
                )
                session.add(row)
                session.flush()
            elif row.state is ModelState.RETIRED:
                self._move(session, row, ModelState.CANDIDATE)
            else:
                return _record(row)
            return self._told(session, row, actor, "model import", details)

    def promote(
        self, digest: str, actor: str, details: Details, *, replacing: str | None
    ) -> ModelRecord:
        """Make a model the champion and retire the one before it, which a rollback brings back.

        `replacing` is the digest of the champion that it was compared with, None for the bundle of
        the settings. ModelMoveRefused: another one is the champion by now.
        """
        with transaction(self._engine) as session:
            row, before = _by_digest(session, digest), _champion(session)
            _check_move(row, ModelState.CHAMPION)
            if replacing != (None if before is None else before.digest):
                raise ModelMoveRefused(
                    f"the champion changed since {_label(row)} was compared with it: compare again"
                )
            if before is not None:
                self._move(session, before, ModelState.RETIRED)
            if not _stands_before(session, row, before):
                row.predecessor_id = None if before is None else before.id
            self._move(session, row, ModelState.CHAMPION)
            replaced = "the bundle of the settings" if before is None else _label(before)
            return self._told(
                session, row, actor, "model promote", {**details, "replaced": replaced}
            )

    def roll_back(self, actor: str, details: Details) -> ModelRecord | None:
        """Retire the champion and bring back what it replaced; None: the bundle of the settings."""
        with transaction(self._engine) as session:
            champion = _champion(session)
            if champion is None:
                raise ModelMoveRefused(
                    "no imported model is the champion: there is nothing to roll back"
                )
            before = (
                None
                if champion.predecessor_id is None
                else session.get_one(ModelVersion, champion.predecessor_id)
            )
            self._move(session, champion, ModelState.RETIRED)
            if before is not None:
                self._move(session, before, ModelState.CHAMPION)
            back = "the bundle of the settings" if before is None else _label(before)
            self._told(
                session, champion, actor, "model rollback", {**details, "brought_back": back}
            )
            return None if before is None else _record(before)

    def start_shadow(self, digest: str, actor: str, details: Details) -> ModelRecord:
        """Let a model score beside the champion, in place of any other shadow."""
        with transaction(self._engine) as session:
            row = _by_digest(session, digest)
            _check_move(row, ModelState.SHADOW)
            for other in _in_state(session, ModelState.SHADOW):
                self._move(session, other, ModelState.CANDIDATE)
            self._move(session, row, ModelState.SHADOW)
            return self._told(session, row, actor, "model shadow", details)

    def stop_shadow(self, actor: str, details: Details) -> ModelRecord | None:
        """Make the shadow a candidate again; None if there is none. Its scores stay."""
        with transaction(self._engine) as session:
            row = next(iter(_in_state(session, ModelState.SHADOW)), None)
            if row is None:
                return None
            self._move(session, row, ModelState.CANDIDATE)
            return self._told(session, row, actor, "model shadow stop", details)

    def retire(self, digest: str, actor: str, details: Details) -> ModelRecord:
        """Give a candidate or shadow up."""
        with transaction(self._engine) as session:
            row = _by_digest(session, digest)
            if row.state is ModelState.CHAMPION:
                raise ModelMoveRefused(
                    f"{_label(row)} is the champion: promote another model or roll back, which "
                    "retires it"
                )
            self._move(session, row, ModelState.RETIRED)
            return self._told(session, row, actor, "model retire", details)

    def note(self, actor: str, action: str, subject: str, details: Details) -> None:
        """Enter something into the audit trail that changed no model."""
        with transaction(self._engine) as session:
            record_event(session, actor, action, subject, details, self._clock())

    def events(self, limit: int = 100, subject: str | None = None) -> list[AuditRecord]:
        """The last lines of the audit trail that tell of models, newest first."""
        with transaction(self._engine) as session:
            return recent_events(session, limit, subject, "model ")

    def _move(self, session: Session, row: ModelVersion, target: ModelState) -> None:
        """One conditional UPDATE, written at once: two champions never stand side by side."""
        _check_move(row, target)
        moved = session.execute(
            update(ModelVersion)
            .where(ModelVersion.id == row.id, ModelVersion.state == row.state)
            .values(state=target, state_changed_at=self._clock())
            .returning(ModelVersion.id)
            .execution_options(synchronize_session=False)
        ).all()
        if not moved:
            raise ModelMoveRefused(f"{_label(row)} was changed by somebody else: look again")
        session.flush()
        session.refresh(row)

    def _told(
        self, session: Session, row: ModelVersion, actor: str, action: str, details: Details
    ) -> ModelRecord:
        complete = {"digest": row.digest, **details}
        record_event(session, actor, action, _label(row), complete, self._clock())
        return _record(row)


def _known(session: Session, model: NewModel) -> ModelVersion | None:
    """The row of the same digest. ModelMoveRefused: another digest has the name and version."""
    same_name = select(ModelVersion).where(
        ModelVersion.name == model.name, ModelVersion.version == model.version
    )
    row = session.scalar(same_name.with_for_update())
    if row is not None and row.digest != model.digest:
        raise ModelMoveRefused(
            f"{_label(row)} was imported before with other content (digest {row.digest[:16]}…, "
            f"now {model.digest[:16]}…): give the new bundle a version of its own"
        )
    return row


def _by_digest(session: Session, digest: str) -> ModelVersion:
    chosen = select(ModelVersion).where(ModelVersion.digest == digest).with_for_update()
    row = session.scalar(chosen)
    if row is None:
        raise ModelMoveRefused(f"no model of digest {digest[:16]}… was imported")
    return row


def _champion(session: Session) -> ModelVersion | None:
    return next(iter(_in_state(session, ModelState.CHAMPION)), None)


def _in_state(session: Session, state: ModelState) -> list[ModelVersion]:
    chosen = select(ModelVersion).where(ModelVersion.state == state).with_for_update()
    return list(session.scalars(chosen))


def _stands_before(session: Session, row: ModelVersion, champion: ModelVersion | None) -> bool:
    """Whether rollbacks from `champion` lead to `row`: then it keeps its own way back, and no
    circle of rollbacks arises."""
    while champion is not None and champion.predecessor_id is not None:
        if champion.predecessor_id == row.id:
            return True
        champion = session.get_one(ModelVersion, champion.predecessor_id)
    return False


def _check_move(row: ModelVersion, target: ModelState) -> None:
    if target not in LEGAL_MODEL_MOVES[row.state]:
        raise ModelMoveRefused(f"{_label(row)} is {row.state} and cannot become {target}")


def _label(row: ModelVersion) -> str:
    return f"{row.name}-{row.version}"


def _record(row: ModelVersion) -> ModelRecord:
    return ModelRecord(
        model_id=row.id,
        name=row.name,
        version=row.version,
        digest=row.digest,
        path=row.path,
        state=row.state,
        imported_at=row.imported_at,
        state_changed_at=row.state_changed_at,
    )
