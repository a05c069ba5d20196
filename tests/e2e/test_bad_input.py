"""Hostile and broken input to the running product: refused or recorded, and the rest goes on."""

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset, uid
from pydicom.sequence import Sequence
from pynetdicom import AE, _config
from pynetdicom.dsutils import split_dataset

from db.outcomes import Outcome
from db.records import StudySummary
from db.states import StudyState
from dicom_node.storage_scu import send_instances
from tests.paths import needs_shared_data
from tests.radiographs import ODDITIES, write_phantom
from tests.servers.dcmtk import needs_dcmtk, run_dcmsend, run_storescu
from tests.servers.pacs import FolderPacs
from tests.servers.product import (
    Product,
    configure,
    destination_toml,
    wait_for,
)
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance

CANARY = "Canary^Patient"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FolderPacs]:
    with FolderPacs(tmp_path_factory.mktemp("pacs")) as running:
        yield running


@pytest.fixture(scope="module")
def product(home: Path, pacs: FolderPacs) -> Iterator[Product]:
    """One product for all tests: each leaves it as able to work as it found it."""
    made = configure(home / "product", destination_toml("pacs", pacs.ae_title, pacs.port))
    made.start()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def unharmed(product: Product, home: Path) -> Iterator[None]:
    """After each test: every process lives, and nothing was written outside the data folder."""
    before = outside(product, home)
    yield
    assert [name for name, one in product.processes.items() if one.poll() is not None] == []
    assert product._answers()
    assert outside(product, home) == before


def outside(product: Product, home: Path) -> set[Path]:
    data = product.settings.data_folder
    return {path for path in home.rglob("*") if not path.is_relative_to(data)}


def instance(number: int, study: str) -> Dataset:
    dataset = radiograph_dataset(number)
    dataset.StudyInstanceUID = f"1.2.826.0.1.{study}"
    dataset.SOPInstanceUID = f"{dataset.StudyInstanceUID}.{number}"
    dataset.PatientName = dataset.PatientID = CANARY
    return dataset


