"""The only way from settings and a bundle to a classifier."""

from collections.abc import Callable

from models.bundle import ModelBundle
from models.classifier import Classifier
from models.engines.choice import ChosenEngine, make_engine
from worker.settings import Settings

MEASUREMENTS_FILE = "engines.json"
"""In the data folder: what `model.engine = "auto"` measured, per bundle and machine."""


def make_classifier(
    settings: Settings,
    bundle: ModelBundle,
    on_choice: Callable[[ChosenEngine], None] = lambda _: None,
) -> Classifier:
    """Return a classifier on the engine of `model.engine`; `on_choice` is told which, and why.

    Raises:
        EngineError: no engine can run the bundle here.
        BundleError: the engine cannot load the bundle.
    """
    measurements = settings.data_folder / MEASUREMENTS_FILE
    chosen = make_engine(bundle, settings.model.engine, measurements)
    on_choice(chosen)
    return Classifier(bundle, chosen.engine)
