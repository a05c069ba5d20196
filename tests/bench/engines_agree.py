"""Do the engines say the same of every labelled radiograph?

Run by hand: `python -m tests.bench.engines_agree FOLDER`.

Outcomes of operating points must be equal, log-odds nearly so, and the peak of each saliency map
must lie within one cell of the network's features. Exit code 1 where they do not.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from models.bundle import DEFAULT_BUNDLE, ModelBundle, load_bundle
from models.classifier import Classification, Classifier
from models.engines.choice import installed_for, make_engine
from training.data.example import Example
from training.data.layouts import read_labelled_folder
from training.data.pixels import read_pixels

REFERENCE = "tensorflow"


@dataclass(slots=True)
class Agreement:
    """One engine against the reference."""

    radiographs: int = 0
    other_outcomes: list[str] = field(default_factory=list)
    other_scopes: list[str] = field(default_factory=list)
    largest_difference: float = 0.0
    """Between the probabilities of the two engines for one radiograph."""
    largest_distance: float = 0.0
    """Between the peaks of two maps, in cells of the network's features."""

    @property
    def agrees(self) -> bool:
        """Whether outcomes are equal and peaks within one cell."""
        return not (self.other_outcomes or self.other_scopes) and self.largest_distance <= 1

    def add(self, name: str, found: Classification, expected: Classification, cell: float) -> None:
        """Count one radiograph; `cell` is the side of a cell in pixels of the map."""
        mine, reference = found.prediction, expected.prediction
        self.radiographs += 1
        if mine.operating_point is not reference.operating_point:
            self.other_outcomes.append(name)
        if found.outside_scope is not expected.outside_scope:
            self.other_scopes.append(name)
        difference = abs(mine.probability - reference.probability)
        self.largest_difference = max(self.largest_difference, difference)
        shape = expected.saliency.values.shape
        apart = np.subtract(found.saliency.peak(*shape), expected.saliency.peak(*shape))
        self.largest_distance = max(self.largest_distance, float(np.abs(apart).max()) / cell)


def compare(bundle: ModelBundle, examples: list[Example]) -> dict[str, Agreement]:
    """Each installed engine against TensorFlow, over all examples."""
    names = installed_for(bundle)
    classifiers = {name: Classifier(bundle, make_engine(bundle, name).engine) for name in names}
    agreements = {name: Agreement() for name in names if name != REFERENCE}
    assert bundle.network is not None
    cells = bundle.network.check.features.shape[1]
    cell = bundle.architecture.input_size / cells
    for example in examples:
        pixels = [read_pixels(example.path)]
        found = {name: one.classify(pixels)[0] for name, one in classifiers.items()}
        for name, agreement in agreements.items():
            agreement.add(example.path.name, found[name], found[REFERENCE], cell)
    return agreements


def main(folder: Path) -> int:
    """Print what was compared; 0 where all engines agree."""
    examples = list(read_labelled_folder(folder, "auto").examples)
    agreements = compare(load_bundle(DEFAULT_BUNDLE), examples)
    for name, found in agreements.items():
        print(
            f"{name} against {REFERENCE}, {found.radiographs} radiographs: "
            f"{len(found.other_outcomes)} other outcomes, {len(found.other_scopes)} other scopes, "
            f"probabilities differ by at most {found.largest_difference:.2g}, peaks by at most "
            f"{found.largest_distance:.2g} cells"
        )
        for other in (*found.other_outcomes, *found.other_scopes):
            print(f"  {other}")
    return 0 if all(found.agrees for found in agreements.values()) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
