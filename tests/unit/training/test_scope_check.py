"""How many pictures a bundle rejects."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom.data import get_testdata_file

from models.classifier import BATCH_SIZE, Classifier
from tests.scoped_model import EdgeNetwork, bundle_that_knows_limbs, draw_limb
from training.data.example import Example
from training.foreign_pictures import KINDS
from training.scope_check import check_controls, check_files, check_radiographs


@pytest.fixture
def classifier() -> Classifier:
    return Classifier(bundle_that_knows_limbs(), EdgeNetwork())


def write(folder: Path, name: str, pixels: np.ndarray) -> Path:
    path = folder / name
    assert cv2.imwrite(str(path), np.rint(255 * pixels).astype(np.uint8))
    return path


def test_false_rejections_are_counted_over_several_batches(
    classifier: Classifier, tmp_path: Path
) -> None:
    noise = np.random.default_rng(1).random((96, 72))
    limbs = [write(tmp_path, f"{n}.png", draw_limb(1000 + n)) for n in range(BATCH_SIZE + 3)]
    paths = [*limbs, write(tmp_path, "noise.png", noise), write(tmp_path, "blank.png", 0 * noise)]
    told: list[None] = []
    found = check_radiographs(
        classifier, [Example(path, False, ()) for path in paths], lambda: told.append(None)
    )
    assert len(told) == found.pictures == len(paths)
    assert 2 <= found.rejected <= 4
    assert found.share.low < found.share.value < found.share.high


def test_controls_of_every_kind_are_drawn_and_counted(classifier: Classifier) -> None:
    found = check_controls(classifier, 3, seed=1)
    assert [(one.kind, one.pictures) for one in found] == [(kind, 3) for kind in KINDS]
    assert {one.kind: one.rejected for one in found}["white noise"] == 3


def test_each_file_is_told_with_its_frames_or_its_trouble(
    classifier: Classifier, tmp_path: Path
) -> None:
    limb = write(tmp_path, "limb.png", draw_limb(1000))
    dose = Path(str(get_testdata_file("rtdose.dcm")))
    (tmp_path / "none.txt").write_text("no picture")
    kept, frames, none = check_files(classifier, [limb, dose, tmp_path / "none.txt"])
    assert (kept.rejected, kept.trouble) == ((False,), "")
    assert len(frames.rejected) == 4
    assert none.rejected == ()
    assert "none.txt" in none.trouble
