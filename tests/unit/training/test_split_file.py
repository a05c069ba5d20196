"""Split files: what was written is loaded again, and nothing else passes."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.training.drawn import draw, draw_table, write_picture
from training.data.example import LabelledFolder
from training.data.layouts import read_labelled_folder
from training.errors import DataError
from training.split_file import Verification, load_split, read_part, save_split
from training.splits import make_split, shares_plan

PLAN = shares_plan((72, 18, 10), 3)


@pytest.fixture
def data(tmp_path: Path) -> LabelledFolder:
    return read_labelled_folder(draw_table(tmp_path / "data"))


@pytest.fixture
def saved(data: LabelledFolder, tmp_path: Path) -> Path:
    path = tmp_path / "split.json"
    save_split(path, data, make_split(data.examples, PLAN), PLAN)
    return path


@pytest.mark.parametrize("verification", list(Verification))
def test_a_split_is_loaded_as_it_was_saved(
    data: LabelledFolder, saved: Path, verification: Verification
) -> None:
    assert load_split(saved, data, verification) == make_split(data.examples, PLAN)


def test_a_part_is_its_radiographs_with_the_groups_of_the_split(
    data: LabelledFolder, saved: Path
) -> None:
    split = make_split(data.examples, PLAN)
    part = read_part(data, saved, "test")
    assert len(part.examples) == split.part_of.count("test") > 0
    for example, group in zip(part.examples, part.groups, strict=True):
        row = data.examples.index(example)
        assert (split.part_of[row], split.groups[row]) == ("test", group)
    assert part.split_digest == split.digest
    with pytest.raises(DataError, match="has no part 'fold 0', but train, validation, test"):
        read_part(data, saved, "fold 0")


def test_without_a_split_a_part_is_all_radiographs_a_patients_two_in_one_group(
    data: LabelledFolder,
) -> None:
    part = read_part(data, None, "test")
    assert (part.examples, part.split_digest) == (data.examples, "")
    assert [list(part.groups).count(group) for group in part.groups] == [2] * 40
    assert (part.groups[::2] == part.groups[1::2]).all()


def test_a_split_file_says_how_it_was_made_and_holds_one_line_per_radiograph(saved: Path) -> None:
    content = json.loads(saved.read_text())
    assert (content["layout"], content["seed"]) == ("csv", 3)
    assert content["stratified_by"] == ["label", "region"]
    assert content["allocated"] == {"train": 72, "validation": 18, "test": 10}
    assert content["examples"][0].keys() == {"path", "sha256", "size", "part", "group"}
    assert sum('"sha256"' in line for line in saved.read_text().splitlines()) == 40


def test_the_same_data_and_seed_give_the_same_file(data: LabelledFolder, saved: Path) -> None:
    again = saved.with_name("again.json")
    save_split(again, data, make_split(data.examples, PLAN), PLAN)
    assert again.read_bytes() == saved.read_bytes()


def test_a_split_holds_for_data_that_were_moved_or_whose_rows_are_in_another_order(
    data: LabelledFolder, saved: Path
) -> None:
    moved = data.folder.rename(data.folder.with_name("moved"))
    table = moved / "labels.csv"
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, *reversed(rows)]))
    there = read_labelled_folder(moved)
    expected = dict(zip(data.examples, make_split(data.examples, PLAN).part_of, strict=True))
    by_name = {data.relative(example): part for example, part in expected.items()}
    assert list(load_split(saved, there).part_of) == list(reversed(by_name.values()))


def test_a_split_is_never_written_over(data: LabelledFolder, saved: Path) -> None:
    with pytest.raises(DataError, match="exists; a split is never changed"):
        save_split(saved, data, make_split(data.examples, PLAN), PLAN)


def _change_a_pixel(data: LabelledFolder) -> None:
    """Of the same size: only the digest tells."""
    path = data.examples[5].path
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)


def _redraw(data: LabelledFolder) -> None:
    write_picture(data.examples[5].path, draw(99, 50, 50))


def _remove(data: LabelledFolder) -> None:
    data.examples[5].path.unlink()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (_redraw, r"005\.png has \d+ bytes, .*split\.json was made with \d+"),
        (_change_a_pixel, r"005\.png has another SHA-256 than when"),
        (_remove, r"005\.png is missing"),
    ],
)
def test_the_first_file_that_differs_is_named(
    data: LabelledFolder,
    saved: Path,
    change: Callable[[LabelledFolder], None],
    complaint: str,
) -> None:
    change(data)
    with pytest.raises(DataError, match=complaint):
        load_split(saved, data)


def test_fast_verification_reads_nothing_and_so_misses_a_change_of_the_same_size(
    data: LabelledFolder, saved: Path
) -> None:
    _change_a_pixel(data)
    load_split(saved, data, Verification.FAST)
    _redraw(data)
    with pytest.raises(DataError, match=r"005\.png has \d+ bytes"):
        load_split(saved, data, Verification.FAST)


def test_a_radiograph_that_is_in_only_one_of_both_is_named(
    data: LabelledFolder, saved: Path
) -> None:
    fewer = replace(data, examples=data.examples[:-1])
    with pytest.raises(DataError, match=r"split\.json names images/039\.png, which is not among"):
        load_split(saved, fewer)
    other = saved.with_name("other.json")
    save_split(other, fewer, make_split(fewer.examples, PLAN), PLAN)
    with pytest.raises(DataError, match=r"images/039\.png of .* is not in .*other\.json"):
        load_split(other, data)


def test_a_split_whose_entries_were_edited_is_refused(data: LabelledFolder, saved: Path) -> None:
    saved.write_text(saved.read_text().replace('"part": "test"', '"part": "train"', 1))
    with pytest.raises(DataError, match="its digest does not fit"):
        load_split(saved, data)


def test_a_split_of_another_layout_is_refused(data: LabelledFolder, saved: Path) -> None:
    with pytest.raises(DataError, match="is a split of layout csv, the data's is mura"):
        load_split(saved, replace(data, layout="mura"))


@pytest.mark.parametrize("content", ["", "[]", '{"train": []}', "\0", None])
def test_what_is_no_split_file_is_refused_by_name(
    data: LabelledFolder, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "wrong.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=r"wrong\.json (is no split file|cannot be read)"):
        load_split(path, data)


def test_a_split_that_could_not_be_written_leaves_no_half_a_file(
    data: LabelledFolder, tmp_path: Path
) -> None:
    os.remove(data.examples[30].path)
    with pytest.raises(DataError, match=r"030\.png"):
        save_split(tmp_path / "new.json", data, make_split(data.examples, PLAN), PLAN)
    assert not list(tmp_path.glob("*new.json"))
