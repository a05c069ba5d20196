"""The API keeps what its own description promises, whatever is sent: schemathesis asks."""

from collections.abc import Iterator
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.generation import GenerationMode
from schemathesis.schemas import BaseSchema

from db.session import make_engine, upgrade
from db.states import Role
from db.worklist_records import PAGE_SIZE
from tests.bench.worklist import fill
from tests.correctors import corrector_over
from tests.integration.worklist_site import NoPictures
from tests.servers.web import serve
from tests.worklist_people import begin_session
from worker.composition import utc_now
from worklist.app import make_app
from worklist.parts import Parts, SessionRules
from worklist.people.cookies import cookie_name

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def headers() -> dict[str, str]:
    """What a signed-in program sends; filled once the application is served."""
    return {}


@pytest.fixture(scope="module")
def described(
    headers: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BaseSchema]:
    folder = tmp_path_factory.mktemp("api")
    engine = make_engine(f"sqlite:///{folder / 'ledger.sqlite'}")
    upgrade(engine)
    fill(engine, 300)
    parts = Parts(
        engine=engine,
        clock=utc_now,
        pictures=NoPictures(),
        data_folder=folder,
        time_zone=ZoneInfo("Europe/Berlin"),
        viewer_url="",
        corrector=corrector_over(engine, utc_now, folder),
        sessions=SessionRules(HOUR, HOUR, 5, HOUR, secure_cookies=False),
        trusted_proxy=None,
    )
    begun = begin_session(parts, role=Role.READER)
    with serve(make_app(parts)) as address:
        headers |= {
            "Cookie": f"{cookie_name(parts.sessions)}={begun.token}",
            "X-CSRF-Token": begun.record.csrf_token,
            "Origin": address,
        }
        yield schemathesis.openapi.from_url(f"{address}/api/openapi.json", headers=headers)
    engine.dispose()


OPERATIONS = (
    ("GET", "/api/studies"),
    ("GET", "/api/studies/{study_instance_uid}"),
    ("GET", "/api/studies/{study_instance_uid}/reviews"),
    ("POST", "/api/reviews"),
)


def test_no_operation_is_left_out(described: BaseSchema) -> None:
    found = [one.ok() for one in described.get_all_operations()]
    assert {(one.method.upper(), one.path) for one in found} == set(OPERATIONS)


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_whatever_is_asked_is_answered_as_described(
    described: BaseSchema, headers: dict[str, str], method: str, path: str, mode: GenerationMode
) -> None:
    operation = described[path][method]

    @settings(
        max_examples=100,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=headers)

    ask()


@pytest.mark.parametrize("path", [path for _, path in OPERATIONS if "{" in path])
def test_studies_that_there_are_look_as_described(
    described: BaseSchema, headers: dict[str, str], path: str
) -> None:
    listed = described["/api/studies"]["GET"].Case().call_and_validate(headers=headers).json()
    assert len(listed["studies"]) == PAGE_SIZE
    for study in listed["studies"]:
        uid = {"study_instance_uid": study["study_instance_uid"]}
        answer = described[path]["GET"].Case(path_parameters=uid).call_and_validate(headers=headers)
        assert answer.status_code == 200
