"""Measures a bundle's scope: how many radiographs it rejects wrongly, how many controls rightly."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from models.classifier import BATCH_SIZE, Classifier
from models.prediction import FloatArray
from models.preprocessing import shows_nothing
from training.data.example import Example
from training.data.pixels import read_pixels
from training.errors import DataError
from training.foreign_pictures import KINDS, draw_foreign, read_foreign_file
from training.statistics.intervals import Estimate, wilson

RADIOGRAPHS = "radiographs"
Advance = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Rejections:
    """Of one kind of pictures."""

    kind: str
    pictures: int
    rejected: int

    @property
    def share(self) -> Estimate:
        """Rejected, with its 95 % interval (Wilson)."""
        return wilson(self.rejected, self.pictures)


@dataclass(frozen=True, slots=True)
class LookedAtFile:
    """A file of any kind: which of its frames were rejected, or why it has none."""

    path: Path
    rejected: tuple[bool, ...]
    trouble: str = ""


def check_radiographs(
    classifier: Classifier, examples: Sequence[Example], advance: Advance = lambda: None
) -> Rejections:
    """False rejections: of radiographs that the model is for.

    Raises:
        DataError: one cannot be read.
    """
    found = _rejected(classifier, _counted((read_pixels(one.path) for one in examples), advance))
    return Rejections(RADIOGRAPHS, len(found), sum(found))


def check_controls(
    classifier: Classifier, per_kind: int, seed: int, advance: Advance = lambda: None
) -> list[Rejections]:
    """Of `per_kind` pictures of each kind that `foreign_pictures` draws."""
    results = []
    for kind in KINDS:
        drawn = (draw_foreign(kind, number, seed) for number in range(per_kind))
        found = _rejected(classifier, _counted(drawn, advance))
        results.append(Rejections(kind, len(found), sum(found)))
    return results


def check_files(
    classifier: Classifier, paths: Iterable[Path], advance: Advance = lambda: None
) -> list[LookedAtFile]:
    """Pictures and DICOM files of any kind, as if each were a radiograph without a body part."""
    results = []
    for path in paths:
        try:
            frames = read_foreign_file(path)
            results.append(LookedAtFile(path, tuple(_rejected(classifier, frames))))
        except DataError as error:
            results.append(LookedAtFile(path, (), str(error)))
        advance()
    return results


def _rejected(classifier: Classifier, pictures: Iterable[FloatArray]) -> list[bool]:
    """Blank ones, too: screening rejects them before a network sees them."""
    found: list[bool] = []
    waiting = iter(pictures)
    while batch := list(islice(waiting, BATCH_SIZE)):
        blank = [shows_nothing(one, classifier.bundle.preprocessing) for one in batch]
        classified = classifier.classify(batch)
        found += [
            nothing or one.outside_scope for nothing, one in zip(blank, classified, strict=True)
        ]
    return found


def _counted(pictures: Iterable[FloatArray], advance: Advance) -> Iterator[FloatArray]:
    for picture in pictures:
        yield picture
        advance()
