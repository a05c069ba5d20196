"""[model]: which classifier."""

from pathlib import Path

from pydantic import Field

from models.bundle import DEFAULT_BUNDLE
from worker.settings.fields import Section


class ModelSettings(Section):
    """The classifier."""

    bundle: Path = Field(
        DEFAULT_BUNDLE, description="Folder with card.json and weights.npz; default: as shipped."
    )
