"""docs/integration.md: its Orthanc, routed by its script, and our services with its settings."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from db.outcomes import Outcome
from db.records import DeliveryFilter, StudySummary
from db.states import DeliveryState
from tests.paths import REPOSITORY
from tests.radiographs import Phantom, write_phantom
from tests.servers.orthanc import Orthanc, needs_orthanc, running_orthanc
from tests.servers.product import MakeProduct, Product, run_command, wait_for

pytestmark = needs_orthanc

PAGE = (REPOSITORY / "docs" / "integration.md").read_text()
ORTHANC_ADDRESS = '"10.0.0.5"'
ORTHANC_PORT = "port = 4242"
_THE_TESTS_OWN_ECHO = (
    '[[peers]]\nname = "tests"\nae_title = "TESTMODALITY"\nnetworks = ["127.0.0.1"]\n'
    'roles = ["query"]\n'
)


def block(language: str) -> str:
    """The page's only block of a language."""
    (content,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)
    return str(content)


@dataclass(frozen=True)
class Site:
    """A hospital as the page describes it, on loopback."""

    orthanc: Orthanc
    product: Product
    folder: Path


@pytest.fixture
def site(make_product: MakeProduct, tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "orthanc"
    folder.mkdir()
    script = folder / "fracture-screen.lua"
    script.write_text(block("lua"))
    with running_orthanc(folder, **settings_of_orthanc(script)) as orthanc:
        toml = block("toml").replace(ORTHANC_ADDRESS, '"127.0.0.1"')
        toml = toml.replace(ORTHANC_PORT, f"port = {orthanc.remote.port}")
        product = make_product(toml + _THE_TESTS_OWN_ECHO)
        make_known(orthanc, product)
        product.start()
        yield Site(orthanc, product, tmp_path)
        product.stop()


def settings_of_orthanc(script: Path) -> dict[str, object]:
    """The page's, without the ports and addresses that the test chooses."""
    told: dict[str, object] = json.loads(block("json"))
    del told["DicomPort"], told["DicomModalities"]
    assert told.pop("LuaScripts") == ["/etc/orthanc/fracture-screen.lua"]
    # Nothing but the page's entry for us lets us do anything.
    closed = {f"DicomAlwaysAllow{each}": False for each in ("Find", "Get", "Move", "Store")}
    return closed | told | {"LuaScripts": [str(script)]}


def make_known(orthanc: Orthanc, product: Product) -> None:
    """Enter the page's modality under our port; Orthanc starts before it is known."""
    ((name, entry),) = json.loads(block("json"))["DicomModalities"].items()
    node = product.node
    assert (entry["AET"], entry["Port"]) == (node.ae_title, 11112)
    orthanc.put(f"/modalities/{name}", entry | {"Host": node.host, "Port": node.port})


def test_a_study_goes_round_by_the_pages_configuration(site: Site) -> None:
    phantom = write_phantom(site.folder / "in", "round", body_part_examined="HAND")
    site.orthanc.upload(phantom.path)

    summary = wait_for(lambda: screened(site.product, phantom), "screened", site.product.log)

    assert summary.outcome in {Outcome.POSITIVE, Outcome.DOUBTFUL, Outcome.NEGATIVE}
    results = {result.sop_instance_uid for result in summary.results}
    assert site.orthanc.sop_instance_uids() == results | {phantom.sop_instance_uid}
    wait_for(lambda: committed(site.product), "committed by a report", site.product.log)
    # Had a result been routed back, the listener would have said so.
    assert site.product.events("own_result_ignored") == []
    received = site.product.events("instance_registered")
    assert [each["sop_instance_uid"] for each in received] == [phantom.sop_instance_uid]


def test_a_sweep_finds_and_fetches_what_was_never_routed(site: Site) -> None:
    site.product.kill("listener")
    phantom = write_phantom(site.folder / "in", "missed")
    site.orthanc.upload(phantom.path)
    config = str(site.product.config)

    planned = run_command("--config", config, "sweep", "plan", "--source", "archive", "--json")

    assert planned.returncode == 0, planned.stderr
    assert site.product.ledger.study_summary(phantom.study_instance_uid) is None
    site.product.start("listener", "screening worker", "sweep worker")
    begun = run_command("--config", config, "sweep", "start", "--source", "archive", "--any-time")
    assert begun.returncode == 0, begun.stderr
    assert wait_for(lambda: screened(site.product, phantom), "swept", site.product.log)


def test_the_pages_commands_run(site: Site) -> None:
    called = re.findall(r"^fracture-screen --config settings.toml (.*)$", PAGE, re.M)
    assert "doctor --store --move" in called
    for command in called:
        done = run_command("--config", str(site.product.config), *command.split())
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    # Orthanc's reports on the doctor's test objects come to the listener.
    log = site.product.log
    wait_for(lambda: site.product.events("commitment_report_of_test_object"), "reported", log)
    for warning in ("commitment_report_unknown", "association_rejected"):
        assert site.product.events(warning) == []


def test_orthancs_own_configuration_has_every_key_that_the_page_says_to_change() -> None:
    own = Path("/etc/orthanc/orthanc.json").read_text()
    for key in json.loads(block("json")):
        assert re.search(rf'^  "{key}" *:', own, re.M), key


def screened(product: Product, phantom: Phantom) -> StudySummary | None:
    summary = product.ledger.study_summary(phantom.study_instance_uid)
    return summary if summary is not None and summary.is_finished else None


def committed(product: Product) -> bool:
    found = product.ledger.deliveries(DeliveryFilter("pacs"))
    return bool(found) and {one.state for one in found} == {DeliveryState.COMMITTED}
