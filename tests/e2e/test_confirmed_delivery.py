"""Sent, then kept: a PACS that commits on a new association to our listener, or is read back."""

from pathlib import Path

import pytest

from db.records import DeliveryFilter
from db.states import DeliveryState
from dicom_node.instance import RemoteAE
from tests.radiographs import write_phantom
from tests.servers.orthanc import Orthanc, needs_orthanc
from tests.servers.product import MakeProduct, destination_toml, wait_for

pytestmark = needs_orthanc


@pytest.mark.parametrize("option", ["commitment", "read_back"])
def test_what_orthanc_keeps_is_committed(
    make_product: MakeProduct, orthanc: Orthanc, tmp_path: Path, option: str
) -> None:
    remote = orthanc.remote
    toml = destination_toml("orthanc", remote.ae_title, remote.port) + f"{option} = true\n"
    product = make_product(toml)
    node = product.node
    orthanc.know_modality("screen", RemoteAE("FRACTURESCREEN", node.host, node.port))
    product.start()
    phantom = write_phantom(tmp_path / "in", "kept")
    assert all(result.stored for result in product.send([phantom.path]))

    def committed() -> bool:
        found = product.ledger.deliveries(DeliveryFilter("orthanc"))
        return bool(found) and {one.state for one in found} == {DeliveryState.COMMITTED}

    wait_for(committed, "everything is committed", product.log)
    (summary,) = product.ledger.recent_studies(10)
    assert {result.sop_instance_uid for result in summary.results} <= orthanc.sop_instance_uids()
