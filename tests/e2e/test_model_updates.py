"""A running product that gets another model, and its old one back, without a restart."""

import json
from pathlib import Path

import pytest

from models.bundle import DEFAULT_BUNDLE, load_bundle, save_bundle
from tests.radiographs import write_phantom
from tests.servers.product import MakeProduct, Product, run_command, wait_for
from tests.unit.training.labelled_folders import draw_fracatlas

ANYTHING = {"sensitive": 0.0, "specific": 0.0}
"""Operating points of a model that flags every radiograph."""


def write_candidate(folder: Path, version: str, points: dict[str, float]) -> Path:
    """The shipped network under another version with other operating points."""
    shipped = load_bundle(DEFAULT_BUNDLE)
    card = {**shipped.card, "version": version, "operating_points": points}
    save_bundle(
        folder / version, card, shipped.weights, network=shipped.network, position=shipped.position
    )
    return folder / version


def model(product: Product, *arguments: str, exit_code: int = 0) -> str:
    done = run_command("--config", str(product.config), "model", *arguments)
    assert done.returncode == exit_code, done.stderr
    return done.stdout


def screen(product: Product, folder: Path, study: str) -> tuple[str, str]:
    """(version of the model that screened a new study, outcome)."""
    phantom = write_phantom(folder, study)
    product.send([phantom.path])
    summary = product.wait_until_finished(phantom.study_instance_uid)
    assert summary.analysis is not None
    return summary.analysis.model_version, str(summary.outcome)


def check_shadow(product: Product, folder: Path, before: tuple[str, str]) -> None:
    """The candidate scores a study beside the champion, which alone decides."""
    model(product, "shadow", "fracture-mobilenetv2-9.0")
    assert screen(product, folder, "shadowed") == before
    wait_for(lambda: product.events("study_shadowed"), "the shadow has scored", product.log)
    told = ("agreement", "fracture-mobilenetv2-9.0", "--json", "--out", str(folder / "agreement"))
    found = json.loads(model(product, *told))
    assert (found["radiographs"], found["too_few"]) == (1, True)
    assert found["correlation"] is None
    names = {path.name for path in (folder / "agreement").rglob("*.*")}
    assert names == {"scores.csv", "scatter.png", "01.png", "index.json"}


@pytest.mark.timeout(900)  # ten commands, two of which measure both models
def test_a_running_worker_takes_up_a_promoted_model_and_its_rollback_with_the_next_study(
    make_product: MakeProduct, tmp_path: Path
) -> None:
    product = make_product(f'[promotion]\nevaluation_sha256 = "{"ab" * 32}"\n')
    labelled = draw_fracatlas(tmp_path / "labelled")
    product.start("listener", "dispatcher", "triage worker")
    worker = product.processes["triage worker"]
    shipped = load_bundle(DEFAULT_BUNDLE).identity.version
    before = screen(product, tmp_path, "before")
    assert before[0] == shipped

    model(product, "import", str(write_candidate(tmp_path, "9.0", ANYTHING)))
    assert screen(product, tmp_path, "imported")[0] == shipped
    check_shadow(product, tmp_path, before)
    refused = model(
        product, "promote", "fracture-mobilenetv2-9.0", "--data", str(labelled), "--json",
        exit_code=1,
    )  # fmt: skip
    verdicts = {gate["name"]: gate["passed"] for gate in json.loads(refused)}
    assert verdicts["evaluation set"] is False
    assert verdicts["AUC"] is True
    model(
        product, "promote", "fracture-mobilenetv2-9.0", "--data", str(labelled),
        "--force", "--reason", "a drill",
    )  # fmt: skip
    assert screen(product, tmp_path, "promoted") == ("9.0", "POSITIVE")

    model(product, "rollback", "--reason", "the drill is over")
    assert screen(product, tmp_path, "rolled back") == before
    assert worker.poll() is None
    used = [event["version"] for event in product.events("model_in_use")]
    assert used == [shipped, "9.0", shipped]

    events = json.loads(model(product, "history", "--json"))
    assert [event["action"] for event in reversed(events)] == [
        "model import", "model shadow", "model promote refused", "model promote", "model rollback",
    ]  # fmt: skip
    forced = events[1]["details"]
    assert (forced["forced"], forced["reason"]) == (True, "a drill")
    assert len(forced["evaluation_set"]) == 64
