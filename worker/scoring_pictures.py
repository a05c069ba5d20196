"""Pictures and form for readers who score saliency maps."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from models.classifier import Classification, Classifier
from models.prediction import FloatArray
from training.data.example import Example
from training.data.pixels import read_pixels
from training.explanation.scoring_sheet import Case, write_sheet
from worker.overlay import as_rgb, render_map, render_radiograph

LONGEST_SIDE = 900


def write_cases(
    folder: Path,
    classifier: Classifier,
    examples: Sequence[Example],
    advance: Callable[[], None] = lambda: None,
) -> int:
    """Draw each radiograph beside its map into `folder`/pictures and write `folder`/sheet.csv."""
    (folder / "pictures").mkdir()
    cases = []
    for number, example in enumerate(examples, 1):
        pixels = read_pixels(example.path)
        found = classifier.classify([pixels])[0]
        case = _case(number, example, found)
        cv2.imwrite(str(folder / case.picture), _picture(pixels, found.saliency.values)[:, :, ::-1])
        cases.append(case)
        advance()
    write_sheet(folder / "sheet.csv", cases)
    return len(cases)


def _case(number: int, example: Example, found: Classification) -> Case:
    return Case(
        name=f"{number:03d}",
        picture=f"pictures/{number:03d}.png",
        label=_words(example.fractured),
        answer=_words(found.prediction.operating_point is not None),
        probability=found.prediction.probability,
    )


def _words(fractured: bool) -> str:
    return "fractured" if fractured else "not fractured"


def _picture(pixels: FloatArray, saliency: FloatArray) -> npt.NDArray[np.uint8]:
    plain = render_radiograph(pixels, LONGEST_SIDE)
    return np.hstack([as_rgb(plain), render_map(plain, saliency)])
