"""The reference that a bundle carries, so that drift can be seen where it is used."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.calibration import Calibration
from models.reference import as_card
from training.card import ScoredExamples
from training.data.example import Example
from training.data.pixels import read_pixels
from training.splits import VALIDATION, Split


def reference_card(
    examples: Sequence[Example], split: Split, card: Mapping[str, Any], scored: ScoredExamples
) -> dict[str, Any]:
    """Histograms over the validation part: `scored` by the network that `card` calibrates.

    Any: JSON.
    """
    measured = [_measure(examples[row]) for row in split.rows(VALIDATION)]
    return as_card(
        {
            "probability": Calibration(**card["calibration"]).probability(scored.logits),
            "mean_intensity": [mean for mean, _ in measured],
            "pixels": [pixels for _, pixels in measured],
        }
    )


def _measure(example: Example) -> tuple[float, int]:
    """Mean grey value in [0, 1] and rows · columns."""
    radiograph = read_pixels(example.path)
    return float(radiograph.mean()), radiograph.size
