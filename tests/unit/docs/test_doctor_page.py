"""docs/doctor.md has a line for every check, and no line for one that there is not."""

import re

import pytest

from tests.paths import REPOSITORY
from worker.doctor.broker import OLDEST_REDIS
from worker.doctor.certificates import EXPIRES_SOON
from worker.doctor.clock import EARLIEST
from worker.doctor.database import OLDEST_POSTGRESQL
from worker.doctor.finding import CheckName, Result
from worker.doctor.probe_object import PATIENT_ID, PATIENT_NAME

PAGE = (REPOSITORY / "docs" / "doctor.md").read_text()
ROWS = re.findall(r"^\| `([a-z-]+)` \| (.+) \| (.+) \| (.+) \|$", PAGE, re.M)


def test_the_table_is_that_of_the_code_in_its_order() -> None:
    assert [name for name, *_ in ROWS] == [str(name) for name in CheckName]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_check_says_what_it_looks_at_what_it_means_and_what_to_do(
    row: tuple[str, str, str, str],
) -> None:
    assert all(len(cell.strip()) > 10 for cell in row[1:])


@pytest.mark.parametrize("result", Result)
def test_every_result_is_explained(result: Result) -> None:
    assert f"| {result} |" in PAGE


def test_the_limits_of_the_page_are_those_of_the_code() -> None:
    for told in (
        f"{EXPIRES_SOON.days} days",
        f"PostgreSQL {OLDEST_POSTGRESQL}",
        f"Redis {OLDEST_REDIS}",
        str(EARLIEST.year),
        PATIENT_ID,
        PATIENT_NAME,
    ):
        assert told in PAGE, told
