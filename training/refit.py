"""Fits anew what a finished bundle knows of pictures beside its network: scope and position.

The network stays as it is, so any engine will do: two arrays of its features are all that is asked.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold

from models.bundle import ModelBundle
from models.engine import Engine
from models.position import PositionHead
from models.prediction import FloatArray
from models.preprocessing import letterbox, shows_nothing, to_network_input
from models.scope import Description, Scope, describe
from training.data.example import Example
from training.data.pixels import read_pixels
from training.foreign_pictures import KINDS, draw_foreign, read_foreign_file
from training.other_parts import fit_other_parts, rejected_sources
from training.position import FOLDS, TURNS, fit_position, judged_by_others, seen_as
from training.scope import VARIATIONS, processed, random_of, spread_of, varied
from training.statistics.intervals import Estimate, wilson

Figures = dict[str, dict[str, dict[str, Estimate]]]
"""Measure → turn in degrees, or look → group of radiographs → share."""
Rows = npt.NDArray[np.int_]

_STANDING = (0, *range(len(TURNS), len(TURNS) + VARIATIONS))
"""Columns of `Shown` whose features are spread over: what lies is turned before it is judged."""
_PROCESSED = len(TURNS) + VARIATIONS
_OF_MAKERS = (*_STANDING, _PROCESSED)
"""Columns that show texture, and limbs against other parts. Features stay tighter: spread over
heavily processed limbs they come nearer to chests."""
_MEASURED = _PROCESSED + 1
"""Another processed copy; nothing is fitted on it."""
_FINER = 2
"""Times the input's longer side: what is larger is shrunk to it before it is processed."""
_DRAWN_OF_A_KIND, _DRAWN_SEED = 12, 1000


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What a network says of n radiographs in each of `TURNS`, of varied and of processed copies.

    Of two processed copies one is for fits, and one measures.
    """

    features: FloatArray
    """(n, 4 + `VARIATIONS` + 2, K): shares."""
    texture: FloatArray
    """(n, 4 + `VARIATIONS` + 2, measures)."""
    probabilities: npt.NDArray[np.float64]
    """(n, 4), calibrated."""


@dataclass(frozen=True, slots=True, eq=False)
class Refitted:
    """Scope and position head of a network, and what they do to groups that the fit left out."""

    scope: Scope
    position: PositionHead
    figures: Figures
    """The network itself learned from these radiographs, upright."""


def show(
    bundle: ModelBundle,
    engine: Engine,
    examples: Sequence[Example],
    seed: int,
    on_progress: Callable[[], None],
) -> Shown:
    """Run the network over every radiograph, turned and varied; `on_progress` for each."""
    features, texture, logits = [], [], []
    for number, example in enumerate(examples):
        pixels = read_pixels(example.path)
        described, found = _seen(bundle, engine, pixels, seed, number)
        features.append(described.features)
        texture.append(described.texture)
        logits.append(found[: len(TURNS)])
        on_progress()
    probabilities = bundle.calibration.probability(np.stack(logits))
    return Shown(np.stack(features), np.stack(texture), np.asarray(probabilities, np.float64))


def show_others(
    bundle: ModelBundle, engine: Engine, paths: Sequence[Path], seed: int
) -> FloatArray:
    """Return the shares (n, 1 + `VARIATIONS`, K) of pictures of other parts, as limbs are shown.

    Raises:
        DataError: a file shows nothing.
    """
    pictures = [frame for path in paths for frame in read_foreign_file(path)]
    return _show_foreign(bundle, engine, pictures, seed)


def show_drawn(bundle: ModelBundle, engine: Engine, seed: int) -> FloatArray:
    """Return the same of drawn controls, others than those that `model scope` draws by default."""
    drawn = [
        draw_foreign(kind, number, _DRAWN_SEED + seed)
        for kind in KINDS
        for number in range(_DRAWN_OF_A_KIND)
    ]
    seen = [one for one in drawn if not shows_nothing(one, bundle.preprocessing)]
    return _show_foreign(bundle, engine, seen, seed)


def _show_foreign(
    bundle: ModelBundle, engine: Engine, pictures: Sequence[FloatArray], seed: int
) -> FloatArray:
    seen = [_seen(bundle, engine, one, seed, number)[0] for number, one in enumerate(pictures)]
    return np.stack([described.features[list(_STANDING)] for described in seen])


def refit(
    bundle: ModelBundle,
    shown: Shown,
    fractured: npt.NDArray[np.bool_],
    groups: Sequence[int],
    others: Mapping[str, FloatArray],
) -> Refitted:
    """Fit all, and measure them on groups, and sources of other parts, that each fit leaves out.

    Args:
        bundle: of the network.
        shown: what it says of the radiographs.
        fractured: (n).
        groups: (n).
        others: by source of other parts, what `show_others` or `show_drawn` gives.
    """
    everything = np.arange(len(fractured))
    numbers = np.asarray(groups)
    log_odds = judged_by_others(shown.features[:, : len(TURNS)], groups)
    figures = _figures_of_turns(bundle, shown.probabilities, log_odds, fractured)
    figures["outside the scope"] = {
        name: {"all": _share(rejected)}
        for name, rejected in _rejected_by_others(shown, numbers, others).items()
    }
    head = fit_position(shown.features[:, : len(TURNS)])
    scope = _scope_of(shown, everything, numbers, others)
    if len(others) > 1:
        limbs = _flat(shown.features[:, _OF_MAKERS])
        many = np.repeat(numbers, len(_OF_MAKERS)).tolist()
        found = rejected_sources(limbs, many, list(map(_flat, others.values())))
        for name, rejected in zip(others, found, strict=True):
            plain = rejected[:: len(_STANDING)]
            figures["outside the scope"][f"{name}, told by the other sources"] = {
                "all": _share(plain)
            }
    return Refitted(scope, head, figures)


def _flat(copies: FloatArray) -> FloatArray:
    """(n, copies, d) as (n · copies, d)."""
    return copies.reshape(-1, copies.shape[-1])


def _scope_of(
    shown: Shown, rows: Rows, groups: npt.NDArray[np.int_], others: Mapping[str, FloatArray]
) -> Scope:
    of_makers = np.repeat(groups[rows], len(_OF_MAKERS)).tolist()
    head = None
    if others:
        limbs = _flat(shown.features[rows][:, _OF_MAKERS])
        head = fit_other_parts(limbs, of_makers, list(map(_flat, others.values())))
    return Scope(
        spread_of(
            _flat(shown.features[rows][:, _STANDING]), np.repeat(groups[rows], len(_STANDING))
        ),
        spread_of(_flat(shown.texture[rows][:, _OF_MAKERS]), of_makers),
        head,
    )


def _rejected_by_others(
    shown: Shown, groups: npt.NDArray[np.int_], others: Mapping[str, FloatArray]
) -> dict[str, npt.NDArray[np.bool_]]:
    """Upright and processed radiographs (n) that a scope of other groups rejects."""
    columns = {"upright": 0, "processed": _MEASURED}
    found = {name: np.zeros(len(groups), np.bool_) for name in columns}
    for rest, own in GroupKFold(FOLDS).split(groups, groups=groups):
        scope = _scope_of(shown, rest, groups, others)
        for name, column in columns.items():
            described = Description(shown.features[own, column], shown.texture[own, column])
            found[name][own] = scope.excess(described) > 1
    return found


def _seen(
    bundle: ModelBundle, engine: Engine, pixels: FloatArray, seed: int, number: int
) -> tuple[Description, FloatArray]:
    preprocessing = bundle.preprocessing
    whole = _shrunk(pixels, _FINER * max(preprocessing.shape))
    fitted, measured = (
        processed(whole, random_of(seed, number, VARIATIONS + copy)) for copy in range(2)
    )
    squares = [
        *(letterbox(_turned(pixels, k), preprocessing)[0] for k in range(len(TURNS))),
        *(varied(whole, preprocessing, random_of(seed, number, k)) for k in range(VARIATIONS)),
        letterbox(fitted, preprocessing)[0],
        letterbox(measured, preprocessing)[0],
    ]
    batch = np.stack(squares)
    features, logits = engine.run(to_network_input(batch, preprocessing.normalization))
    return describe(batch, features), logits


def _shrunk(pixels: FloatArray, longest: int) -> FloatArray:
    scale = longest / max(pixels.shape)
    if scale >= 1:
        return pixels
    return np.asarray(
        cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.float32
    )


def _turned(pixels: FloatArray, quarters: int) -> FloatArray:
    return np.ascontiguousarray(np.rot90(pixels, quarters))


def _figures_of_turns(
    bundle: ModelBundle,
    probabilities: npt.NDArray[np.float64],
    log_odds: npt.NDArray[np.float64],
    fractured: npt.NDArray[np.bool_],
) -> Figures:
    points = bundle.operating_points
    chosen = np.take_along_axis(probabilities, seen_as(log_odds), axis=1)
    lies = log_odds > 0
    figures: Figures = {}
    for column, turn in enumerate(TURNS):
        right = lies[:, column] == (turn in (90, 270))
        figures.setdefault("position told", {})[str(turn)] = {"all": _share(right)}
        for word, threshold in (("possible", points.sensitive), ("likely", points.specific)):
            for way, seen in (("as it comes", probabilities), ("turned where it lies", chosen)):
                flagged = seen[:, column] >= threshold
                figures.setdefault(f"{word}, {way}", {})[str(turn)] = {
                    "fractured": _share(flagged[fractured]),
                    "others": _share(flagged[~fractured]),
                }
    return figures


def _share(found: npt.NDArray[np.bool_]) -> Estimate:
    return wilson(int(found.sum()), len(found))
