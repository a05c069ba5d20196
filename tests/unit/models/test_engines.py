"""Engines give what the trained network gave; the choice among them is explained."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.bundle import DEFAULT_BUNDLE, ModelBundle, load_bundle
from models.engine import Engine
from models.engines import choice
from models.engines.choice import ENGINES, EngineKind, installed_for, make_engine
from models.errors import BundleError, EngineError
from models.network_file import NetworkCheck, NetworkFile, draw_pictures, verify
from tests.paths import REPOSITORY
from tests.unit.models.bundles import FakeEngine, identity_head, make_bundle

SHIPPED = load_bundle(DEFAULT_BUNDLE)


def shipped_check() -> NetworkCheck:
    assert SHIPPED.network is not None
    return SHIPPED.network.check


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_gives_what_the_shipped_network_gave_when_it_was_trained(name: str) -> None:
    chosen = make_engine(SHIPPED, name)
    verify(chosen.engine, shipped_check(), SHIPPED.preprocessing)
    assert chosen.name == name
    assert chosen.reason == "set by model.engine"
    assert "the CPU" in chosen.engine.label or "GPU" in chosen.engine.label


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_batch_gives_what_its_pictures_give_one_by_one(name: str) -> None:
    engine = make_engine(SHIPPED, name).engine
    inputs = shipped_check().inputs(SHIPPED.preprocessing)
    features, log_odds = engine.run(inputs)
    for row in range(len(inputs)):
        of_one, odds_of_one = engine.run(inputs[row : row + 1])
        assert of_one[0] == pytest.approx(features[row], abs=1e-4)
        assert odds_of_one == pytest.approx(log_odds[row : row + 1], abs=1e-5)


def test_an_engine_that_computes_something_else_is_refused_with_the_difference() -> None:
    check = shipped_check()
    right = FakeEngine(lambda batch: check.features, lambda batch: check.log_odds)
    verify(right, check, SHIPPED.preprocessing)
    for features, log_odds, told in (
        (check.features, check.log_odds + 2e-4, "log-odds that differ by 0.0002"),
        (check.features + 2e-3, check.log_odds, "features that differ by 0.002"),
        (check.features * np.nan, check.log_odds, "features that differ by nan"),
        (check.features[:, :3], check.log_odds, "features of shape"),
    ):
        wrong = FakeEngine(lambda _, it=features: it, lambda _, it=log_odds: it)  # type: ignore[misc]
        with pytest.raises(BundleError, match=told):
            verify(wrong, check, SHIPPED.preprocessing)


def test_drawn_pictures_are_always_the_same_and_use_all_greys() -> None:
    first, second = draw_pictures((64, 48)), draw_pictures((64, 48))
    assert np.array_equal(first, second)
    assert first.shape == (2, 64, 48)
    assert (first.min(), first.max()) == (0, 255)


def test_a_bundle_without_onnx_runs_on_tensorflow_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_engines(monkeypatch, onnxruntime=True, tensorflow=True)
    chosen = make_engine(without_network())
    assert (chosen.name, chosen.reason) == ("tensorflow", "the bundle has no network.onnx")
    assert installed_for(without_network()) == ["tensorflow"]


def test_a_bundle_without_onnx_is_refused_where_tensorflow_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_engines(monkeypatch, onnxruntime=True, tensorflow=False)
    with pytest.raises(EngineError, match=r"no network\.onnx.*install-tensorflow.*model onnx"):
        make_engine(without_network())


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_an_engine_that_is_set_needs_the_onnx_file(name: str) -> None:
    with pytest.raises(BundleError, match=r'no network\.onnx: set model\.engine to "tensorflow"'):
        make_engine(without_network(), name)


def test_an_engine_that_is_set_and_not_installed_is_refused_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_engines(monkeypatch, onnxruntime=False, tensorflow=True)
    with pytest.raises(EngineError, match="not installed: install-onnxruntime, or set it to"):
        make_engine(with_network(), "onnxruntime")
    with pytest.raises(EngineError, match="'turbo'; this version knows \"auto\", openvino"):
        make_engine(with_network(), "turbo")


def test_where_nothing_is_installed_the_message_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_engines(monkeypatch, onnxruntime=False, tensorflow=False)
    with pytest.raises(EngineError, match="no inference engine is installed: install-onnxruntime"):
        make_engine(with_network())


def test_one_light_engine_is_taken_without_measuring(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_engines(monkeypatch, onnxruntime=True, tensorflow=True)
    chosen = make_engine(with_network(), measurements=tmp_path / "engines.json")
    assert chosen.name == "onnxruntime"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("cuda", "taken"), [(True, "onnxruntime"), (False, "tensorflow")])
def test_on_a_gpu_machine_tensorflow_serves_unless_onnx_runtime_has_cuda(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, taken: str
) -> None:
    fake_engines(monkeypatch, onnxruntime=True, tensorflow=True)
    monkeypatch.setattr(choice, "_has_gpu", lambda: True)
    monkeypatch.setattr(choice, "_onnx_runtime_has_cuda", lambda: cuda)
    assert make_engine(with_network()).name == taken


def test_the_fastest_of_several_is_measured_once_per_bundle_and_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_engines(monkeypatch, onnxruntime=True, openvino=True, tensorflow=True)
    times = {"onnxruntime": 31.0, "openvino": 12.5}
    measured = []

    def milliseconds(engine: Engine, bundle: ModelBundle, batch: int) -> float:
        measured.append(engine.label)
        return times[engine.label]

    monkeypatch.setattr(choice, "milliseconds", milliseconds)
    file = tmp_path / "engines.json"
    for _ in range(2):
        chosen = make_engine(with_network(), measurements=file)
        assert chosen.name == "openvino"
        assert "onnxruntime 31 ms, openvino 12.5 ms" in chosen.reason
    assert measured == ["onnxruntime", "openvino"]

    other = replace(with_network(), identity=replace(with_network().identity, digest="ab" * 32))
    make_engine(other, measurements=file)
    assert len(measured) == 4
    assert len(json.loads(file.read_text())) == 2

    file.write_text("{damaged")
    assert make_engine(with_network(), measurements=file).name == "openvino"
    assert len(measured) == 6


def test_nothing_is_measured_where_nothing_can_be_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_engines(monkeypatch, onnxruntime=True, openvino=True, tensorflow=True)
    monkeypatch.setattr(choice, "milliseconds", lambda *_: pytest.fail("measured"))
    for measurements in (None, tmp_path / "missing" / "engines.json"):
        chosen = make_engine(with_network(), measurements=measurements)
        assert chosen.name == "onnxruntime"
        assert "could not be kept" in chosen.reason


def test_milliseconds_are_of_one_radiograph_and_leave_out_the_first_run() -> None:
    seen: list[int] = []
    engine = FakeEngine(lambda batch: seen.append(len(batch)) or np.zeros((len(batch), 1, 1, 1)))  # type: ignore[func-returns-value]
    found = choice.milliseconds(engine, without_network(), batch=4, runs=3)
    assert seen == [4, 4, 4, 4]
    assert 0 < found < 1000


def test_the_shipped_bundle_is_served_without_importing_tensorflow_or_keras() -> None:
    code = (
        "import sys; from models.bundle import DEFAULT_BUNDLE, load_bundle\n"
        "from models.engines.choice import make_engine\n"
        "print(make_engine(load_bundle(DEFAULT_BUNDLE)).name)\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    name, modules = finished.stdout.splitlines()
    assert name in {"onnxruntime", "openvino"}
    assert {"tensorflow", "keras", "tf2onnx"}.isdisjoint(modules.split())


def without_network() -> ModelBundle:
    return make_bundle(weights=identity_head(4))


def with_network() -> ModelBundle:
    return replace(without_network(), network=NetworkFile(b"", shipped_check()))


def fake_engines(monkeypatch: pytest.MonkeyPatch, **installed: bool) -> None:
    """Engines of these names that are installed or not, on a machine without a GPU."""
    kinds = {
        name: FakeKind(name, f"install-{name}", name != "tensorflow", loader(name), there)
        for name, there in {"openvino": False, **installed}.items()
    }
    monkeypatch.setattr(choice, "ENGINES", kinds)
    monkeypatch.setattr(choice, "_has_gpu", lambda: False)


def loader(name: str) -> Callable[[ModelBundle], Engine]:
    return lambda _: FakeEngine(lambda batch: np.zeros((len(batch), 1, 1, 1)), label=name)


class FakeKind(EngineKind):
    """An engine's entry of which a test says whether it is installed."""

    __slots__ = ("_there",)

    def __init__(
        self,
        package: str,
        install: str,
        needs_onnx: bool,
        load: Callable[[ModelBundle], Engine],
        there: bool,
    ) -> None:
        super().__init__(package, install, needs_onnx, load)
        object.__setattr__(self, "_there", there)

    @property
    def is_installed(self) -> bool:
        return bool(self._there)
