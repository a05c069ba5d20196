"""What `data check` finds, on folders in which it was planted."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.paths import needs_shared_data
from tests.radiographs import ODDITIES
from tests.unit.training.drawn import draw, draw_mura, draw_table, write_labels, write_picture
from training.data.check import Count, check
from training.data.layouts import read_labelled_folder
from training.splits import make_split, shares_plan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return draw_table(tmp_path / "data", 24)


def test_a_clean_folder_is_sound_and_counted(folder: Path) -> None:
    result = check(read_labelled_folder(folder))
    assert result.is_sound
    assert (result.layout, result.radiographs, result.fractured) == ("csv", 24, 12)
    assert (result.broken, result.exact, result.near, result.leaks) == ((), (), (), ())
    assert result.regions == (Count("hand", 12, 6), Count("leg", 12, 6))
    assert result.views == (Count("lateral", 12, 6), Count("ap", 12, 6))
    assert result.hardware == (Count("not stated", 24, 12),)
    assert (result.without_group, result.parts) == (0, "nowhere")
    assert json.loads(json.dumps(result.as_json(), default=str))["is_sound"] is True


def test_a_broken_file_is_named_with_its_reason(folder: Path) -> None:
    (folder / "images" / "003.png").write_bytes(b"broken")
    (folder / "images" / "005.png").unlink()
    result = check(read_labelled_folder(folder))
    assert not result.is_sound
    assert [one.path.name for one in result.broken] == ["003.png", "005.png"]
    assert "003.png" in result.broken[0].reason
    assert "No such file" in result.broken[1].reason


def test_duplicates_with_contradicting_labels_are_told_whether_exact_or_near(
    folder: Path,
) -> None:
    """Numbers 0 and 2 differ in their labels, 0 and 4 don't."""
    write_picture(folder / "images" / "004.png", draw(0))
    write_picture(folder / "images" / "002.png", draw(0)[:, ::-1])
    result = check(read_labelled_folder(folder))
    assert result.exact == (("images/000.png", "images/004.png"),)
    assert result.near == (("images/000.png", "images/002.png"),)
    assert result.contradictions == result.near
    assert result.is_sound


def test_a_split_that_parts_a_patient_or_a_duplicate_leaks_and_a_grouped_one_does_not(
    folder: Path,
) -> None:
    write_picture(folder / "images" / "023.png", draw(0))
    data = read_labelled_folder(folder)
    halves = ["train"] * 11 + ["test"] * 13
    leaks = check(data, halves).leaks
    assert [(leak.what, leak.parts) for leak in leaks] == [
        ("same pixels 0", ("test", "train")),
        ("patient P5", ("test", "train")),
    ]
    assert leaks[0].paths == ("images/000.png", "images/023.png")
    assert leaks[1].paths == ("images/010.png", "images/011.png")
    grouped = make_split(data.examples, shares_plan((50, 50), 1)).part_of
    assert not [leak for leak in check(data, grouped).leaks if leak.what.startswith("patient")]


def test_a_data_set_that_parts_itself_is_looked_through_for_leaks(tmp_path: Path) -> None:
    draw_mura(tmp_path)
    assert check(read_labelled_folder(tmp_path)).parts == "the data set"
    assert check(read_labelled_folder(tmp_path)).is_sound
    source = tmp_path / "train/XR_HAND/patient00001/study1_positive/image1.png"
    copy = tmp_path / "valid/XR_HAND/patient00003/study1_negative/image1.png"
    copy.write_bytes(source.read_bytes())
    result = check(read_labelled_folder(tmp_path))
    assert [leak.parts for leak in result.leaks] == [("train", "validation")]
    assert len(result.contradictions) == 1
    assert not result.is_sound


def test_a_radiograph_that_is_in_no_part_leaks_nothing(folder: Path) -> None:
    data = read_labelled_folder(folder)
    first, *others = data.examples
    examples = (replace(first, part="train"), *others)
    assert check(replace(data, examples=examples)).leaks == ()


def test_radiographs_of_which_nothing_is_known_to_belong_together_are_counted(
    tmp_path: Path,
) -> None:
    rows = [{"path": f"{number}.png", "fractured": number} for number in (0, 1)]
    for number in (0, 1):
        write_picture(tmp_path / f"{number}.png", seed=number)
    write_labels(tmp_path, rows)
    assert check(read_labelled_folder(tmp_path)).without_group == 2


@needs_shared_data
def test_malformed_dicom_files_are_each_named_and_none_ends_the_check(tmp_path: Path) -> None:
    """None of them is a CR or DX image, some are no DICOM that can be parsed at all."""
    files = sorted(path for path in ODDITIES.iterdir() if path.is_file())
    rows = [{"path": path.name, "fractured": 0} for path in files]
    for path in files:
        shutil.copy(path, tmp_path)
    write_labels(tmp_path, rows)
    result = check(read_labelled_folder(tmp_path))
    assert result.layout == "dicom"
    assert [one.path.name for one in result.broken] == [path.name for path in files]
    assert all(one.path.name in one.reason for one in result.broken)
