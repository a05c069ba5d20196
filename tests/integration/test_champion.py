"""Imported bundles and the screener of the one in use."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from db.errors import ModelMoveRefused
from db.registry import ModelRecord, ModelRegistry
from db.states import ModelState
from dicom_node.radiograph import PixelLimits
from models.bundle import (
    CARD_FILE,
    DEFAULT_BUNDLE,
    FILES,
    WEIGHTS_FILE,
    ModelBundle,
    load_bundle,
    save_bundle,
)
from models.classifier import Classifier
from models.errors import BundleError
from tests.chosen_outcomes import LIKELY, NOW, ChosenEngine, chosen_bundle
from tests.unit.db.ledger_factories import ManualClock
from worker.errors import NothingToDo
from worker.model_updates.champion import Champions
from worker.model_updates.library import find_imported, find_model, import_bundle
from worker.screening import Screener
from worker.settings import Settings, load_settings

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

ACTOR = "anna@reading-room"
SHIPPED = load_bundle(DEFAULT_BUNDLE).identity
WIDER_HEAD = {**load_bundle(DEFAULT_BUNDLE).card["architecture"], "hidden_units": 64}


class Library:
    """A data folder with its registry, and bundles to import."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder
        self.settings: Settings = load_settings(data_folder=folder / "data")
        self.registry = ModelRegistry(engine, ManualClock())
        self.loaded: list[str] = []

    def write(self, **changes: Any) -> Path:
        """The shipped bundle with another card."""
        target = self.folder / f"bundle-{len(list(self.folder.iterdir()))}"
        shutil.copytree(DEFAULT_BUNDLE, target)
        card = json.loads((DEFAULT_BUNDLE / CARD_FILE).read_text()) | changes
        (target / CARD_FILE).write_text(json.dumps(card))
        return target

    def bring_in(self, version: str) -> ModelRecord:
        return import_bundle(self.write(version=version), self.settings, self.registry, ACTOR)

    def promote(self, record: ModelRecord) -> None:
        champion = self.registry.speaking().champion
        self.registry.promote(record.digest, ACTOR, {}, replacing=champion and champion.digest)

    def champions(self) -> Champions:
        return Champions(
            self.registry, self.settings.data_folder, DEFAULT_BUNDLE, self._make_screener
        )

    def _make_screener(self, bundle: ModelBundle) -> Screener:
        self.loaded.append(bundle.identity.version)
        made = replace(chosen_bundle(), identity=bundle.identity)
        return Screener(Classifier(made, ChosenEngine([LIKELY])), PixelLimits(), lambda: NOW)


@pytest.fixture
def library(tmp_path: Path, ledger_engine: Engine) -> Library:
    return Library(tmp_path, ledger_engine)


def test_an_imported_bundle_is_a_checked_copy_of_its_own_files(library: Library) -> None:
    source = library.write(version="2.0")
    (source / "evil.py").write_text("raise SystemExit")
    record = import_bundle(source, library.settings, library.registry, ACTOR)

    copy = library.settings.data_folder / record.path
    assert sorted(path.name for path in copy.iterdir()) == sorted(FILES)
    assert load_bundle(copy).identity.digest == record.digest
    assert record.state is ModelState.CANDIDATE
    assert list(copy.parent.iterdir()) == [copy]
    (event,) = library.registry.events()
    assert (event.actor, event.details["digest"]) == (ACTOR, record.digest)


def test_importing_twice_changes_nothing_and_mends_a_damaged_copy(library: Library) -> None:
    source = library.write(version="2.0")
    first = import_bundle(source, library.settings, library.registry, ACTOR)
    copy = library.settings.data_folder / first.path
    (copy / WEIGHTS_FILE).write_bytes(b"damaged")
    assert import_bundle(source, library.settings, library.registry, ACTOR) == first
    assert load_bundle(copy).identity.digest == first.digest


