"""SIGKILL at bad moments: nothing acknowledged is lost, nothing is doubled."""

import os
import time
from pathlib import Path

from db.outcomes import Outcome
from db.states import StudyState
from dicom_node.spool import Spool
from tests.radiographs import write_phantom
from tests.servers.pacs import FolderPacs
from tests.servers.product import MakeProduct, destination_toml, wait_for


def test_a_worker_killed_in_the_middle_of_a_task_leaves_one_set_of_results(
    make_product: MakeProduct, tmp_path: Path
) -> None:
    with FolderPacs(tmp_path / "pacs") as pacs:
        product = make_product(destination_toml("pacs", pacs.ae_title, pacs.port))
        product.start()
        phantoms = [write_phantom(tmp_path / "in", "killed", number) for number in range(1, 25)]
        study = phantoms[0].study_instance_uid
        assert all(result.stored for result in product.send([one.path for one in phantoms]))

        def being_screened() -> bool:
            summary = product.ledger.study_summary(study)
            return summary is not None and summary.state is StudyState.SCREENING

        wait_for(being_screened, "the study is being screened", product.log)
        product.kill("triage worker")
        product.start("triage worker")

        summary = product.wait_until_finished(study)
        assert summary.attempts >= 2, "the kill came too late"
        assert summary.state is StudyState.SCREENED
        assert summary.analysis is not None
        assert len(summary.analysis.findings) == len(phantoms)
        expected = {result.sop_instance_uid for result in summary.analysis.results}
        assert sorted(pacs.received) == sorted(expected)


def test_a_listener_killed_between_associations_loses_nothing_it_acknowledged(
    make_product: MakeProduct, tmp_path: Path
) -> None:
    product = make_product()
    product.start("listener")
    first = write_phantom(tmp_path / "in", "before the kill")
    second = write_phantom(tmp_path / "in", "after the kill")
    assert all(result.stored for result in product.send([first.path]))

    product.kill("listener")
    product.start("listener", "dispatcher", "triage worker")
    assert all(result.stored for result in product.send([second.path]))

    for phantom in (first, second):
        summary = product.wait_until_finished(phantom.study_instance_uid)
        assert summary.outcome in {Outcome.POSITIVE, Outcome.DOUBTFUL, Outcome.NEGATIVE}


def test_a_file_that_a_crash_left_without_a_row_is_screened_after_the_restart(
    make_product: MakeProduct, tmp_path: Path
) -> None:
    product = make_product()
    phantom = write_phantom(tmp_path / "in", "orphan")
    spooled = Spool(product.settings.spool_folder).write(phantom.path.read_bytes())
    old = time.time() - 3600
    os.utime(spooled.path, (old, old))

    product.start("listener", "dispatcher", "triage worker")

    assert product.wait_until_finished(phantom.study_instance_uid).outcome is not None
    assert len(product.events("orphan_reconciled")) == 1
