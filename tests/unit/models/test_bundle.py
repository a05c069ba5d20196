"""Bundles on disk: nothing is lost on the way, and nothing altered is taken."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle import (
    CARD_FILE,
    FLOAT16_FROM_ELEMENTS,
    FORMAT,
    NETWORK_CHECK_FILE,
    NETWORK_FILE,
    SCOPE_FILE,
    WEIGHTS_FILE,
    digest_of,
    load_bundle,
    rounded_for_storage,
    save_bundle,
)
from models.calibration import Calibration
from models.errors import BundleError
from models.network_file import NetworkCheck, NetworkFile, draw_pictures
from models.prediction import OperatingPoints
from models.preprocessing import Preprocessing
from tests.unit.models.bundles import make_card, make_scope, make_weights


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    save_bundle(folder, make_card(), make_weights())
    return folder


def test_a_saved_bundle_is_loaded_with_everything_that_its_card_states(folder: Path) -> None:
    bundle = load_bundle(folder)
    assert (bundle.identity.name, bundle.identity.version) == ("test-net", "1.2.3")
    assert bundle.architecture.name == "mobilenet_v2"
    assert (bundle.architecture.input_size, bundle.architecture.hidden_units) == (64, 16)
    assert bundle.preprocessing == Preprocessing(64, 1.0, 99.0)
    assert bundle.calibration == Calibration(0.8, -0.3)
    assert bundle.operating_points == OperatingPoints(0.1, 0.6)
    assert bundle.body_parts == {"HAND", "WRIST"}
    assert bundle.limits == ("A negative does not exclude a fracture.", "7 × 7 cells")
    assert {key: bundle.card[key] for key in make_card()} == make_card()


def test_weights_come_back_as_float32_and_only_large_kernels_are_rounded(folder: Path) -> None:
    saved, loaded = make_weights(), load_bundle(folder).weights
    assert loaded.keys() == saved.keys()
    for name, array in saved.items():
        assert loaded[name].dtype == np.float32
        assert loaded[name].shape == array.shape
        large = array.size > FLOAT16_FROM_ELEMENTS
        assert np.array_equal(loaded[name], array) is not large, name
        assert np.allclose(loaded[name], array, rtol=1e-3)


def test_rounding_for_storage_gives_what_a_trip_through_a_bundle_gives(folder: Path) -> None:
    rounded, loaded = rounded_for_storage(make_weights()), load_bundle(folder).weights
    for name, array in loaded.items():
        assert np.array_equal(rounded[name], array), name
        assert rounded[name].dtype == np.float32


def test_rounded_weights_are_saved_without_a_further_loss(tmp_path: Path) -> None:
    rounded = rounded_for_storage(make_weights())
    save_bundle(tmp_path, make_card(), rounded)
    for name, array in load_bundle(tmp_path).weights.items():
        assert np.array_equal(rounded[name], array), name


def test_equal_content_has_equal_digests_wherever_and_however_it_is_written(
    folder: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    save_bundle(elsewhere, dict(reversed(make_card().items())), make_weights())
    card = json.loads((elsewhere / CARD_FILE).read_text())
    (elsewhere / CARD_FILE).write_text(json.dumps(card))
    assert load_bundle(elsewhere).identity == load_bundle(folder).identity


def test_the_digest_is_that_of_the_whole_card(folder: Path) -> None:
    bundle = load_bundle(folder)
    assert bundle.identity.digest == digest_of(bundle.card)
    assert len(bundle.identity.digest) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"operating_points": {"sensitive": 0.1, "specific": 0.61}},
        {"calibration": {"scale": 0.8, "offset": -0.31}},
        {"version": "1.2.4"},
        {"limits": []},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_digest_changes_with_what_the_card_states(folder: Path, change: dict[str, Any]) -> None:
    before = load_bundle(folder).identity.digest
    _change_card(folder, **change)
    assert load_bundle(folder).identity.digest != before


def test_the_digest_changes_with_the_weights(folder: Path, tmp_path: Path) -> None:
    save_bundle(tmp_path / "other", make_card(), make_weights(seed=2))
    other = load_bundle(tmp_path / "other").identity.digest
    assert other != load_bundle(folder).identity.digest


@pytest.mark.parametrize("place", [0, 200, 5000, -1])
def test_a_flipped_byte_in_the_weights_is_refused(folder: Path, place: int) -> None:
    weights = bytearray((folder / WEIGHTS_FILE).read_bytes())
    weights[place] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(weights)
    with pytest.raises(BundleError, match="SHA-256") as refusal:
        load_bundle(folder)
    assert str(folder / WEIGHTS_FILE) in str(refusal.value)
    assert "install the bundle again" in str(refusal.value)


def test_weights_that_end_early_are_refused(folder: Path) -> None:
    weights = (folder / WEIGHTS_FILE).read_bytes()
    (folder / WEIGHTS_FILE).write_bytes(weights[:-100])
    with pytest.raises(BundleError, match="SHA-256"):
        load_bundle(folder)


@pytest.mark.parametrize("name", [CARD_FILE, WEIGHTS_FILE])
def test_a_missing_file_is_named_with_what_a_bundle_is_and_where_it_is_set(
    folder: Path, name: str
) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=r"setting model\.bundle") as refusal:
        load_bundle(folder)
    assert str(folder / name) in str(refusal.value)


def test_a_missing_folder_is_a_missing_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"setting model\.bundle"):
        load_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize("section", ["architecture", "preprocessing", "calibration"])
def test_an_unknown_key_is_refused_because_it_may_mean_other_numbers(
    folder: Path, section: str
) -> None:
    _change_card(folder, **{section: make_card()[section] | {"gamma_correction": 2.2}})
    with pytest.raises(BundleError, match="gamma_correction") as refusal:
        load_bundle(folder)
    assert str(folder / CARD_FILE) in str(refusal.value)
    assert "fracture-screen train" in str(refusal.value)


@pytest.mark.parametrize(
    "key",
    [
        "name", "version", "architecture", "preprocessing", "calibration", "operating_points",
        "scope", "limits", "weights_sha256",
    ],
)  # fmt: skip
def test_a_missing_key_is_named(folder: Path, key: str) -> None:
    card = json.loads((folder / CARD_FILE).read_text())
    del card[key]
    (folder / CARD_FILE).write_text(json.dumps(card))
    with pytest.raises(BundleError, match=key):
        load_bundle(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"operating_points": {"sensitive": 0.7, "specific": 0.6}},
        {"operating_points": {"sensitive": "0.1", "specific": 0.6}},
        {"calibration": {"scale": -1.0, "offset": 0.0}},
        {"calibration": {"scale": 1.0, "offset": float("nan")}},
        {"scope": None},
        {"scope": ["HAND"]},
    ],
    ids=str,
)
def test_a_card_with_senseless_values_is_refused(folder: Path, change: dict[str, Any]) -> None:
    _change_card(folder, **change)
    with pytest.raises(BundleError, match="not a model card that this version reads"):
        load_bundle(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"name": 1}', b"\xff\xfe\x00"])
def test_a_card_that_is_not_a_json_object_of_this_form_is_refused(
    folder: Path, content: bytes
) -> None:
    (folder / CARD_FILE).write_bytes(content)
    with pytest.raises(BundleError, match="not a model card that this version reads"):
        load_bundle(folder)


def test_a_network_and_a_preprocessing_of_different_sizes_are_refused(folder: Path) -> None:
    _change_card(folder, preprocessing=make_card()["preprocessing"] | {"input_size": 96})
    with pytest.raises(BundleError, match=r"\(64, 64\).*\(96, 96\)"):
        load_bundle(folder)


def test_a_bundle_states_its_format_and_one_without_it_is_of_the_first(folder: Path) -> None:
    card = json.loads((folder / CARD_FILE).read_text())
    assert card.pop("format") == 1
    (folder / CARD_FILE).write_text(json.dumps(card))
    assert load_bundle(folder).identity.name == "test-net"


def test_a_bundle_of_a_newer_format_is_refused_even_where_it_could_be_read(folder: Path) -> None:
    _change_card(folder, format=FORMAT + 1)
    with pytest.raises(BundleError, match=f"format {FORMAT + 1}.*up to format {FORMAT}") as refusal:
        load_bundle(folder)
    assert "install the version that it was made with" in str(refusal.value)
    assert str(folder) in str(refusal.value)


@pytest.fixture
def with_scope(tmp_path: Path) -> Path:
    folder = tmp_path / "with scope"
    save_bundle(folder, make_card(), make_weights(), make_scope(channels=32))
    return folder


def test_a_scope_comes_back_number_for_number_and_counts_in_the_digest(
    folder: Path, with_scope: Path
) -> None:
    made, loaded = make_scope(channels=32), load_bundle(with_scope)
    assert loaded.scope is not None
    for name in ("mean", "deviation", "axes", "variances"):
        for back, spread in (
            (loaded.scope.features, made.features),
            (loaded.scope.texture, made.texture),
        ):
            assert np.array_equal(getattr(back, name), getattr(spread, name)), name
            assert back.threshold == pytest.approx(spread.threshold)
    assert loaded.card["format"] == 2
    assert loaded.identity.digest != load_bundle(folder).identity.digest


def test_a_bundle_from_before_there_were_scopes_has_none(folder: Path) -> None:
    assert load_bundle(folder).scope is None
    assert not (folder / SCOPE_FILE).exists()


@pytest.mark.parametrize("place", [0, 200, -1])
def test_a_flipped_byte_in_the_scope_is_refused(with_scope: Path, place: int) -> None:
    stored = bytearray((with_scope / SCOPE_FILE).read_bytes())
    stored[place] ^= 1
    (with_scope / SCOPE_FILE).write_bytes(stored)
    with pytest.raises(BundleError, match="SHA-256") as refusal:
        load_bundle(with_scope)
    assert str(with_scope / SCOPE_FILE) in str(refusal.value)


def test_a_scope_that_the_card_states_must_be_there(with_scope: Path) -> None:
    (with_scope / SCOPE_FILE).unlink()
    with pytest.raises(BundleError, match=SCOPE_FILE):
        load_bundle(with_scope)


def test_a_scope_of_another_network_is_refused(tmp_path: Path) -> None:
    save_bundle(tmp_path, make_card(), make_weights(), make_scope(channels=31))
    with pytest.raises(BundleError, match=r"of \(31, 9\) features and measures, not of \(32, 9\)"):
        load_bundle(tmp_path)


def test_a_bundle_saved_again_without_its_scope_says_nothing_of_one(
    with_scope: Path, tmp_path: Path
) -> None:
    save_bundle(tmp_path / "again", load_bundle(with_scope).card, make_weights())
    again = load_bundle(tmp_path / "again")
    assert again.scope is None
    assert again.card["format"] == 1


@pytest.fixture
def with_network(tmp_path: Path) -> Path:
    folder = tmp_path / "with network"
    save_bundle(folder, make_card(), make_weights(), network=make_network())
    return folder


def make_network() -> NetworkFile:
    pictures = draw_pictures((8, 6))
    features = np.random.default_rng(3).random((2, 2, 2, 4), np.float32)
    return NetworkFile(b"an ONNX graph", NetworkCheck(pictures, features, features[:, 0, 0, 0]))


def test_a_network_comes_back_with_its_check_and_counts_in_the_digest(
    folder: Path, with_network: Path
) -> None:
    made, loaded = make_network(), load_bundle(with_network)
    assert loaded.network is not None
    assert loaded.network.onnx == made.onnx
    for name in ("pictures", "features", "log_odds"):
        assert np.array_equal(getattr(loaded.network.check, name), getattr(made.check, name))
    assert loaded.identity.digest != load_bundle(folder).identity.digest


@pytest.mark.parametrize("name", [NETWORK_FILE, NETWORK_CHECK_FILE])
@pytest.mark.parametrize("change", ["flipped", "missing"])
def test_a_changed_or_missing_network_is_refused_with_its_name(
    with_network: Path, name: str, change: str
) -> None:
    path = with_network / name
    stored = bytearray(path.read_bytes())
    stored[-1] ^= 1
    if change == "flipped":
        path.write_bytes(stored)
    else:
        path.unlink()
    with pytest.raises(BundleError, match=name):
        load_bundle(with_network)


def test_other_weights_leave_the_network_behind(with_network: Path) -> None:
    loaded = load_bundle(with_network)
    other = {name: array + 1 for name, array in loaded.weights.items()}
    changed = loaded.with_weights(other)
    assert changed.network is None
    assert changed.weights is other
    assert changed.identity == loaded.identity


def test_a_region_without_operating_points_of_its_own_has_the_general_ones(folder: Path) -> None:
    _change_card(folder, region_operating_points={"WRIST": {"sensitive": 0.2, "specific": 0.5}})
    bundle = load_bundle(folder)
    assert bundle.points_for("WRIST") == OperatingPoints(0.2, 0.5)
    assert bundle.points_for("HAND") == bundle.points_for("") == OperatingPoints(0.1, 0.6)


@pytest.mark.parametrize(
    "change",
    [
        {"region_operating_points": {"WRIST": {"sensitive": 0.7, "specific": 0.6}}},
        {"region_operating_points": {"WRIST": 0.5}},
        {"region_operating_points": ["WRIST"]},
        {"format": "new"},
    ],
    ids=str,
)
def test_senseless_regions_and_formats_are_refused(folder: Path, change: dict[str, Any]) -> None:
    _change_card(folder, **change)
    with pytest.raises(BundleError, match="not a model card that this version reads"):
        load_bundle(folder)


def test_pickled_objects_in_the_weights_are_refused(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "executed",))

    import hashlib

    folder = tmp_path / "bundle"
    save_bundle(folder, make_card(), make_weights())
    np.savez(folder / WEIGHTS_FILE, allow_pickle=True, evil=np.array([Payload()], object))
    digest = hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()
    _change_card(folder, weights_sha256=digest)
    with pytest.raises(BundleError, match="allow_pickle"):
        load_bundle(folder)
    assert not (tmp_path / "executed").exists()


def _change_card(folder: Path, **changes: Any) -> None:
    card = json.loads((folder / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(json.dumps(card | changes))
