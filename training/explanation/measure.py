"""All measures of a bundle's saliency maps on labelled radiographs with fracture boxes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.bundle import ModelBundle
from models.classifier import Classifier
from models.prediction import FloatArray
from training.data.example import Example
from training.data.pixels import read_pixels
from training.errors import DataError
from training.explanation.faithfulness import Curves, curves, random_order
from training.explanation.localisation import Localisation, localise
from training.explanation.randomisation import Depth, mean_rank_correlation, randomised
from training.split_file import Part
from training.statistics.intervals import Estimate, bootstrap

FAITHFULNESS_SAMPLE = 60
"""Radiographs whose maps are kept for the costly measures."""
RANDOMISATION_SAMPLE = 40
"""The first of them."""

Advance = Callable[[], None]
Figures = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """One fractured radiograph: what the model said and how its map fares."""

    example: Example
    group: int
    probability: float
    flagged: bool
    localisation: Localisation


Sample = Sequence[tuple[Explained, FloatArray]]
"""Radiographs with their maps."""


@dataclass(frozen=True, slots=True, eq=False)
class Faithfulness:
    """Curves of the maps, and of maps that know nothing, of the same radiographs."""

    of_maps: tuple[Curves, ...]
    of_noise: tuple[Curves, ...]
    groups: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Everything measured."""

    explained: tuple[Explained, ...]
    faithfulness: Faithfulness
    correlations: Mapping[Depth, float]
    """Mean rank correlation of maps before and after the weights were put out of order."""


def steps(boxed: int) -> int:
    """How often `measure` advances for so many radiographs with boxes."""
    return boxed + min(boxed, FAITHFULNESS_SAMPLE) + len(Depth) * min(boxed, RANDOMISATION_SAMPLE)


def boxed(part: Part) -> list[tuple[Example, int]]:
    """The fractured radiographs whose fracture is boxed, with their groups.

    Raises:
        DataError: there is none.
    """
    pairs = zip(part.examples, part.groups.tolist(), strict=True)
    found = [(example, group) for example, group in pairs if example.boxes]
    if not found:
        raise DataError("no radiograph has a fracture box; FracAtlas has fracture_boxes.csv")
    return found


def measure(
    bundle: ModelBundle,
    cases: Sequence[tuple[Example, int]],
    make_classifier: Callable[[ModelBundle], Classifier],
    *,
    seed: int = 0,
    advance: Advance = lambda: None,
) -> Measured:
    """Measure on `cases` from `boxed`; the costly parts on a sample drawn by `seed`."""
    classifier = make_classifier(bundle)
    drawn = np.random.default_rng(seed).permutation(len(cases))[:FAITHFULNESS_SAMPLE].tolist()
    explained: list[Explained] = []
    maps: dict[int, FloatArray] = {}
    for index, (example, group) in enumerate(cases):
        one, saliency = explain(classifier, example, group)
        explained.append(one)
        if index in drawn:
            maps[index] = saliency
        advance()
    sample = [(explained[index], maps[index]) for index in drawn]
    return Measured(
        tuple(explained),
        _faithfulness(classifier, sample, seed, advance),
        _correlations(bundle, sample[:RANDOMISATION_SAMPLE], make_classifier, seed, advance),
    )


def summary(measured: Measured) -> dict[str, Estimate]:
    """Figure → estimate with its interval by group, for all and for the flagged ones alone."""
    figures: dict[str, Estimate] = {}
    for name, chosen in (
        ("all", measured.explained),
        ("flagged", tuple(one for one in measured.explained if one.flagged)),
    ):
        if chosen:
            figures |= localisation_figures(name, chosen)
    return figures | _faithfulness_figures(measured.faithfulness)


def explain(classifier: Classifier, example: Example, group: int) -> tuple[Explained, FloatArray]:
    """What is kept of every radiograph, and the map's values (`SaliencyMap`)."""
    pixels = read_pixels(example.path)
    prediction, saliency, _ = classifier.classify([pixels], [example.region.upper()])[0]
    explained = Explained(
        example,
        group,
        prediction.probability,
        prediction.operating_point is not None,
        localise(saliency, example.boxes, *pixels.shape),
    )
    return explained, saliency.values


def _faithfulness(
    classifier: Classifier, sample: Sample, seed: int, advance: Advance
) -> Faithfulness:
    def probabilities(radiographs: Sequence[FloatArray]) -> Figures:
        return np.array([one.prediction.probability for one in classifier.classify(radiographs)])

    of_maps, of_noise = [], []
    for number, (one, saliency) in enumerate(sample):
        pixels = read_pixels(one.example.path)
        noise = random_order(saliency.shape, seed + number)
        of_maps.append(curves(pixels, saliency, probabilities))
        of_noise.append(curves(pixels, noise, probabilities))
        advance()
    groups = np.array([one.group for one, _ in sample], np.int32)
    return Faithfulness(tuple(of_maps), tuple(of_noise), groups)


def _correlations(
    bundle: ModelBundle,
    sample: Sample,
    make_classifier: Callable[[ModelBundle], Classifier],
    seed: int,
    advance: Advance,
) -> dict[Depth, float]:
    before = [saliency for _, saliency in sample]
    found = {}
    for depth in Depth:
        other = make_classifier(randomised(bundle, depth, seed))
        after = []
        for one, _ in sample:
            after.append(other.classify([read_pixels(one.example.path)])[0].saliency.values)
            advance()
        found[depth] = mean_rank_correlation(before, after)
    return found


def localisation_figures(name: str, chosen: Sequence[Explained]) -> dict[str, Estimate]:
    """Means with intervals by group; `name` says of which radiographs."""
    groups = np.array([one.group for one in chosen], np.int32)
    figures = {
        "peak in box": [one.localisation.peak_in_box for one in chosen],
        "energy in box": [one.localisation.energy_in_box for one in chosen],
        "IoU": [one.localisation.iou for one in chosen],
        "centre in box": [one.localisation.centre_in_box for one in chosen],
        "box's share of the area": [one.localisation.box_share for one in chosen],
    }
    return {
        f"{figure}, {name}": _mean(np.array(values, float), groups)
        for figure, values in figures.items()
    }


def _faithfulness_figures(found: Faithfulness) -> dict[str, Estimate]:
    areas = {
        "insertion": [one.insertion_area for one in found.of_maps],
        "insertion, map of noise": [one.insertion_area for one in found.of_noise],
        "deletion": [one.deletion_area for one in found.of_maps],
        "deletion, map of noise": [one.deletion_area for one in found.of_noise],
    }
    return {name: _mean(np.array(values), found.groups) for name, values in areas.items()}


def _mean(values: Figures, groups: npt.NDArray[np.int32]) -> Estimate:
    return bootstrap(lambda rows: float(values[rows].mean()), groups)
