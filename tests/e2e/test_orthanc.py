"""The main job with a real PACS: DCMTK sends, we screen, Orthanc gets heatmaps and reports."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import pydicom
import pytest

from db.outcomes import Outcome
from tests.paths import needs_shared_data
from tests.radiographs import WG04, wrap_fracatlas, write_phantom
from tests.servers.dcmtk import needs_dcmtk, run_dcmsend, run_storescu
from tests.servers.orthanc import Orthanc, needs_orthanc
from tests.servers.postgresql import PrivatePostgresql
from tests.servers.product import MakeProduct, Product, destination_toml
from tests.validators import dcentvfy_complaints, dciodvfy_errors, needs_dciodvfy

pytestmark = [needs_orthanc, needs_dcmtk, needs_dciodvfy]

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"


@pytest.fixture(params=["embedded", "redis and postgresql"])
def product(
    request: pytest.FixtureRequest, make_product: MakeProduct, orthanc: Orthanc
) -> Iterator[Product]:
    """All services, with Orthanc as destination, on either pair of database and broker."""
    remote = orthanc.remote
    toml = destination_toml("orthanc", remote.ae_title, remote.port)
    with ExitStack() as stack:
        top = ""
        if request.param != "embedded":
            server: PrivatePostgresql = request.getfixturevalue("postgresql_server")
            template = request.getfixturevalue("migrated_postgresql")
            database = stack.enter_context(server.database(template))
            broker = request.getfixturevalue("redis_url")
            top = f'database_url = "{server.url(database)}"\nbroker_url = "{broker}"'
        product = make_product(toml, top=top)
        product.start()
        yield product
        product.stop()


@needs_shared_data
def test_radiographs_sent_by_dcmtk_come_back_to_orthanc_as_valid_results(
    product: Product, orthanc: Orthanc, tmp_path: Path
) -> None:
    sent = [wrap_fracatlas(name, tmp_path / "in") for name in ("IMG0000019.jpg", "IMG0000025.jpg")]
    sent += [WG04 / "RG3_UNC.dcm", WG04 / "RG2_J2KR.dcm"]
    for path in sent:
        orthanc.upload(path)
    assert run_storescu(product.node, sent[:2]).returncode == 0
    assert run_dcmsend(product.node, sent[2:]).returncode == 0

    for path in sent:
        check_study(product, orthanc, path, tmp_path)


@needs_shared_data
def test_a_study_sent_again_adds_nothing_to_the_pacs(
    product: Product, orthanc: Orthanc, tmp_path: Path
) -> None:
    phantom = write_phantom(tmp_path / "in", "again")
    assert run_storescu(product.node, [phantom.path]).returncode == 0
    product.wait_until_finished(phantom.study_instance_uid)
    before = orthanc.sop_instance_uids()

    assert run_storescu(product.node, [phantom.path]).returncode == 0
    late = write_phantom(tmp_path / "in", "again", 2)
    assert run_storescu(product.node, [phantom.path, late.path]).returncode == 0
    summary = product.wait_until_finished(phantom.study_instance_uid, revision=2)

    after = orthanc.sop_instance_uids()
    assert before < after
    assert summary.analysis is not None
    new = {result.sop_instance_uid for result in summary.analysis.results} - before
    assert after - before == new


def check_study(product: Product, orthanc: Orthanc, source: Path, tmp_path: Path) -> None:
    """The study's results stand in Orthanc, in the right study, and the judges find no error."""
    study = str(pydicom.dcmread(source, stop_before_pixels=True).StudyInstanceUID)
    summary = product.wait_until_finished(study)
    assert summary.outcome in {Outcome.POSITIVE, Outcome.DOUBTFUL, Outcome.NEGATIVE}
    assert summary.analysis is not None

    found = orthanc.post("/tools/find", {"Level": "Study", "Query": {"StudyInstanceUID": study}})
    assert len(found) == 1
    instances = orthanc.get(f"/studies/{found[0]}/instances")
    files = []
    for instance in instances:
        file = tmp_path / f"{instance['ID']}.dcm"
        file.write_bytes(orthanc.download(instance["ID"]))
        files.append(file)
    results = [file for file in files if is_result(file)]
    expected = {result.sop_instance_uid for result in summary.analysis.results}
    assert {str(pydicom.dcmread(file).SOPInstanceUID) for file in results} == expected
    kinds = [str(pydicom.dcmread(file).SOPClassUID) for file in results]
    flagged = sum(bool(finding.operating_point) for finding in summary.analysis.findings)
    assert kinds.count(SECONDARY_CAPTURE) == flagged
    assert kinds.count(ENCAPSULATED_PDF) == 1
    assert [error for file in results for error in dciodvfy_errors(file)] == []
    assert dcentvfy_complaints(*files) == []
    report = next(file for file in results if "EncapsulatedDocument" in pydicom.dcmread(file))
    pdf = report.with_suffix(".pdf")
    pdf.write_bytes(pydicom.dcmread(report).EncapsulatedDocument)
    rendered = subprocess.run(["pdftoppm", "-r", "50", "-png", pdf, pdf.with_suffix("")])
    assert rendered.returncode == 0
    pages = [cv2.imread(str(page)) for page in tmp_path.glob(f"{pdf.stem}-*.png")]
    assert pages
    assert all(page.std() > 1 for page in pages)


def is_result(file: Path) -> bool:
    return str(pydicom.dcmread(file).SOPClassUID) in {SECONDARY_CAPTURE, ENCAPSULATED_PDF}
