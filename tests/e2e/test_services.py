"""The services as separate processes, and the commands that watch and mend them."""

import json
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from db.session import make_engine
from db.states import StudyState
from db.worklist import Worklist
from dicom_node.storage_scu import StoreResult
from tests.radiographs import write_phantom
from tests.servers.pacs import FolderPacs
from tests.servers.product import (
    MakeProduct,
    Product,
    destination_toml,
    run_command,
    wait_for,
)
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance
from worker.composition import utc_now


def status(product: Product) -> dict[str, Any]:
    done = run_command("--config", str(product.config), "status", "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_two_dispatchers_and_two_workers_screen_each_study_once(
    make_product: MakeProduct, tmp_path: Path
) -> None:
    with FolderPacs(tmp_path / "pacs") as pacs:
        product = make_product(destination_toml("pacs", pacs.ae_title, pacs.port))
        assert run_command("--config", str(product.config), "db", "upgrade").returncode == 0
        empty = status(product)
        assert set(empty["studies"].values()) | set(empty["outcomes"].values()) == {0}
        assert (empty["last_activity"], empty["oldest_waiting"]) == (None, None)

        product.start()
        product.start_another("dispatcher")
        product.start_another("triage worker")
        wait_for(lambda: len(product.events("worker_started")) == 3, "workers", product.log)
        phantoms = [write_phantom(tmp_path / "in", f"study {n}", n) for n in range(1, 9)]
        assert all(result.stored for result in product.send([one.path for one in phantoms]))
        summaries = [product.wait_until_finished(one.study_instance_uid) for one in phantoms]

        expected = [result.sop_instance_uid for one in summaries for result in one.results]
        assert sorted(pacs.received) == sorted(expected)
    assert all((one.attempts, one.revision) == (1, 1) for one in summaries)
    screened = [event["study_instance_uid"] for event in product.events("study_screened")]
    assert sorted(screened) == sorted(one.study_instance_uid for one in phantoms)
    check_status_after(product, len(phantoms), len(expected))


def check_status_after(product: Product, studies: int, results: int) -> None:
    after = status(product)
    assert after["studies"]["SCREENED"] == sum(after["studies"].values()) == studies
    assert sum(after["outcomes"].values()) == studies
    assert after["deliveries"]["SENT"] == sum(after["deliveries"].values()) == results
    assert after["queues"] == {"triage": 0, "delivery": 0, "backlog": 0, "sweep": 0}
    assert after["last_activity"]
    table = run_command("--config", str(product.config), "status").stdout
    for word in ("SCREENED", "POSITIVE", "NOT_ANALYSED", "SENT", "triage", "last activity"):
        assert word in table


def test_a_failed_study_is_shown_and_can_be_retried_once_its_cause_is_mended(
    make_product: MakeProduct, tmp_path: Path
) -> None:
    product = make_product()
    product.start("listener")
    phantom = write_phantom(tmp_path / "in", "retried")
    product.send([phantom.path])
    (spooled,) = product.settings.spool_folder.glob("incoming/*/*")
    spooled.rename(tmp_path / "away")
    product.start("dispatcher", "triage worker")

    failed = product.wait_until_finished(phantom.study_instance_uid)
    assert failed.state is StudyState.FAILED
    assert failed.failure_reason == "The stored file is missing."
    assert failed.attempts == product.settings.study.maximum_attempts
    assert (status(product)["studies"]["FAILED"], status(product)["outcomes"]["FAILED"]) == (1, 1)

    (tmp_path / "away").rename(spooled)
    retry = ("--config", str(product.config), "retry", phantom.study_instance_uid)
    assert run_command(*retry).returncode == 0
    mended = product.wait_until_finished(phantom.study_instance_uid, revision=2)
    assert mended.state is StudyState.SCREENED
    assert status(product)["outcomes"]["FAILED"] == 0

    again = run_command(*retry)
    assert again.returncode == 2
    assert "is not FAILED" in again.stderr


def test_a_study_whose_file_is_lost_while_it_waits_is_named_reported_and_mended_by_sending_again(
    make_product: MakeProduct, tmp_path: Path
) -> None:
    with FolderPacs(tmp_path / "pacs") as pacs:
        product = make_product(destination_toml("pacs", pacs.ae_title, pacs.port))
        product.start("listener")
        phantom = write_phantom(tmp_path / "in", "lost")
        dataset = dcmread(phantom.path)
        dataset.PatientName, dataset.AccessionNumber = "Lost^Lena", "ACC-19"
        dataset.save_as(phantom.path)
        product.send([phantom.path])
        uid = phantom.study_instance_uid
        engine = make_engine(product.settings.effective_database_url)
        waiting = Worklist(engine, utc_now).study(uid)
        engine.dispose()
        assert waiting is not None
        assert waiting.header is not None
        assert waiting.header.patient_name == "Lost, Lena"
        (spooled,) = product.settings.spool_folder.glob("incoming/*/*")
        spooled.unlink()
        product.start("dispatcher", "triage worker", "delivery worker")

        failed = product.wait_until_finished(uid)
        assert (failed.state, failed.reason) == (StudyState.FAILED, "The stored file is missing.")
        listed = run_command("--config", str(product.config), "status", "--failed", "--json")
        (study,) = json.loads(listed.stdout)
        assert (study["accession_number"], study["reason"]) == ("ACC-19", failed.reason)
        wait_for(lambda: pacs.received, "the report of the failure", product.log)
        (path,) = (tmp_path / "pacs").glob("incoming/*/*")
        report = dcmread(path)
        assert (report.PatientName, report.StudyInstanceUID) == ("Lost^Lena", uid)

        product.send([phantom.path])
        mended = product.wait_until_finished(uid, revision=2)
        assert mended.state is StudyState.SCREENED
        assert "Lost" not in product.log()


def test_another_database_is_made_by_db_upgrade_alone_and_twice_does_no_harm(
    make_product: MakeProduct, empty_database_url: str
) -> None:
    product = make_product(top=f'database_url = "{empty_database_url}"')
    config = ("--config", str(product.config))
    refused = run_command(*config, "status")
    assert refused.returncode == 2
    assert "db upgrade" in refused.stderr
    for _ in range(2):
        assert run_command(*config, "db", "upgrade").returncode == 0
    assert run_command(*config, "status").returncode == 0


def test_a_listener_that_is_told_to_stop_finishes_the_open_association(
    make_product: MakeProduct, tmp_path: Path
) -> None:
    product = make_product()
    product.start("listener")
    paths = [write_instance(radiograph_dataset(n), tmp_path / f"{n}.dcm") for n in range(300)]
    results: list[StoreResult] = []
    sender = threading.Thread(target=lambda: results.extend(product.send(paths)))
    sender.start()
    wait_for(lambda: len(list(product.ledger.instance_paths())) > 5, "some arrived", product.log)

    listener = product.processes["listener"]
    product.kill("listener", signal.SIGTERM)
    sender.join(60)

    assert listener.returncode == 0
    assert all(result.stored for result in results)
    assert len(list(product.ledger.instance_paths())) == len(results) == 300
    (refused,) = product.send(paths[:1])
    assert refused.status is None


@pytest.mark.parametrize("service", ["dispatch", "listen"])
def test_a_service_without_its_tables_ends_with_the_command_to_run(
    make_product: MakeProduct, tmp_path: Path, service: str
) -> None:
    product = make_product(top=f'database_url = "sqlite:///{tmp_path / "other.sqlite"}"')
    done = run_command("--config", str(product.config), service, timeout_s=60)
    assert done.returncode == 2
    assert "fracture-screen db upgrade" in done.stderr
    assert "Traceback" not in done.stderr
