"""Reading labelled folders: what is wrong is named, and no label is guessed."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.paths import SHARED_DATA, needs_shared_data
from tests.unit.training.labelled_folders import make_rows, write_table
from training.data.example import Example
from training.data.fracatlas import read_fracatlas
from training.data.pixels import read_pixels
from training.errors import DataError

READ_COLUMNS = ("image_id", "fractured", "region", "hardware", "duplicate_group", "id_block")


def test_every_row_becomes_an_example(tmp_path: Path) -> None:
    write_table(tmp_path, make_rows(4))
    examples = read_fracatlas(tmp_path)
    assert examples[1] == Example(
        path=tmp_path / "images" / "IMG0000001.png",
        fractured=True,
        groups=("block 0", "duplicates 1001"),
        region="hand",
        hardware=True,
    )
    assert [example.fractured for example in examples] == [False, True, False, True]
    assert [example.hardware for example in examples] == [False, True, False, False]
    assert [example.groups[0] for example in examples] == ["block 0"] * 2 + ["block 1"] * 2


def test_a_block_and_a_duplicate_of_the_same_number_are_not_the_same_group(
    tmp_path: Path,
) -> None:
    rows = make_rows(2)
    rows[0] |= {"id_block": "5", "duplicate_group": "6"}
    rows[1] |= {"id_block": "6", "duplicate_group": "5"}
    write_table(tmp_path, rows)
    first, second = read_fracatlas(tmp_path)
    assert set(first.groups).isdisjoint(second.groups)


def test_a_missing_table_is_named_with_what_the_folder_should_be(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is missing; --data names the folder") as refusal:
        read_fracatlas(tmp_path)
    assert str(tmp_path / "images.csv") in str(refusal.value)


@pytest.mark.parametrize("column", READ_COLUMNS)
def test_a_missing_column_is_named_with_the_table(tmp_path: Path, column: str) -> None:
    rows = make_rows(2)
    for row in rows:
        del row[column]
    table = write_table(tmp_path, rows)
    with pytest.raises(DataError, match=f"has no column '{column}'") as refusal:
        read_fracatlas(tmp_path)
    assert str(table) in str(refusal.value)


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "images.csv"
    table.write_text(",".join(READ_COLUMNS) + "\n")
    with pytest.raises(DataError, match="has no rows") as refusal:
        read_fracatlas(tmp_path)
    assert str(table) in str(refusal.value)


@pytest.mark.parametrize("column", ["fractured", "hardware"])
@pytest.mark.parametrize("value", ["", "yes", "True", "1.0", "2", "-1"])
def test_a_label_that_is_neither_zero_nor_one_is_refused_and_never_read_as_zero(
    tmp_path: Path, column: str, value: str
) -> None:
    rows = make_rows(3)
    rows[2][column] = value
    table = write_table(tmp_path, rows)
    with pytest.raises(DataError, match=f"{column} '{value}' for IMG0000002") as refusal:
        read_fracatlas(tmp_path)
    assert str(table) in str(refusal.value)


@pytest.mark.parametrize("column", ["id_block", "duplicate_group"])
def test_a_row_that_names_no_group_is_refused_because_a_split_would_part_it_wrongly(
    tmp_path: Path, column: str
) -> None:
    rows = make_rows(3)
    rows[2][column] = ""
    table = write_table(tmp_path, rows)
    with pytest.raises(DataError, match=f"has no {column} for IMG0000002") as refusal:
        read_fracatlas(tmp_path)
    assert str(table) in str(refusal.value)


@pytest.mark.parametrize("cells", range(1, 13))
def test_a_row_that_ends_early_is_refused(tmp_path: Path, cells: int) -> None:
    table = write_table(tmp_path, make_rows(3))
    *lines, last = table.read_text().split()
    table.write_text("\n".join([*lines, ",".join(last.split(",")[:cells])]) + "\n")
    with pytest.raises(DataError, match="IMG0000002"):
        read_fracatlas(tmp_path)


def test_pixels_are_grey_values_from_zero_to_one(tmp_path: Path) -> None:
    grey = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    pixels = read_pixels(tmp_path / "grey.png")
    assert pixels.dtype == np.float32
    assert pixels == pytest.approx(np.array([[0.0, 0.2, 0.4], [0.6, 0.8, 1.0]]))


@pytest.mark.parametrize("content", [None, b"", b"\xff\xd8\xff\xe0 not a JPEG"])
def test_a_picture_that_is_missing_or_broken_is_named(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "IMG0000001.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="remove it from the table or mend it") as refusal:
        read_pixels(path)
    assert str(path) in str(refusal.value)


@needs_shared_data
def test_the_real_table_is_read_whole_and_its_first_picture_opens() -> None:
    examples = read_fracatlas(SHARED_DATA / "fracatlas")
    assert len(examples) == 3347
    assert sum(example.fractured for example in examples) == 606
    assert sum(example.hardware for example in examples) == 92
    pixels = read_pixels(examples[0].path)
    assert pixels.shape == (1024, 842)
    assert 0.0 <= pixels.min() < pixels.max() <= 1.0
