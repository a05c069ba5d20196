"""Plots of trained classifiers as PNG, by matplotlib's objects alone: no global state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import roc_curve

from models.prediction import FloatArray
from training.data.example import Box
from training.history import Epoch, best_epoch
from training.recipe import Watched
from training.statistics.calibration import Binning, calibration_error, reliability
from training.statistics.figures import Confusion, Labels, Scores, auc

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's, told apart by colour-blind readers too."""
DOTS_PER_INCH = 150
GREATEST_OPACITY = 0.55
"""Bone stays readable below a map."""


def plot_roc(
    path: Path,
    models: Mapping[str, tuple[Scores, Labels]],
    points: Mapping[str, tuple[float, float]] | None = None,
) -> None:
    """ROC curves by name of (scores, labels), with each model's call at log-odds 0 as a dot.

    `points` are (sensitivity, specificity) of others, drawn as crosses.
    """
    figure = Figure(figsize=(5.2, 5.0), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.75", linewidth=1, linestyle="--")
    for colour, (name, (scores, labels)) in zip(COLOURS, models.items(), strict=False):
        false_positives, true_positives, _ = roc_curve(labels, scores)
        title = f"{name}, AUC {auc(scores, labels):.3f}"
        axes.plot(false_positives, true_positives, color=colour, linewidth=1.8, label=title)
        called = scores >= 0.0
        at = called[~labels].mean(), called[labels].mean()
        axes.plot(*at, "o", color=colour, markersize=7, clip_on=False, zorder=5)
    for colour, (name, (recall, specificity)) in zip(COLOURS, (points or {}).items(), strict=False):
        axes.plot(1 - specificity, recall, "x", color=colour, markersize=8, mew=2, label=name)
    axes.set(xlabel="1 − specificity", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1.005))
    axes.set_aspect("equal")
    axes.legend(frameon=False, loc="lower right", fontsize=9)
    _save(figure, path)


def plot_histories(
    path: Path, histories: Mapping[str, Sequence[Epoch]], watched: Watched = Watched.LOSS
) -> None:
    """Loss and accuracy per epoch, a column per run; a dot marks the epoch that was kept."""
    figure = Figure(figsize=(3.5 * len(histories) + 0.5, 5.2), layout="constrained")
    axes = figure.subplots(2, len(histories), squeeze=False, sharey="row", sharex="col")
    for column, (name, history) in enumerate(histories.items()):
        kept = best_epoch(history, watched)
        _plot_epochs(axes[0, column], history, kept, "loss", "val_loss")
        _plot_epochs(axes[1, column], history, kept, "accuracy", "val_accuracy")
        axes[0, column].set_title(name, fontsize=10)
        axes[1, column].set_xlabel("epoch")
        axes[1, column].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0, 0].set_ylabel("cross-entropy")
    axes[1, 0].set_ylabel("accuracy")
    axes[0, 0].legend(frameon=False, fontsize=8)
    _save(figure, path)


def plot_confusions(path: Path, matrices: Mapping[str, Confusion]) -> None:
    """Confusion matrices side by side: counts, and shares of each true class by shade."""
    figure = Figure(figsize=(2.7 * len(matrices) + 0.6, 3.4), layout="constrained")
    all_axes = figure.subplots(1, len(matrices), squeeze=False)[0]
    for axes, (name, counts) in zip(all_axes, matrices.items(), strict=True):
        _plot_confusion(axes, counts)
        axes.set_title(name, fontsize=10)
    all_axes[0].set_ylabel("label")
    _save(figure, path)


def plot_reliability(path: Path, models: Mapping[str, tuple[Scores, Labels]]) -> None:
    """Said probability against observed frequency, in ten bins of equal mass; by name of
    (probabilities, labels)."""
    figure = Figure(figsize=(5.2, 5.0), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.75", linewidth=1, linestyle="--")
    for colour, (name, (probabilities, labels)) in zip(COLOURS, models.items(), strict=False):
        bins = reliability(probabilities, labels, Binning.EQUAL_MASS)
        error = calibration_error(probabilities, labels, Binning.EQUAL_MASS)
        axes.plot(
            [one.probability for one in bins],
            [one.fractured for one in bins],
            "o-",
            color=colour,
            markersize=4,
            label=f"{name}, ECE {error:.3f}",
        )
    axes.set(xlabel="probability, mean of a bin", ylabel="fractured share", xlim=(0, 1))
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    axes.legend(frameon=False, loc="upper left", fontsize=9)
    _save(figure, path)


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """A radiograph (rows, columns) in [0, 1] and its map in [0, 1] on any grid; boxes in pixels."""

    title: str
    pixels: FloatArray
    saliency: FloatArray
    boxes: tuple[Box, ...]


def plot_panels(path: Path, panels: Sequence[Panel], columns: int = 2) -> None:
    """Each radiograph with its fracture boxes, and beside it with its saliency map."""
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(5.0 * columns, 2.9 * rows), layout="constrained")
    axes = figure.subplots(rows, 2 * columns, squeeze=False)
    for one in axes.flat:
        one.axis("off")
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        plain, explained = axes[row, 2 * column], axes[row, 2 * column + 1]
        _show(plain, panel)
        plain.set_title(panel.title, fontsize=8, loc="left")
        _show(explained, panel)
        _show_map(explained, panel)
    _save(figure, path)


def _plot_epochs(
    axes: Axes, history: Sequence[Epoch], kept: Epoch | None, shown: str, validated: str
) -> None:
    numbers = [epoch.epoch for epoch in history]
    axes.plot(numbers, [getattr(epoch, shown) for epoch in history], color=COLOURS[0])
    axes.plot(numbers, [getattr(epoch, validated) for epoch in history], color=COLOURS[1])
    axes.lines[0].set_label("training (augmented, dropout)")
    axes.lines[1].set_label("validation")
    if kept is not None:
        axes.plot(kept.epoch, getattr(kept, validated), "o", color=COLOURS[1], label="kept")
    axes.grid(color="0.92")


def _plot_confusion(axes: Axes, counts: Confusion) -> None:
    matrix = np.array(
        [
            [counts.true_negatives, counts.false_positives],
            [counts.false_negatives, counts.true_positives],
        ]
    )
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(2, 2):
        colour = "white" if shares[row, column] > 0.5 else "black"
        text = f"{matrix[row, column]}\n{shares[row, column]:.0%}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=10)
    names = ["other", "fractured"]
    axes.set_xticks([0, 1], names)
    axes.set_yticks([0, 1], names, rotation=90, va="center")
    axes.set_xlabel("answer")


def _show(axes: Axes, panel: Panel) -> None:
    axes.imshow(panel.pixels, cmap="gray", vmin=0, vmax=1)
    for box in panel.boxes:
        corner = (box.x - 0.5, box.y - 0.5)
        axes.add_patch(
            Rectangle(corner, box.width, box.height, fill=False, edgecolor="#56B4E9", linewidth=1)
        )


def _show_map(axes: Axes, panel: Panel) -> None:
    rows, columns = panel.pixels.shape
    opacity: npt.NDArray[np.float32] = GREATEST_OPACITY * panel.saliency
    axes.imshow(
        panel.saliency,
        cmap="plasma",
        vmin=0,
        vmax=1,
        alpha=opacity,
        extent=(-0.5, columns - 0.5, rows - 0.5, -0.5),
        interpolation="bilinear",
    )


def _save(figure: Figure, path: Path) -> None:
    """Whole or not at all."""
    unfinished = path.with_name(f"unfinished-{path.name}")
    figure.savefig(unfinished, dpi=DOTS_PER_INCH, format="png")
    unfinished.replace(path)
