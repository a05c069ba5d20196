"""The commands about models and reviews, as an engineer calls them, on one data folder."""

import csv
import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from db.records import NewFinding
from db.states import ModelState
from models.bundle import DEFAULT_BUNDLE, load_bundle, save_bundle
from models.engines.choice import make_engine
from models.network_file import verify
from tests.unit.db.ledger_factories import Bench, instance_uid, make_conclusion
from tests.unit.models.bundles import make_scope
from tests.unit.training.labelled_folders import draw_fracatlas
from worker.cli import app
from worker.composition import open_database, open_registry
from worker.errors import NothingToDo
from worker.settings import load_settings

SHIPPED = load_bundle(DEFAULT_BUNDLE)
CANDIDATE = f"{SHIPPED.identity.name}-9.0"


class Console:
    """Calls commands with the settings of one product."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "settings.toml"
        self.config.write_text(f'data_folder = "{folder / "data"}"\n')

    def call(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, ["--config", str(self.config), *arguments])

    def answer(self, *arguments: str) -> Any:  # Any: JSON
        done = self.call(*arguments, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def import_candidate(self, **changes: Any) -> None:
        folder = self.folder / "candidate"
        card = {**SHIPPED.card, "version": "9.0", **changes}
        save_bundle(
            folder, card, SHIPPED.weights, network=SHIPPED.network, position=SHIPPED.position
        )
        done = self.call("model", "import", str(folder))
        assert done.exit_code == 0, done.output

    def use_bundle_without_reference(self) -> str:
        """As version 0.1.0 was, in the settings; its digest."""
        folder = self.folder / "without-reference"
        card = {key: value for key, value in SHIPPED.card.items() if key != "reference"}
        card["version"] = "9.2"
        save_bundle(
            folder, card, SHIPPED.weights, network=SHIPPED.network, position=SHIPPED.position
        )
        with self.config.open("a") as config:
            config.write(f'[model]\nbundle = "{folder}"\n')
        return load_bundle(folder).identity.digest

    def states(self) -> dict[str, str]:
        return {model["name"]: model["state"] for model in self.answer("model", "list")}


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return Console(tmp_path)


def test_looking_at_the_model_in_use_makes_no_data_folder(console: Console) -> None:
    assert console.answer("model", "show")["digest"] == SHIPPED.identity.digest
    assert not (console.folder / "data").exists()


def test_an_imported_model_is_listed_shown_retired_and_told_of(console: Console) -> None:
    console.import_candidate()
    shipped = f"{SHIPPED.identity.name}-{SHIPPED.identity.version}"
    assert console.states() == {shipped: ModelState.CHAMPION, CANDIDATE: ModelState.CANDIDATE}
    assert console.answer("model", "show", CANDIDATE)["version"] == "9.0"

    assert console.call("model", "retire", CANDIDATE, "--reason", "a try").exit_code == 0
    assert console.states()[CANDIDATE] == ModelState.RETIRED
    retired, imported = console.answer("model", "history")
    assert (retired["action"], retired["details"]["reason"]) == ("model retire", "a try")
    assert retired["actor"].endswith(f"@{socket.gethostname()}")
    assert imported["details"]["source"] == str(console.folder / "candidate")


def test_a_shadow_starts_and_stops_and_has_no_agreement_before_it_scored(console: Console) -> None:
    console.import_candidate()
    assert console.call("model", "shadow", CANDIDATE).exit_code == 0
    assert console.states()[CANDIDATE] == ModelState.SHADOW
    told = console.call("model", "agreement", CANDIDATE)
    assert isinstance(told.exception, NothingToDo)
    assert console.call("model", "shadow", "--stop").exit_code == 0
    assert console.states()[CANDIDATE] == ModelState.CANDIDATE
    assert isinstance(console.call("model", "shadow").exception, NothingToDo)


def test_a_comparison_gives_figures_of_both_models_and_changes_nothing(
    console: Console, tmp_path: Path
) -> None:
    console.import_candidate(operating_points={"sensitive": 0.0, "specific": 0.0})
    before = console.states()
    data = draw_fracatlas(tmp_path / "labelled")
    found = console.answer("model", "compare", "champion", CANDIDATE, "--data", str(data))
    champion, candidate = found["figures"]
    assert champion["auc"] == candidate["auc"]
    assert candidate["possible sensitivity"]["value"] == 1.0
    assert candidate["possible specificity"]["value"] == 0.0
    assert len(found["evaluation_set"]) == 64
    assert console.states() == before


def test_forcing_needs_a_reason_before_anything_is_measured(console: Console) -> None:
    console.import_candidate()
    arguments = ("promote", CANDIDATE, "--data", str(console.folder / "nowhere"), "--force")
    refused = console.call("model", *arguments)
    assert isinstance(refused.exception, NothingToDo)
    assert "--reason" in str(refused.exception)


def test_maps_are_drawn_by_the_model_in_use_unless_another_is_named(
    console: Console, tmp_path: Path
) -> None:
    console.import_candidate(calibration={"scale": 1e-9, "offset": 0.0})  # of all: 0.5
    registry = open_registry(load_settings(console.config))
    (candidate,) = registry.models()
    registry.promote(candidate.digest, "anna", {}, replacing=None)
    data = draw_fracatlas(tmp_path / "labelled", count=2)

    def probabilities(*model: str) -> set[str]:
        out = tmp_path / f"sheet-{len(list(tmp_path.iterdir()))}"
        arguments = ("--data", str(data), "--out", str(out), *model)
        done = console.call("explanations", "sheet", *arguments)
        assert done.exit_code == 0, done.output
        with (out / "sheet.csv").open(newline="") as sheet:
            return {row["probability"] for row in csv.DictReader(sheet)}

    assert probabilities() == {"0.500"}
    assert "0.500" not in probabilities("--model", "settings")
    out = str(tmp_path / "none")
    arguments = ("--data", str(data), "--out", out, "--model", "x")
    unknown = console.call("explanations", "sheet", *arguments)
    assert "there is no model x" in str(unknown.exception)


def test_drift_says_that_it_has_nothing_to_compare_with_and_that_one_is_too_few(
    console: Console,
) -> None:
    digest = console.use_bundle_without_reference()
    bench = Bench(open_database(load_settings(console.config)))
    seen = NewFinding(
        instance_uid(1, 1), 1, True, probability=0.6, body_part_examined="HAND", device="Maker A",
        mean_intensity=0.25, rows=20, columns=30,
    )  # fmt: skip
    bench.conclude(replace(make_conclusion(findings=(seen,)), model_digest=digest))

    found = console.answer("model", "drift")

    assert found["reference"] == "nothing"
    device = next(group for group in found["groups"] if group["by"] == "device")
    assert (device["group"], device["radiographs"], device["too_few"]) == ("Maker A", 1, True)
    assert "holds no reference" in console.call("model", "drift").stdout


def test_reviews_are_entered_once_and_an_export_stands_in_the_trail(console: Console) -> None:
    Bench(open_database(load_settings(console.config))).register(1, 1)
    table = console.folder / "reviews.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("sop_instance_uid", "outcome", "fractured", "reader", "reviewed_at"))
        writer.writerow((instance_uid(1, 1), "agree", "yes", "7", "2026-03-04T05:06:07+01:00"))
    assert "1 new of 1" in console.call("reviews", "import", str(table)).stdout
    assert "0 new of 1" in console.call("reviews", "import", str(table)).stdout

    told = console.answer("reviews", "export", "--out", str(console.folder / "labelled"))

    assert told["left_out"] == {"not in the spool any more, or not readable": 1}
    (event,) = console.answer("audit", "list", "--action", "reviews export")
    assert (event["action"], event["details"]["written"]) == ("reviews export", 0)


def test_a_bundle_with_a_scope_is_imported_whole_and_its_scope_is_measured(
    console: Console, tmp_path: Path
) -> None:
    draw_fracatlas(tmp_path / "radiographs")
    scope = make_scope(channels=SHIPPED.weights["hidden/kernel"].shape[0], threshold=1e-3)
    bundle = tmp_path / "scoped"
    card = {**SHIPPED.card, "version": "9.1"}
    save_bundle(bundle, card, SHIPPED.weights, scope, SHIPPED.network, SHIPPED.position)
    assert console.call("model", "import", str(bundle)).exit_code == 0

    name = f"{SHIPPED.identity.name}-9.1"
    options = ("--data", str(tmp_path / "radiographs"), "--controls", "1")
    found = console.answer("model", "scope", name, *options, "--others", str(bundle / "card.json"))

    radiographs, *controls = found["kinds"]
    assert radiographs["kind"] == "radiographs"
    assert radiographs["rejected"] == radiographs["pictures"] > 1
    assert all(one["rejected"] == one["pictures"] == 1 for one in controls)
    assert "no pixels" in found["files"][0]["trouble"]


def test_a_bundle_without_a_scope_says_so_and_rejects_nothing(console: Console) -> None:
    console.import_candidate()
    done = console.call("model", "scope", CANDIDATE, "--controls", "1")
    assert done.exit_code == 0, done.output
    assert "knows no scope" in done.stderr
    assert "white noise" in done.stdout


def test_engines_are_measured_and_the_chosen_one_is_named(tmp_path: Path) -> None:
    console = Console(tmp_path)
    with console.config.open("a") as config:
        config.write('[model]\nengine = "onnxruntime"\n')
    told = console.answer("model", "engines")
    assert (told["chosen"], told["reason"]) == ("onnxruntime", "set by model.engine")
    assert {"onnxruntime", "tensorflow"} <= set(told["milliseconds_per_radiograph"])
    for times in told["milliseconds_per_radiograph"].values():
        assert set(times) == {"1", "4", "16"}
        assert all(time > 0 for time in times.values())
    assert not (tmp_path / "data").exists()


def test_a_bundle_gets_a_network_file_and_is_served_with_it(tmp_path: Path) -> None:
    console, old, new = Console(tmp_path), tmp_path / "old", tmp_path / "new"
    save_bundle(old, {**SHIPPED.card, "version": "8.0"}, SHIPPED.weights)
    options = ("--out", str(new), "--bundle-version", "8.1")
    assert console.call("model", "onnx", str(old), *options).exit_code == 0
    made = load_bundle(new)
    assert made.identity.version == "8.1"
    assert made.network is not None
    engine = make_engine(made, "onnxruntime").engine
    verify(engine, made.network.check, made.preprocessing)
    again = console.call("model", "onnx", str(old), *options)
    assert again.exit_code == 2
    assert "exists: name a new folder" in again.output.replace("\n", " ")
