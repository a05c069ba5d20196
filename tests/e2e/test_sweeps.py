"""Sweeps by the services as deployed, over real PACS."""

import csv
import json
from datetime import timedelta
from pathlib import Path

import pytest

from db.outcomes import Outcome
from db.states import SweepState, SweepStudyState
from db.sweep_records import NewSweep, SweepRecord, SweepTally
from db.sweeps import Sweeps
from dicom_node.instance import RemoteAE
from dicom_node.storage_scu import send_instances
from tests.radiographs import NOW, Phantom, write_phantom
from tests.servers.dcmqrscp import running_dcmqrscp
from tests.servers.dcmtk import needs_dcmtk
from tests.servers.orthanc import Orthanc, needs_orthanc
from tests.servers.product import (
    MakeProduct,
    Product,
    destination_toml,
    run_command,
    source_toml,
    wait_for,
)
from worker.composition import open_database, utc_now
from worker.settings import load_settings
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


def sweep_command(product: Product, *arguments: str) -> str:
    """Standard output of `fracture-screen sweep …`."""
    done = run_command("--config", str(product.config), "sweep", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_folder_is_planned_swept_and_reported_by_commands(
    make_product: MakeProduct, tmp_path: Path
) -> None:
    folder, reports = tmp_path / "archive", tmp_path / "reports"
    for study in range(4):
        write_phantom(folder / f"{study}", f"folder {study}", 1 + study)
    (folder / "notes.txt").write_text("not DICOM")
    product = make_product()
    place = ("--folder", str(folder))
    assert run_command("--config", str(product.config), "db", "upgrade").returncode == 0

    planned = json.loads(sweep_command(product, "plan", *place, "--json"))
    assert (planned["to_fetch"], planned["excluded_by_reason"]) == (4, {"no DICOM instance": 1})

    product.start("listener", "dispatcher", "screening worker", "sweep worker")
    begun = json.loads(
        sweep_command(product, "start", *place, "--any-time", "--no-delivery", "--follow", "--json")
    )
    told = json.loads(sweep_command(product, "status", str(begun["sweep"]), "--json"))
    assert (told["state"], told["screened"], told["to_do"]) == ("FINISHED", 4, 0)

    sweep_command(product, "report", "1", "--out", str(reports), "--results")
    assert (reports / "report.pdf").read_bytes().startswith(b"%PDF")
    studies = list(csv.DictReader((reports / "studies.csv").open()))
    assert [row["state"] for row in studies].count("TAKEN") == 4
    files = {row["path"]: row for row in csv.DictReader((reports / "files.csv").open())}
    assert files["notes.txt"]["reason"] == "no DICOM instance"
    assert (
        sum(row["outcome"] == "POSITIVE" for row in files.values())
        == (told["outcomes"]["POSITIVE"])
    )
    copied = list(csv.DictReader((reports / "results" / "manifest.csv").open()))
    assert {row["kind"] for row in copied} == {"overlay", "report"}
    assert all((reports / "results" / row["path"]).is_file() for row in copied)
    suspects = list(csv.DictReader((reports / "suspected.csv").open()))
    assert {row["patient_name"] for row in suspects} == {"Synthetic, Phantom"}
    assert not (product.folder / "log.jsonl").read_text().count("Synthetic")


def test_what_was_screened_before_is_screened_again_as_it_is_chosen(
    make_product: MakeProduct, tmp_path: Path
) -> None:
    product = make_product()
    product.start("listener", "dispatcher", "screening worker", "sweep worker")
    phantoms = [write_phantom(tmp_path, f"known {n}", 1 + n) for n in range(3)]
    product.send([one.path for one in phantoms])
    before = [product.wait_until_finished(one.study_instance_uid).outcome for one in phantoms]
    negative = before.count(Outcome.NEGATIVE)

    arguments = ("--known", "--model-older-than", "99.0", "--only-negative", "--any-time")
    sweep_command(product, "start", *arguments, "--follow")

    told = json.loads(sweep_command(product, "status", "1", "--json"))
    assert told["screened"] == negative
    assert told["excluded_by_reason"] == {"outcome not negative": 3 - negative}
    for phantom, outcome in zip(phantoms, before, strict=True):
        summary = product.ledger.study_summary(phantom.study_instance_uid)
        assert summary is not None
        assert summary.revision == (2 if outcome is Outcome.NEGATIVE else 1)


def test_a_schedule_sweeps_by_itself_once_a_night(
    make_product: MakeProduct, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    write_phantom(folder, "scheduled", made_at=utc_now())
    product = make_product(
        '[sweep]\nwindow_start = "00:00"\nwindow_end = "00:00"\n'
        f'report_folder = "{tmp_path / "reports"}"\n'
        f'[[schedules]]\nname = "nightly"\nfolder = "{folder}"\ndays = 2\n'
    )
    product.start("listener", "dispatcher", "screening worker", "sweep worker")
    product.start_another("sweep worker")
    sweeps = sweeps_of(product)
    (begun,) = wait_for(lambda: sweeps.latest(5), "the schedule begins its sweep", product.log)
    assert finished(product, sweeps, begun.id).studies[SweepStudyState.TAKEN] == 1
    assert len(product.events("sweep_begun")) == len(sweeps.latest(5)) == 1
    report = tmp_path / "reports" / "sweep-1" / "report.pdf"
    wait_for(report.is_file, "its report is written by itself", product.log)


@needs_dcmtk
def test_a_sweep_that_is_killed_again_and_again_ends_complete_with_nothing_twice(
    make_product: MakeProduct, tmp_path: Path
) -> None:
    product = make_product("requeue_after_s = 5\n")  # a batch that was killed loses its message
    with running_dcmqrscp(tmp_path / "archive", {"us": product.node}) as remote:
        fill(remote, tmp_path / "in")
        with product.config.open("a") as config:
            config.write(source_toml("archive", remote, retrieval="move"))
        product.settings = load_settings(product.config)
        product.start("listener", "dispatcher", "screening worker", "sweep worker")
        sweeps = sweeps_of(product)
        sweep_id = begin(sweeps).id
        for share in (0.2, 0.5, 0.8):

            def screened(least: float = share * STUDIES) -> bool:
                return sum(sweeps.tally(sweep_id).outcomes.values()) >= least

            wait_for(screened, "the sweep has come so far", product.log)
            product.kill("sweep worker")
            product.kill("screening worker")
            product.start("sweep worker", "screening worker")
        tally = finished(product, sweeps, sweep_id)

    assert tally.studies[SweepStudyState.TAKEN] == STUDIES
    assert sum(tally.outcomes.values()) == STUDIES
    summaries = [
        product.ledger.study_summary(line.study_instance_uid) for line in sweeps.swept(sweep_id)
    ]
    assert {summary.revision for summary in summaries if summary} == {1}
