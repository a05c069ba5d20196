"""How a model is trained, as one value that goes into its card."""

from dataclasses import dataclass, field

from models.architectures import Architecture
from models.preprocessing import Preprocessing
from training.augmentation import Augmentation


@dataclass(frozen=True, slots=True)
class Recipe:
    """Paper A's protocol, with batch normalisation frozen (docs/decisions.md says why)."""

    architecture: Architecture = field(default_factory=Architecture)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    augmentation: Augmentation = field(default_factory=Augmentation)
    epochs: int = 20
    learning_rate: float = 1e-4
    plateau_epochs: int = 2
    """Epochs without a better validation AUC before the learning rate is halved."""
    patience: int = 5
    """Epochs without a better validation AUC before training stops."""
    batch_size: int = 32
    seed: int = 7

    def __post_init__(self) -> None:
        if self.architecture.input_size != self.preprocessing.input_size:
            raise ValueError(
                f"the architecture's input size is {self.architecture.input_size}, the "
                f"preprocessing's {self.preprocessing.input_size}: give both the same"
            )
