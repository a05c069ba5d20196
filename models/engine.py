"""The interface of an inference engine; the engines themselves stand in `models.engines`."""

from typing import Protocol

from models.prediction import FloatArray


class Engine(Protocol):
    """Runs a bundle's network. Any runtime that returns these two arrays can serve and explain."""

    @property
    def label(self) -> str:
        """Name, version and device, for logs and tables."""

    @property
    def batch_size(self) -> int:
        """Radiographs per forward pass that suit this runtime and device."""

    def run(self, batch: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(n, rows, columns, 3) → features (n, h, w, K) and log-odds of fracture (n)."""
