"""Plots of how faithful saliency maps are."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from training.explanation.faithfulness import Curves
from training.explanation.measure import Faithfulness, Figures


def plot_curves(path: Path, found: Faithfulness) -> None:
    """Mean insertion and deletion curves, of the maps and of noise, as PNG."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, kind in zip(axes, ("insertion", "deletion"), strict=True):
        for label, curves in (("saliency map", found.of_maps), ("map of noise", found.of_noise)):
            axis.plot(*_mean(curves, kind), marker="o", markersize=3, label=label)
        axis.set(title=kind.capitalize(), xlabel="share of pixels, most marked first", ylim=(0, 1))
    axes[0].set_ylabel("fracture probability, mean")
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=120)


def _mean(curves: Sequence[Curves], kind: str) -> tuple[Figures, Figures]:
    values = np.mean([getattr(one, kind) for one in curves], axis=0)
    return np.linspace(0, 1, len(values)), values
