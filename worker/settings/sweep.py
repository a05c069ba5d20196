"""[sweep] and [[schedules]]: backlog runs, and those of every night."""

from datetime import datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from db.outcomes import Outcome
from worker.settings.fields import Section
from worker.sweeps.time_window import TimeWindow


class SweepSettings(Section):
    """When sweeps work, how much at a time, and what becomes of their results."""

    time_zone: str = Field(
        "UTC", description='Time zone of the site, e.g. "Europe/Berlin" (IANA name).'
    )
    window_start: time = Field(time(22, 0), description="Local time from which on sweeps work.")
    window_end: time = Field(
        time(6, 0), description="Local time at which they stop; the same as window_start: never."
    )
    batch_studies: int = Field(
        8, ge=1, le=64, description="Studies that a worker screens together; triage waits for them."
    )
    queued_studies: int = Field(
        64, ge=1, description="Studies of sweeps that are queued at a time; others wait."
    )
    waiting_studies: int = Field(
        500, ge=1, description="Fetched and unscreened studies from which on none is fetched."
    )
    report_folder: Path | None = Field(
        None,
        description="Folder for reports that are written by themselves, when a sweep is done and "
        "when the window closes over it; they name patients. None: only `sweep report`.",
    )
    readers: int = Field(2, ge=1, le=32, description="Processes that decode for a batch.")
    deliver: tuple[Outcome, ...] = Field(
        (Outcome.POSITIVE,),
        description="Outcomes whose results are made and sent; of the others nothing but the "
        "record is kept, unless the outcome is another than that of results made before.",
    )

    notify_days: int = Field(
        30,
        ge=0,
        description="Messages ([[hl7]], [[webhooks]]) are made of a sweep's results only for "
        "studies of the last so many days that were not reported yet; 0: never.",
    )

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError('is no time zone; give one such as "Europe/Berlin"') from None
        return value

    @property
    def zone(self) -> ZoneInfo:
        """The site's time zone."""
        return ZoneInfo(self.time_zone)

    def local(self, moment: datetime) -> str:
        """A moment as the clock of the site shows it."""
        return f"{moment.astimezone(self.zone):%Y-%m-%d %H:%M} {self.time_zone}"

    @property
    def window(self) -> TimeWindow:
        """When sweeps work."""
        return TimeWindow(self.window_start, self.window_end, self.zone)


class ScheduleSettings(Section):
    """A sweep that begins with every night's window: over a PACS or over a folder."""

    name: str = Field(min_length=1, max_length=64, description="Short unique name for people.")
    source: str = Field("", description="Name of one of the [[sources]].")
    folder: Path | None = Field(None, description="Folder of files, instead of a source.")
    days: int = Field(7, ge=1, description="Studies of the last so many days.")
    modalities: tuple[str, ...] = Field(
        ("CR", "DX"), min_length=1, description="Modalities of their series."
    )
    body_parts: tuple[str, ...] = Field(
        (), description="Body Part Examined of their series; none: all that the model knows."
    )
    institution: str = Field("", description="Institution Name of their series; empty: any.")

    @model_validator(mode="after")
    def _one_place(self) -> "ScheduleSettings":
        if bool(self.source) == (self.folder is not None):
            raise ValueError(f"{self.name}: give either source or folder")
        return self
