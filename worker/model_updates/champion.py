"""Which model screens the next study: looked up in the registry, loaded when it changed."""

from collections.abc import Callable
from pathlib import Path

import structlog

from db.registry import ModelRecord, ModelRegistry
from models.bundle import ModelBundle, load_bundle
from worker.collector import freeze_loaded_objects
from worker.model_updates.library import require_digest
from worker.screening import Screener

_log = structlog.get_logger(__name__)


class Champions:
    """Gives the screener of the model in use. For one thread.

    A study is screened by one screener from beginning to end, so no study mixes models.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        data_folder: Path,
        of_settings: Path,
        make_screener: Callable[[ModelBundle], Screener],
    ) -> None:
        """Load nothing yet; `of_settings` is the bundle in use while no import is the champion."""
        self._registry = registry
        self._data_folder = data_folder
        self._of_settings = of_settings
        self._make_screener = make_screener
        self._digest: str | None = None
        self._screener: Screener | None = None

    def screener(self) -> Screener:
        """The screener of this moment's champion: one query, and seconds when it changed.

        Raises:
            BundleError: the champion cannot be loaded. No other model speaks in its place.
            LedgerUnavailable: the registry cannot be asked.
        """
        champion = self._registry.speaking().champion
        digest = "" if champion is None else champion.digest
        if self._screener is None or digest != self._digest:
            replaced = self._screener is not None
            self._screener = None  # two networks at once may be too much memory
            self._screener = self._make_screener(self._load(champion))
            self._digest = digest
            freeze_loaded_objects(something_was_replaced=replaced)
            model = self._screener.model
            _log.info("model_in_use", name=model.name, version=model.version, digest=model.digest)
        return self._screener

    def _load(self, champion: ModelRecord | None) -> ModelBundle:
        if champion is None:
            return load_bundle(self._of_settings)
        bundle = load_bundle(self._data_folder / champion.path)
        require_digest(bundle, champion)
        return bundle
