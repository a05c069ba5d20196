"""Errors of this package.

ModelError
└── BundleError   a bundle is missing, incomplete, altered or of an unknown architecture
"""


class ModelError(Exception):
    """Root of every error that `models` raises on purpose."""


class BundleError(ModelError):
    """A model bundle cannot be used; the message says which file and what to do."""
