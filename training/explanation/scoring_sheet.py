"""The readers' scoring sheet: four criteria from 0 to 2 per saliency map (paper B).

A sheet is a CSV file beside its pictures. Each reader fills a copy; `summarise` reads them all.
"""

import csv
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from training.errors import DataError
from training.statistics.agreement import Weights, cohen_kappa, icc

CRITERIA = (
    "anatomical_relevance",
    "fracture_site_relevance",
    "attention_concentration",
    "clinical_interpretability",
)
GRADES = ("0", "1", "2")
ACCEPTABLE = 1.5
"""Mean of the four criteria from which on a map counts as acceptable."""
COLUMNS = ("case", "picture", "label", "answer", "probability", "reader", *CRITERIA, "comment")
GUIDE = """\
Fill one copy of sheet.csv per reader: your initials in `reader`, a grade in each criterion.
A row that is left empty is not counted. Grades: 0 no, 1 partly, 2 yes.

anatomical_relevance       the marked region lies on bone or joint, not on the border, text, metal
fracture_site_relevance    it covers the fracture; where there is none: it points at no false one
attention_concentration    it is one compact region (or as many as there are fractures), not spread
clinical_interpretability  it would help you to read this radiograph
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One radiograph to be scored; `label` and `answer` are "fractured" or "not fractured"."""

    name: str
    picture: str
    label: str
    answer: str
    probability: float


@dataclass(frozen=True, slots=True)
class Score:
    """One reader's grades (0 to 2, in the order of `CRITERIA`) of one case."""

    case: str
    reader: str
    label: str
    answer: str
    grades: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Of the four, 0 to 2."""
        return sum(self.grades) / len(self.grades)


@dataclass(frozen=True, slots=True)
class Group:
    """Means of a group of scores: per criterion, of all four, and the share ≥ `ACCEPTABLE`."""

    name: str
    scores: int
    criteria: tuple[float, ...]
    mean: float
    acceptable: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of two readers on the cases that both scored; kappa per criterion with quadratic weights."""

    readers: tuple[str, str]
    cases: int
    kappas: tuple[float, ...]
    icc: float
    """ICC(2,1) of the means of the four criteria."""


def write_sheet(path: Path, cases: Sequence[Case]) -> None:
    """The empty form, with what each grade means in README.txt beside it.

    Raises:
        DataError: `path` exists: it may have been filled.
    """
    if path.exists():
        raise DataError(f"{path} exists and may hold scores: name another folder")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        for case in cases:
            writer.writerow(
                {
                    "case": case.name,
                    "picture": case.picture,
                    "label": case.label,
                    "answer": case.answer,
                    "probability": f"{case.probability:.3f}",
                }
            )
    path.with_name("README.txt").write_text(GUIDE, encoding="utf-8")


def read_sheets(paths: Sequence[Path]) -> list[Score]:
    """Every row that is filled.

    Raises:
        DataError: a file without the columns, a row that is partly filled or has another grade, or
            a case that a reader scored twice; with file and line.
    """
    scores = [score for path in paths for score in _read(path)]
    seen = set[tuple[str, str]]()
    for score in scores:
        if (score.reader, score.case) in seen:
            raise DataError(f"reader {score.reader} scored {score.case} twice: keep one row")
        seen.add((score.reader, score.case))
    if not scores:
        raise DataError("no row is filled: enter reader and grades 0, 1 or 2")
    return scores


def summarise(scores: Sequence[Score]) -> list[Group]:
    """All scores, then by what the label says and the model answered."""
    groups = defaultdict[str, list[Score]](list)
    for score in scores:
        groups[f"{score.label}, answered {score.answer}"].append(score)
    return [_group("all", scores), *(_group(name, groups[name]) for name in sorted(groups))]


def agreements(scores: Sequence[Score]) -> list[Agreement]:
    """Each pair of readers with two or more cases in common."""
    by_reader = defaultdict[str, dict[str, Score]](dict)
    for score in scores:
        by_reader[score.reader][score.case] = score
    pairs = []
    for first, second in combinations(sorted(by_reader), 2):
        common = sorted(by_reader[first].keys() & by_reader[second].keys())
        if len(common) >= 2:
            pairs.append(_agreement(by_reader[first], by_reader[second], common))
    return pairs


def as_json(groups: Sequence[Group], pairs: Sequence[Agreement]) -> dict[str, object]:
    """For machines; what is undefined (agreement of constant grades) is null."""
    return {
        "groups": [
            {
                "cases": one.name,
                "scores": one.scores,
                "criteria": dict(zip(CRITERIA, one.criteria, strict=True)),
                "mean": one.mean,
                "acceptable": one.acceptable,
            }
            for one in groups
        ],
        "agreement": [
            {
                "readers": one.readers,
                "cases": one.cases,
                "kappas": dict(zip(CRITERIA, map(_defined, one.kappas), strict=True)),
                "icc": _defined(one.icc),
            }
            for one in pairs
        ],
    }


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value


def _agreement(
    first: dict[str, Score], second: dict[str, Score], common: Sequence[str]
) -> Agreement:
    kappas = tuple(
        cohen_kappa(
            [first[case].grades[number] for case in common],
            [second[case].grades[number] for case in common],
            Weights.QUADRATIC,
        )
        for number in range(len(CRITERIA))
    )
    means = np.array([[first[case].mean, second[case].mean] for case in common])
    readers = first[common[0]].reader, second[common[0]].reader
    return Agreement(readers, len(common), kappas, icc(means))


def _group(name: str, scores: Sequence[Score]) -> Group:
    grades = np.array([score.grades for score in scores], float)
    means = grades.mean(axis=1)
    return Group(
        name,
        len(scores),
        tuple(float(value) for value in grades.mean(axis=0)),
        float(means.mean()),
        float((means >= ACCEPTABLE).mean()),
    )


def _read(path: Path) -> list[Score]:
    if not path.is_file():
        raise DataError(f"{path} is missing; name the filled copies of sheet.csv")
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if missing := set(COLUMNS) - set(reader.fieldnames or ()):
            raise DataError(f"{path} lacks the column {sorted(missing)[0]}; is it a filled sheet?")
        rows = [(reader.line_num, row) for row in reader]
    return [score for line, row in rows if (score := _score(f"{path} line {line}", row))]


def _score(where: str, row: dict[str, str]) -> Score | None:
    cells = [(row[name] or "").strip() for name in ("reader", *CRITERIA)]
    if not any(cells):
        return None
    if not all(cells):
        raise DataError(f"{where} is filled in part: enter reader and all four grades, or none")
    if wrong := [cell for cell in cells[1:] if cell not in GRADES]:
        raise DataError(f"{where} has the grade {wrong[0]!r}: enter 0, 1 or 2")
    grades = tuple(int(cell) for cell in cells[1:])
    return Score(row["case"], cells[0], row["label"], row["answer"], grades)
