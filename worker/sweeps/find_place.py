"""From a sweep to the place where it looks: a PACS, a folder or the ledger."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from db.registry import ModelRegistry
from db.sweep_records import SweepRecord
from db.sweeps import Sweeps
from dicom_node.receiver import Receiver
from worker.model_updates.library import champion_of
from worker.settings import Settings, SourceSettings
from worker.sweeps.folder import FolderPlace
from worker.sweeps.known_studies import KnownStudiesPlace
from worker.sweeps.pacs import PacsPlace
from worker.sweeps.places import Place
from worker.sweeps.selection import Selection


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
                self._settings.body_parts,
            )
        return self._folders[key]
