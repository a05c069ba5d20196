"""Every case that ever broke a contract, made small by hand; what it does today is judged again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.targets import KINDS, Target

CASES = sorted(
    path for path in (Path(__file__).parent / "regressions").rglob("*") if path.is_file()
)


@pytest.fixture(scope="module", params=KINDS)
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Target]]:
    opened = KINDS[request.param].open(tmp_path_factory.mktemp(request.param))
    yield request.param, opened
    opened.close()


def test_no_regression_file_breaks_a_contract_again(target: tuple[str, Target]) -> None:
    name, opened = target
    cases = [path for path in CASES if path.parent.name == name]
    assert cases, f"no regression files of {name}"
    for case in cases:
        try:
            opened.run(case.read_bytes())
            opened.check()
        except Exception as error:
            raise AssertionError(f"{name}/{case.name}: {error!r}") from error
