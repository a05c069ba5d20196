"""How a sweep comes to be: by a schedule of the settings, or by hand."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from db.registry import ModelRegistry
from db.sweeps import NewSweep, SweepRecord, Sweeps
from dicom_node.receiver import Receiver
from worker.model_updates.library import champion_of
from worker.settings import ScheduleSettings, Settings, SourceSettings
from worker.sweeps.folder import FolderPlace
from worker.sweeps.known_studies import KnownStudiesPlace
from worker.sweeps.pacs import PacsPlace
from worker.sweeps.places import Place
from worker.sweeps.selection import Selection
from worker.sweeps.time_window import TimeWindow

SCHEDULER = "schedule"
"""Who begins what a schedule begins, in the audit trail."""


def begin_scheduled(
    schedule: ScheduleSettings, settings: Settings, sweeps: Sweeps, now: datetime
) -> SweepRecord | None:
    """Tonight's sweep of a schedule; None: its window is not open, or it has begun already."""
    own = settings.sweep
    window = TimeWindow(own.window_start, own.window_end, own.zone)
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


def find_source(settings: Settings, name: str) -> SourceSettings:
    """A source of the settings. ValueError: there is none of this name."""
    for source in settings.sources:
        if source.name == name:
            return source
    known = ", ".join(source.name for source in settings.sources) or "none"
    raise ValueError(f"there is no source {name!r} in the settings, but {known}")


class Places:
    """Gives the place of a sweep, for the model that is in use.

    A folder's is kept from slice to slice: it knows where in the folder it is.
    """

    def __init__(
        self,
        settings: Settings,
        sweeps: Sweeps,
        registry: ModelRegistry,
        receiver: Receiver,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings, self._sweeps, self._registry = settings, sweeps, registry
        self._receiver, self._clock = receiver, clock
        self._folders: dict[tuple[int, str], FolderPlace] = {}

    def of(self, sweep: SweepRecord) -> Place:
        """Raises ValueError: the settings have no such source any more."""
        selection = Selection.from_json(dict(sweep.selection))
        return self.at(sweep.id, sweep.source, sweep.folder, selection)

    def at(self, sweep_id: int, source: str, folder: str, selection: Selection) -> Place:
        """As `of`; 0: a sweep that is only planned."""
        bundle = champion_of(self._settings, self._registry).load()
        model, data_folder = bundle.identity, self._settings.data_folder.resolve()
        if source:
            return PacsPlace(
                find_source(self._settings, source),
                selection,
                sweep_id,
                self._settings,
                self._sweeps,
                bundle,
                self._receiver,
                self._clock,
            )
        if not folder:
            return KnownStudiesPlace(selection, self._sweeps, model, data_folder)
        key = sweep_id, model.digest
        if key not in self._folders:
            self._folders[key] = FolderPlace(
                Path(folder),
                selection,
                sweep_id,
                self._sweeps,
                bundle,
                self._receiver,
                self._clock,
            )
        return self._folders[key]
