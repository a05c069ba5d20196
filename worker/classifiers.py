"""The only way from settings and a bundle to a classifier."""

import structlog

from models.bundle import ModelBundle
from models.classifier import Classifier
from models.engines.choice import make_engine
from worker.settings import Settings

MEASUREMENTS_FILE = "engines.json"
"""In the data folder: what `model.engine = "auto"` measured, per bundle and machine."""

_log = structlog.get_logger(__name__)


def make_classifier(settings: Settings, bundle: ModelBundle) -> Classifier:
    """Return a classifier on the engine of `model.engine`; the log says which, and why.

    Raises:
        EngineError: no engine can run the bundle here.
        BundleError: the engine cannot load the bundle.
    """
    measurements = settings.data_folder / MEASUREMENTS_FILE
    chosen = make_engine(bundle, settings.model.engine, measurements)
    _log.info(
        "engine_chosen",
        model=bundle.identity.label,
        engine=chosen.engine.label,
        reason=chosen.reason,
    )
    return Classifier(bundle, chosen.engine)
