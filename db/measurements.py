"""What drift is seen by: one line per frame of the current analyses, and no study behind it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, select

from db.session import transaction
from db.tables import Analysis, Finding


@dataclass(frozen=True, slots=True)
class Measurement:
    """One radiograph as a model met it; the numbers are None where it was not analysed."""

    finished_at: datetime
    device: str
    body_part_examined: str
    analysed: bool
    probability: float | None
    flagged: bool
    mean_intensity: float | None
    pixels: int | None
    """Rows · columns."""


class Measurements:
    """Reads findings of radiographs. Errors as in `Ledger`."""

    def __init__(self, engine: Engine) -> None:
        """Connect to nothing yet."""
        self._engine = engine

    def of_model(
        self, digest: str, *, since: datetime | None = None, until: datetime | None = None
    ) -> list[Measurement]:
        """All frames of current analyses by a model, whose device is known, oldest first.

        `since` is the first moment that counts, `until` the first that no longer does.
        """
        wanted = (
            select(Finding, Analysis.finished_at)
            .join(Analysis, Analysis.id == Finding.analysis_id)
            .where(
                Analysis.superseded_at.is_(None),
                Analysis.model_digest == digest,
                Finding.device.is_not(None),
            )
            .order_by(Analysis.finished_at, Finding.id)
        )
        if since is not None:
            wanted = wanted.where(Analysis.finished_at >= since)
        if until is not None:
            wanted = wanted.where(Analysis.finished_at < until)
        with transaction(self._engine) as session:
            return [_measurement(row, time) for row, time in session.execute(wanted)]


def _measurement(row: Finding, finished_at: datetime) -> Measurement:
    sized = row.rows is not None and row.columns is not None
    return Measurement(
        finished_at=finished_at,
        device=row.device or "",
        body_part_examined=row.body_part_examined or "",
        analysed=row.analysed,
        probability=row.probability,
        flagged=bool(row.operating_point),
        mean_intensity=row.mean_intensity,
        pixels=(row.rows or 0) * (row.columns or 0) if sized else None,
    )
