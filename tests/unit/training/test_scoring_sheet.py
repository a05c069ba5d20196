"""The readers' scoring sheet: out, filled, in."""

import csv
from pathlib import Path

import pytest

from training.errors import DataError
from training.explanation.scoring_sheet import (
    CRITERIA,
    Case,
    Score,
    agreements,
    as_json,
    read_sheets,
    summarise,
    write_sheet,
)

CASES = [
    Case("001", "pictures/001.png", "fractured", "fractured", 0.9),
    Case("002", "pictures/002.png", "not fractured", "not fractured", 0.02),
    Case("003", "pictures/003.png", "fractured", "not fractured", 0.04),
]


def fill(sheet: Path, to: Path, reader: str, grades: dict[str, str]) -> Path:
    """A copy with the four grades of each case, such as "2110"."""
    with sheet.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["case"] in grades:
            row["reader"] = reader
            row.update(zip(CRITERIA, grades[row["case"]], strict=False))
    with to.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return to


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    write_sheet(tmp_path / "sheet.csv", CASES)
    return tmp_path / "sheet.csv"


def test_a_filled_sheet_comes_back_with_its_grades(sheet: Path, tmp_path: Path) -> None:
    filled = fill(sheet, tmp_path / "a.csv", "AB", {"001": "2110", "003": "0000"})
    assert read_sheets([filled]) == [
        Score("001", "AB", "fractured", "fractured", (2, 1, 1, 0)),
        Score("003", "AB", "fractured", "not fractured", (0, 0, 0, 0)),
    ]


def test_what_each_grade_means_lies_beside_the_sheet(sheet: Path) -> None:
    guide = sheet.with_name("README.txt").read_text()
    assert all(name in guide for name in CRITERIA)


def test_means_are_given_for_all_and_by_kind_of_case(sheet: Path, tmp_path: Path) -> None:
    filled = fill(sheet, tmp_path / "a.csv", "AB", {"001": "2222", "002": "2110", "003": "0000"})
    groups = {group.name: group for group in summarise(read_sheets([filled]))}
    assert groups["all"].scores == 3
    assert groups["all"].mean == pytest.approx((2 + 1 + 0) / 3)
    assert groups["all"].acceptable == pytest.approx(1 / 3)
    assert groups["not fractured, answered not fractured"].criteria == (2, 1, 1, 0)
    assert len(groups) == 4


def test_readers_agree_by_kappa_and_icc_on_what_both_scored(sheet: Path, tmp_path: Path) -> None:
    grades = {"001": "2222", "002": "1111", "003": "0000"}
    first = fill(sheet, tmp_path / "a.csv", "AB", grades)
    second = fill(sheet, tmp_path / "b.csv", "CD", grades)
    third = fill(sheet, tmp_path / "c.csv", "EF", {"001": "1111"})
    pairs = agreements(read_sheets([first, second, third]))
    assert [(pair.readers, pair.cases) for pair in pairs] == [(("AB", "CD"), 3)]
    assert pairs[0].kappas == pytest.approx((1.0,) * 4)
    assert pairs[0].icc == pytest.approx(1.0)


def test_agreement_of_constant_grades_is_undefined_not_perfect(sheet: Path, tmp_path: Path) -> None:
    grades = {"001": "2222", "002": "2222"}
    sheets = [fill(sheet, tmp_path / f"{one}.csv", one, grades) for one in ("AB", "CD")]
    scores = read_sheets(sheets)
    content = as_json(summarise(scores), agreements(scores))
    assert content["agreement"][0]["kappas"] == dict.fromkeys(CRITERIA)
    assert content["agreement"][0]["icc"] is None


@pytest.mark.parametrize(
    ("grades", "message"),
    [("21", "filled in part"), ("2113", "grade '3'"), ("2-11", "grade '-'")],
)
def test_a_row_that_is_not_four_grades_is_named(
    sheet: Path, tmp_path: Path, grades: str, message: str
) -> None:
    filled = fill(sheet, tmp_path / "a.csv", "AB", {"002": grades})
    with pytest.raises(DataError, match=rf"a.csv line 3 .*{message}"):
        read_sheets([filled])


def test_a_case_scored_twice_by_a_reader_is_refused(sheet: Path, tmp_path: Path) -> None:
    filled = [fill(sheet, tmp_path / f"{n}.csv", "AB", {"001": "2222"}) for n in range(2)]
    with pytest.raises(DataError, match="AB scored 001 twice"):
        read_sheets(filled)


def test_an_empty_sheet_and_another_table_are_refused(sheet: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row is filled"):
        read_sheets([sheet])
    other = tmp_path / "other.csv"
    other.write_text("case,reader\n1,AB\n")
    with pytest.raises(DataError, match="lacks the column"):
        read_sheets([other])


def test_a_sheet_that_may_be_filled_is_not_overwritten(sheet: Path) -> None:
    with pytest.raises(DataError, match="may hold scores"):
        write_sheet(sheet, CASES)
