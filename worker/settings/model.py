"""[model]: which classifier."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from models.shipped import DEFAULT_BUNDLE
from worker.settings.fields import PositiveSeconds, Section


class ModelSettings(Section):
    """The classifier."""

    bundle: Path = Field(
        DEFAULT_BUNDLE,
        description="Folder with card.json and weights.npz, in use until an imported model is "
        "promoted; default: as shipped.",
    )
    engine: Literal["auto", "onnxruntime", "openvino", "tensorflow"] = Field(
        "auto",
        description="What runs the network. auto: TensorFlow for a bundle without network.onnx, or "
        "where a GPU is there that ONNX Runtime cannot use; else ONNX Runtime, or OpenVINO where "
        "it is installed and measured faster (`fracture-screen model engines`).",
    )
    reject_outside_scope: bool = Field(
        True,
        description="Leave what the bundle finds unlike its training data NOT_ANALYSED. A bundle "
        "from before it knew its scope rejects nothing.",
    )
    shadow_budget_s: PositiveSeconds = Field(
        30.0, description="Seconds that a shadow model may take for one study."
    )
