"""Files beside images that are none: `screen` skips them, and fails those that may be images."""

from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from pydicom.fileset import FileSet

from tests.chosen_outcomes import POSSIBLE, screener_of
from tests.radiographs import make_for_processing, write_phantom
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance
from worker.offline import Output, Row, screen_files
from worker.screening import TWIN, Screener


class _Unused:
    """A screener for files of which none gets as far as it."""

    class model:  # noqa: N801  stands for an attribute
        label = "model 1"


def _screened(path: Path, tmp_path: Path) -> Row:
    screener = cast(Screener, _Unused())
    output = Output(tmp_path / "out", objects=False)
    (row,) = screen_files([path], screener, output, clock=lambda: datetime.now(UTC))
    return row


def test_a_dicomdir_is_skipped(tmp_path: Path) -> None:
    media = FileSet()
    instance = write_instance(radiograph_dataset(), tmp_path / "a.dcm")
    media.add(instance)
    media.write(tmp_path / "media")

    row = _screened(tmp_path / "media" / "DICOMDIR", tmp_path)

    assert (row.outcome, row.reason) == ("SKIPPED", "a DICOMDIR, not an image")


@pytest.mark.parametrize("name", ["README.TXT", "AUTORUN"])
def test_a_text_is_skipped(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("Open the viewer to see the images.\n" * 9)

    row = _screened(path, tmp_path)

    assert (row.outcome, row.reason) == ("SKIPPED", "neither a DICOM file nor a picture")


@pytest.mark.parametrize("name", ["text.dcm", "empty", "image.png"])
def test_what_may_be_a_damaged_image_fails(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("" if name == "empty" else "no image")

    assert _screened(path, tmp_path).outcome == "FAILED"


def test_a_truncated_instance_fails(tmp_path: Path) -> None:
    whole = write_instance(radiograph_dataset(), tmp_path / "whole")
    path = tmp_path / "cut"
    path.write_bytes(whole.read_bytes()[:-100])

    assert _screened(path, tmp_path).outcome == "FAILED"


def test_a_truncated_instance_without_preamble_fails(tmp_path: Path) -> None:
    whole = write_instance(radiograph_dataset(), tmp_path / "whole")
    path = tmp_path / "cut"
    path.write_bytes(whole.read_bytes()[132:-100])

    assert _screened(path, tmp_path).outcome == "FAILED"


def test_an_image_for_processing_beside_its_twin_says_why_it_is_left_out(tmp_path: Path) -> None:
    presented = write_phantom(tmp_path / "in", "study", 1).path
    unprocessed = make_for_processing(write_phantom(tmp_path / "in", "study", 2).path)
    output = Output(tmp_path / "out", objects=False)

    rows = screen_files(
        [unprocessed, presented], screener_of(POSSIBLE), output, clock=lambda: datetime.now(UTC)
    )

    assert [(row.outcome, row.reason) for row in rows] == [("NOT_ANALYSED", TWIN), ("DOUBTFUL", "")]
