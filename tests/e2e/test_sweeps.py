"""Sweeps by the services as deployed, over real PACS."""

from datetime import timedelta
from pathlib import Path

import pytest

from db.states import Outcome, SweepState, SweepStudyState
from db.sweeps import NewSweep, SweepRecord, Sweeps, SweepTally
from dicom_node.instance import RemoteAE
from dicom_node.storage_scu import send_instances
from tests.radiographs import NOW, Phantom, write_phantom
from tests.servers.orthanc import Orthanc, needs_orthanc
from tests.servers.product import (
    MakeProduct,
    Product,
    destination_toml,
    source_toml,
    wait_for,
)
from worker.composition import open_database, utc_now
from worker.sweeps.selection import Selection

STUDIES = 20
ALL = ("listener", "dispatcher", "screening worker", "delivery worker", "sweep worker")
AT_ONCE = Selection(any_time=True).to_json()


def fill(remote: RemoteAE, folder: Path, studies: int = STUDIES) -> list[Phantom]:
    """A PACS with studies of one instance, every fifth of two."""

    def write(study: int, number: int) -> Phantom:
        made_at = NOW - timedelta(minutes=97 * study)
        return write_phantom(folder, f"sweep {study}", number, made_at=made_at)

    phantoms = [write(n, 1 + n % 4) for n in range(studies)]
    phantoms += [write(n, 9) for n in range(0, studies, 5)]
    sent = send_instances(remote, [one.path for one in phantoms], calling_ae_title="MODALITY")
    assert all(one.stored for one in sent)
    return phantoms


def sweeps_of(product: Product) -> Sweeps:
    return Sweeps(open_database(product.settings), utc_now)


def begin(sweeps: Sweeps, source: str = "archive", folder: str = "") -> SweepRecord:
    begun = sweeps.begin(NewSweep(source=source, folder=folder, selection=AT_ONCE, actor="tests"))
    assert begun is not None
    return begun


def finished(product: Product, sweeps: Sweeps, sweep_id: int) -> SweepTally:
    """Its numbers once it is finished and all it took is concluded."""

    def done() -> SweepTally | None:
        record, tally = sweeps.find(sweep_id), sweeps.tally(sweep_id)
        over = record is not None and record.state is SweepState.FINISHED
        return tally if over and not tally.waiting else None

    return wait_for(done, f"sweep {sweep_id} is finished", product.log)


@needs_orthanc
@pytest.mark.parametrize("retrieval", ["move", "get"])
def test_a_pacs_is_swept_and_swept_again_for_nothing(
    orthanc: Orthanc, make_product: MakeProduct, tmp_path: Path, retrieval: str
) -> None:
    phantoms = fill(orthanc.remote, tmp_path / "in")
    product = make_product(
        destination_toml("pacs", orthanc.remote.ae_title, orthanc.remote.port)
        + source_toml("archive", orthanc.remote, retrieval=retrieval, most_answers=8)
    )
    orthanc.know_modality("us", product.node)
    product.start(*ALL)
    sweeps = sweeps_of(product)

    tally = finished(product, sweeps, begin(sweeps).id)

    assert tally.studies[SweepStudyState.TAKEN] == STUDIES
    assert tally.instances == len(phantoms)
    assert sum(tally.outcomes.values()) == STUDIES
    results = [
        result
        for line in sweeps.swept(1)
        if (study := product.wait_until_finished(line.study_instance_uid))
        for result in study.results
    ]
    positive = tally.outcomes[Outcome.POSITIVE]
    assert positive
    assert len([one for one in results if one.kind == "report"]) == positive
    kept = orthanc.wait_for_instances(len(phantoms) + len(results))
    assert {one.sop_instance_uid for one in results} <= kept

    again = finished(product, sweeps, begin(sweeps).id)
    assert again.studies[SweepStudyState.TAKEN] == 0
    assert again.exclusions == {"screened by this model already": STUDIES}
