"""A patient's name and numbers stay where they belong, on good days and on bad ones."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread

from db.outcomes import Outcome
from db.session import make_engine
from tests.canary import Canary, files_below, leaks, tables_of
from tests.e2e.test_monitor import ask, monitor_toml, told
from tests.radiographs import write_phantom
from tests.servers.ports import free_port
from tests.servers.product import MakeProduct, Product, run_command, wait_for
from tests.servers.scripted_pacs import ScriptedPacs
from tests.servers.web_hook import HookReceiver
from tests.worklist_people import session_cookie
from worker.worklist_parts import make_parts

CANARY = Canary()


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    with HookReceiver() as receiver:
        yield receiver


@pytest.mark.parametrize("mark", CANARY.marks)
def test_the_canary_is_found_however_it_is_written(mark: str) -> None:
    from base64 import b64encode

    for content in (mark, mark.upper(), mark.encode("utf-16-le")):
        assert mark in CANARY.found_in(content)
    for shift in range(3):
        assert mark in CANARY.found_in(b64encode(b"[" * shift + mark.encode() + b"]]"))
    assert CANARY.found_in("Synthetic^Phantom 19370416") == []


def toml(pacs: ScriptedPacs, hook: HookReceiver, folder: Path) -> str:
    """A PACS that answers and one that does not, and a webhook for results."""
    secret = folder / "flag-secret"
    secret.write_bytes(b"0123456789abcdef")
    return (
        "[delivery]\nfirst_backoff_s = 1\nmaximum_backoff_s = 2\nmaximum_tries = 2\n"
        "timeout_s = 2\nlease_s = 8\nfailures_to_open = 1\n"
        f'[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\n'
        f"port = {pacs.port}\n"
        f'[[destinations]]\nname = "dead"\nae_title = "DEAD"\nhost = "127.0.0.1"\n'
        f"port = {free_port()}\n"
        f'[[webhooks]]\nname = "hook"\nurl = "{hook.url}"\ntimeout_s = 2\n'
        f'secret_file = "{secret}"\n'
    )


def spoil(path: Path) -> Path:
    """Cut the instance's pixels short: it can be received and not be read."""
    dataset = dcmread(path)
    dataset.PixelData = dataset.PixelData[:100]
    dataset.save_as(path)
    return path


def read_about(product: Product) -> None:
    """As a reader does: search for the patient, open the study."""
    parts = make_parts(product.settings, make_engine(product.settings.effective_database_url))
    own = product.settings.worklist
    address = f"http://{own.host}:{own.port}"
    with httpx.Client(base_url=address, cookies=session_cookie(parts), timeout=30) as client:
        wait_for(lambda: answers(client), "the worklist answers", product.log)
        listed = client.get("/", params={"q": CANARY.family_name})
        assert f"{CANARY.family_name}, {CANARY.given_name}" in listed.text
        (link, *_) = re.findall(r'href="(/studies/[^"]+)"', listed.text)
        assert CANARY.patient_id in client.get(link).text
        assert client.get("/api/studies", params={"q": CANARY.patient_id}).json()["studies"]


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/sign-in").status_code < 500
    except httpx.TransportError:
        return False


def everywhere(
    product: Product, receiver: HookReceiver, hook: HookReceiver
) -> dict[str, bytes | str]:
    """All that leaves the product or lies about in it, but spool, results and HL7."""
    data, config = product.settings.data_folder, str(product.config)
    places: dict[str, bytes | str] = {
        "log": (product.folder / "log.jsonl").read_bytes(),
        "metrics": ask(product, "/metrics").text,
        "alarms": ask(product, "/alarms").text,
        "ready": ask(product, "/ready").text,
        "status": run_command("--config", config, "status", "--json").stdout,
        "deliveries": run_command("--config", config, "deliveries", "list", "--json").stdout,
        **{f"message {at}": post.body for at, post in enumerate(receiver.requests)},
        **{f"flag {at}": post.body for at, post in enumerate(hook.requests)},
        "audit trail": run_command("--config", config, "audit", "list", "--json").stdout,
        **files_below(data / "broker"),
    }
    engine = make_engine(product.settings.effective_database_url)
    places |= tables_of(engine)
    engine.dispose()
    return places


def test_a_patient_is_met_only_where_patients_belong(
    make_product: MakeProduct, receiver: HookReceiver, tmp_path: Path
) -> None:
    with ScriptedPacs() as pacs, HookReceiver() as hook:
        product = make_product(
            toml(pacs, hook, tmp_path),
            monitor=monitor_toml(receiver, tmp_path) + "circuit_alarm_s = 1\n",
        )
        product.start("listener", "dispatcher", "monitor", "worklist")
        good, other = (write_phantom(tmp_path / "in", name) for name in ("good", "spoilt"))
        sent = product.send([CANARY.stamp(good.path), spoil(CANARY.stamp(other.path))])
        assert all(result.stored for result in sent)

        messages = product.settings.data_folder / "broker" / "messages"
        wait_for(lambda: list(messages.glob("*.msg")), "studies are queued", product.log)
        queued = leaks(CANARY, files_below(messages))
        assert queued == {}

        product.start("triage worker", "delivery worker")
        wait_for(lambda: pacs.received, "results arrive", product.log)
        summary = product.wait_until_finished(other.study_instance_uid)
        assert summary.outcome is Outcome.NOT_ANALYSED
        alarm = ("raised", "circuit-open/dead")
        wait_for(lambda: alarm in told(receiver), "the dead PACS is told", product.log)
        read_about(product)
        wait_for(lambda: len(hook.requests) == 2, "the flags arrive", product.log)
        places = everywhere(product, receiver, hook)

    assert leaks(CANARY, places) == {}
    expected = {"log", "metrics", "message 0", "flag 1", "audit trail", "table audit_event"}
    assert expected <= set(places)
    assert "opened study" in places["audit trail"]
    # The same search finds it where it belongs: the test can fail.
    data = product.settings.data_folder
    for folder in ("spool", "results"):
        found = leaks(CANARY, files_below(data / folder))
        assert {CANARY.patient_id, CANARY.family_name} <= set().union(*found.values())
