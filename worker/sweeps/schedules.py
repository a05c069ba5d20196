"""Sweeps that begin by themselves, with each night's window."""

from datetime import datetime, timedelta

from db.sweep_records import NewSweep, SweepRecord
from db.sweeps import Sweeps
from worker.settings import ScheduleSettings, Settings
from worker.sweeps.selection import Selection

SCHEDULER = "schedule"
"""Who begins what a schedule begins, in the audit trail."""


def begin_scheduled(
    schedule: ScheduleSettings, settings: Settings, sweeps: Sweeps, now: datetime
) -> SweepRecord | None:
    """Tonight's sweep of a schedule; None: its window is not open, or it has begun already."""
    window = settings.sweep.window
    if not window.is_open(now):
        return None
    night = window.night(now)
    selection = Selection(
        first_day=night - timedelta(days=schedule.days - 1),
        last_day=night,
        modalities=schedule.modalities,
        body_parts=schedule.body_parts,
        institution=schedule.institution,
    )
    return sweeps.begin(
        NewSweep(
            source=schedule.source,
            folder="" if schedule.folder is None else str(schedule.folder),
            selection=selection.to_json(),
            actor=SCHEDULER,
            schedule=schedule.name,
            night=night,
        )
    )