def test_a_network_that_computes_something_else_is_not_imported(library: Library) -> None:
    shipped = load_bundle(DEFAULT_BUNDLE)
    assert shipped.network is not None
    check = shipped.network.check
    other = replace(shipped.network, check=replace(check, log_odds=check.log_odds + 1))
    source = library.folder / "other"
    save_bundle(source, shipped.card, shipped.weights, shipped.scope, other)
    with pytest.raises(BundleError, match="log-odds that differ by 1 from the trained network's"):
        import_bundle(source, library.settings, library.registry, ACTOR)
    assert library.registry.models() == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"weights_sha256": "0" * 64}, "SHA-256"),
        ({"format": 99}, "format 99"),
        ({"name": "../../etc"}, "letters, digits"),
        ({"version": ""}, "letters, digits"),
        ({"version": 2}, "letters, digits"),
        ({"calibration": {"scale": 1.0, "offset": "x"}}, "not a model card"),
    ],
    ids=str,
)
def test_a_bundle_that_cannot_be_used_is_refused_and_leaves_nothing(
    library: Library, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(BundleError, match=told):
        import_bundle(library.write(**changes), library.settings, library.registry, ACTOR)
    assert library.registry.models() == []
    assert not (library.settings.data_folder / "models").exists()


@pytest.mark.parametrize(
    ("architecture", "told"),
    [({"name": "vit", "input_size": 448}, "unknown architecture"), (WIDER_HEAD, "network expects")],
    ids=["unknown", "other head"],
)
def test_a_bundle_that_tensorflow_cannot_build_and_nothing_else_can_run_is_refused(
    library: Library, architecture: dict[str, Any], told: str
) -> None:
    shipped, source = load_bundle(DEFAULT_BUNDLE), library.folder / "without-network"
    save_bundle(source, {**shipped.card, "architecture": architecture}, shipped.weights)
    with pytest.raises(BundleError, match=told):
        import_bundle(source, library.settings, library.registry, ACTOR)
    assert library.registry.models() == []


def test_another_bundle_of_the_same_name_and_version_is_refused(library: Library) -> None:
    library.bring_in("2.0")
    other = library.write(version="2.0", limits=["another"])
    with pytest.raises(ModelMoveRefused, match="a version of its own"):
        import_bundle(other, library.settings, library.registry, ACTOR)


def test_a_model_is_found_by_name_by_digest_and_as_the_one_in_use(library: Library) -> None:
    record = library.bring_in("2.0")
    settings, registry = library.settings, library.registry
    for name in (record.label, record.name, record.digest[:8], f"{record.name} 2.0"):
        assert find_model(name, settings, registry).record == record
    assert find_model("champion", settings, registry).folder == DEFAULT_BUNDLE
    library.promote(record)
    assert find_model("champion", settings, registry).load().identity.version == "2.0"
    assert find_model("settings", settings, registry).load().identity == SHIPPED


def test_a_name_that_means_two_models_or_none_is_refused(library: Library) -> None:
    first = library.bring_in("2.0")
    library.bring_in("3.0")
    with pytest.raises(NothingToDo, match="give the version"):
        find_model(first.name, library.settings, library.registry)
    with pytest.raises(NothingToDo, match="model list"):
        find_model("nothing", library.settings, library.registry)
    with pytest.raises(NothingToDo, match="model import"):
        find_imported("settings", library.settings, library.registry)


def test_the_screener_follows_promotion_and_rollback_and_is_loaded_once_each(
    library: Library,
) -> None:
    champions = library.champions()
    first = champions.screener()
    assert champions.screener() is first
    record = library.bring_in("2.0")
    assert champions.screener() is first

    library.promote(record)
    second = champions.screener()
    assert (second.model.version, second.model.digest) == ("2.0", record.digest)
    assert champions.screener() is second

    library.registry.roll_back(ACTOR, {})
    assert champions.screener().model == SHIPPED
    assert library.loaded == [SHIPPED.version, "2.0", SHIPPED.version]


@pytest.mark.parametrize("harm", ["gone", "replaced"])
def test_a_champion_that_is_not_what_was_imported_is_not_replaced_by_another_model(
    library: Library, harm: str
) -> None:
    champions = library.champions()
    champions.screener()
    record = library.bring_in("2.0")
    library.promote(record)
    folder = library.settings.data_folder / record.path
    if harm == "gone":
        folder.rename(library.folder / "away")
    else:
        card = json.loads((folder / CARD_FILE).read_text())
        card["operating_points"] = {"sensitive": 0.9, "specific": 0.9}
        (folder / CARD_FILE).write_text(json.dumps(card))
    with pytest.raises(BundleError, match=r"cannot read|was changed"):
        champions.screener()
    assert library.loaded == [SHIPPED.version]
    library.registry.roll_back(ACTOR, {})
    assert champions.screener().model == SHIPPED
