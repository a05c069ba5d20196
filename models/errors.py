"""Errors of this package.

ModelError
├── BundleError       a bundle is missing, incomplete, altered or of an unknown architecture
├── EngineError       the engine that is asked for is not installed, or none can run the bundle
└── PretrainedError   a file of pretrained weights is missing, damaged or of another network
"""


class ModelError(Exception):
    """Root of every error that `models` raises on purpose."""


class BundleError(ModelError):
    """A model bundle cannot be used; the message says which file and what to do."""


class EngineError(ModelError):
    """No engine can run the bundle here; the message says what to install or to set."""


class PretrainedError(ModelError):
    """Pretrained weights cannot be used; the message names the file, the layer and its shapes."""
