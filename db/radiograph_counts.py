"""Counts of radiographs in current analyses: by stated body part, by device and by sender."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Select, case, func, literal, select
from sqlalchemy.orm import InstrumentedAttribute

from db.session import reading
from db.tables import Analysis, Finding, Instance


@dataclass(frozen=True, slots=True)
class NotAnalysedShare:
    """How many radiographs of one origin were not analysed, of how many."""

    origin: str
    """"device Maker Model Station" or "sender AE-TITLE"; no patient data."""
    not_analysed: int
    radiographs: int

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return self.not_analysed / self.radiographs


class RadiographCounts:
    """Reads the ledger. Every method raises LedgerUnavailable when it cannot be asked."""

    def __init__(self, engine: Engine) -> None:
        """Connect to nothing yet."""
        self._engine = engine

    def by_body_part(self) -> Mapping[str, int]:
        """Body Part Examined as stated, upper-case ("": not stated) → radiographs, most first."""
        count = func.count()
        wanted = (
            select(Finding.body_part_examined, count)
            .join(Analysis, Analysis.id == Finding.analysis_id)
            .where(Analysis.superseded_at.is_(None), Finding.body_part_examined.is_not(None))
            .group_by(Finding.body_part_examined)
            .order_by(count.desc(), Finding.body_part_examined)
        )
        with reading(self._engine) as session:
            return {value or "": number for value, number in session.execute(wanted)}

    def not_analysed_since(self, since: datetime, fewest: int) -> Sequence[NotAnalysedShare]:
        """Each device and each sender with at least `fewest` radiographs concluded since then."""
        by_device = _shares("device ", Finding.device, since, fewest)
        by_sender = _shares("sender ", Instance.calling_ae_title, since, fewest).join(
            Instance, Instance.sop_instance_uid == Finding.sop_instance_uid
        )
        with reading(self._engine) as session:
            return [
                NotAnalysedShare(*row)
                for wanted in (by_device, by_sender)
                for row in session.execute(wanted)
            ]


def _shares(
    kind: str, origin: InstrumentedAttribute[Any], since: datetime, fewest: int
) -> Select[str, int, int]:  # Any: text, nullable or not
    not_analysed = func.sum(case((Finding.analysed, 0), else_=1))
    return (
        select(literal(kind) + origin, not_analysed, func.count())
        .select_from(Finding)
        .join(Analysis, Analysis.id == Finding.analysis_id)
        .where(
            Analysis.superseded_at.is_(None),
            Analysis.finished_at > since,
            Finding.device.is_not(None),
            origin != "",
        )
        .group_by(origin)
        .having(func.count() >= fewest)
        .order_by(origin)
    )
