"""Errors of this package.

TrainingError
├── DataError    labelled data or pretrained weights are missing, unreadable or too few
├── ExportError  a network cannot be written as ONNX here
├── RecipeError  a recipe is unknown, contradicts itself or its network
└── RunError     a run's folder holds another run, or its network learned nothing
"""


class TrainingError(Exception):
    """Root of every error that `training` raises on purpose."""


class DataError(TrainingError):
    """Labelled data cannot be used; the message says which file and what was expected."""


class ExportError(TrainingError):
    """A network cannot be written as ONNX here; the message says what to install."""


class RunError(TrainingError):
    """A run cannot go on or gives no bundle; the message says why and what to do."""


class RecipeError(TrainingError):
    """A recipe cannot be used; the message says which field and what is meant."""