def c_store(product: Product, path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Send the bytes of a file as they are; the status of the response."""
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
    ae = AE("CLUMSY")
    ae.add_requested_context(uid.ComputedRadiographyImageStorage, uid.ExplicitVRLittleEndian)
    association = ae.associate("127.0.0.1", product.node.port, ae_title=product.node.ae_title)
    assert association.is_established
    try:
        return int(association.send_c_store(path).Status)
    finally:
        association.release()


def registered(product: Product) -> set[str]:
    return {sop_instance_uid for sop_instance_uid, _ in product.ledger.instance_paths()}


def finished_studies(product: Product) -> list[StudySummary]:
    def all_finished() -> list[StudySummary]:
        studies = product.ledger.recent_studies(1000)
        return studies if all(study.is_finished for study in studies) else []

    return wait_for(all_finished, "every study is finished", product.log)


@needs_shared_data
def test_every_oddity_is_refused_or_recorded_with_a_reason(product: Product) -> None:
    sent = [
        result
        for path in sorted(ODDITIES.iterdir())
        for result in send_instances(product.node, [path], calling_ae_title="ODD")
    ]
    assert all(result.error for result in sent if not result.stored)
    stored = {result.sop_instance_uid for result in sent if result.stored}
    assert len(stored) > 5
    assert stored <= registered(product)
    for study in finished_studies(product):
        assert study.state is StudyState.SCREENED
        assert study.analysis is not None
        assert study.analysis.findings
        assert all(one.analysed or one.reason for one in study.analysis.findings)
        assert study.outcome is not Outcome.NOT_ANALYSED or study.reason
        assert [result.kind for result in study.results].count("report") == 1


@needs_dcmtk
@needs_shared_data
def test_the_oddities_of_another_makers_sender_change_nothing_more(product: Product) -> None:
    before = registered(product)
    oddities = sorted(ODDITIES.iterdir())
    run_dcmsend(product.node, oddities)
    for path in oddities:
        run_storescu(product.node, [path])
    after = registered(product)
    assert before <= after
    assert all(study.state is StudyState.SCREENED for study in finished_studies(product))


def truncated(folder: Path) -> Path:
    path = write_instance(instance(1, "901"), folder / "truncated.dcm")
    path.write_bytes(path.read_bytes()[:-200])
    return path


def climbing(folder: Path) -> Path:
    """`../../x` where the SOP Instance UID stands, in the request and in the data set."""
    dataset = instance(2, "902")
    path = write_instance(dataset, folder / "climbing.dcm")
    old = str(dataset.SOPInstanceUID).encode()
    path.write_bytes(path.read_bytes().replace(old, b"../../x".ljust(len(old), b"\0")))
    return path


def climbing_study(folder: Path) -> Path:
    dataset = instance(3, "903")
    path = write_instance(dataset, folder / "study.dcm")
    old = str(dataset.StudyInstanceUID).encode()
    head, body = _split(path)
    element = b"\x20\x00\x0d\x00UI" + (len(old) + len(old) % 2).to_bytes(2, "little")
    value = old.ljust(len(old) + len(old) % 2, b"\0")
    assert element + value in body
    path.write_bytes(head + body.replace(element + value, element + b"../../x".ljust(len(value))))
    return path


def mismatched(folder: Path) -> Path:
    """The data set is another instance than its request says."""
    dataset = instance(4, "904")
    path = write_instance(dataset, folder / "mismatched.dcm")
    head, body = _split(path)
    old = str(dataset.SOPInstanceUID).encode()
    path.write_bytes(head + body.replace(old, old[:-1] + b"9"))
    return path


def _split(path: Path) -> tuple[bytes, bytes]:
    whole, offset = path.read_bytes(), split_dataset(path)[1]
    return whole[:offset], whole[offset:]


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (truncated, 0xC000),
        (climbing, 0xC000),
        (climbing_study, 0xC000),
        (mismatched, 0xA900),
    ],
)
def test_what_is_malformed_is_refused_and_leaves_no_row_and_no_file(
    product: Product, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make, status: int
) -> None:
    rows, files = registered(product), spooled(product)
    assert c_store(product, make(tmp_path), monkeypatch) == status
    assert (registered(product), spooled(product)) == (rows, files)
    refusal = product.events("instance_refused")[-1]
    assert refusal["reason"]
    assert refusal["status"] == f"0x{status:04X}"


def spooled(product: Product) -> set[Path]:
    return {path for path in product.settings.spool_folder.rglob("*") if path.is_file()}


def nested(levels: int) -> Dataset:
    innermost = Dataset()
    innermost.CodeValue = "1"
    for _ in range(levels):
        outer = Dataset()
        outer.ConceptNameCodeSequence = Sequence([innermost])
        innermost = outer
    return innermost


def undecodable(folder: Path) -> list[Path]:
    dataset = instance(1, "911")
    dataset.PixelData = dataset.PixelData[:100]
    return [write_instance(dataset, folder / "short.dcm")]


def deep(folder: Path) -> list[Path]:
    dataset = instance(1, "912")
    dataset.AnatomicRegionSequence = Sequence([nested(60)])
    return [write_instance(dataset, folder / "deep.dcm")]


def without_pixels(folder: Path) -> list[Path]:
    dataset = instance(1, "913")
    del dataset.PixelData
    return [write_instance(dataset, folder / "without.dcm")]


@pytest.mark.parametrize("make", [undecodable, without_pixels])
def test_a_radiograph_that_cannot_be_read_is_recorded_with_its_reason(
    product: Product, tmp_path: Path, make
) -> None:
    paths = make(tmp_path)
    assert all(result.stored for result in product.send(paths))
    study = str(pydicom.dcmread(paths[0]).StudyInstanceUID)
    summary = product.wait_until_finished(study)
    assert summary.outcome is Outcome.NOT_ANALYSED
    assert summary.reason
    assert CANARY.split("^")[0] not in summary.reason


def test_sequences_nested_deep_never_make_a_study_negative_unseen(
    product: Product, tmp_path: Path
) -> None:
    paths = deep(tmp_path)
    (result,) = product.send(paths)
    if not result.stored:
        assert result.error
        return
    summary = product.wait_until_finished(str(pydicom.dcmread(paths[0]).StudyInstanceUID))
    assert summary.state is StudyState.SCREENED


def test_a_good_study_after_all_that_is_screened_and_delivered(
    product: Product, pacs: FolderPacs, tmp_path: Path
) -> None:
    phantom = write_phantom(tmp_path, "after the bad ones")
    assert all(result.stored for result in product.send([phantom.path]))
    summary = product.wait_until_finished(phantom.study_instance_uid)
    assert summary.outcome in {Outcome.POSITIVE, Outcome.DOUBTFUL, Outcome.NEGATIVE}
    expected = {result.sop_instance_uid for result in summary.results}
    assert expected <= set(pacs.received)
    assert len(pacs.received) == len(set(pacs.received))


def test_no_patient_is_named_in_a_log_line_or_a_message(product: Product) -> None:
    """Last in this module, over what all the others have left."""
    names = {CANARY.split("^")[0], "Synthetic"} | names_of_oddities()
    log = (product.folder / "log.jsonl").read_text()
    broker = b"".join(
        path.read_bytes()
        for path in (product.settings.data_folder / "broker").rglob("*")
        if path.is_file()
    )
    assert len(log.splitlines()) > 20
    assert [name for name in names if name in log] == []
    assert [name for name in names if name.encode() in broker] == []


def names_of_oddities() -> set[str]:
    if not ODDITIES.is_dir():
        return set()
    datasets = [pydicom.dcmread(path, force=True) for path in ODDITIES.iterdir()]
    names = {str(dataset.get("PatientName", "")) for dataset in datasets}
    return {name for name in names if len(name) > 4}
