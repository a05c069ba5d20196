"""Which engine runs a bundle: the one that is asked for, else what suits this machine."""

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from models.bundle import ModelBundle
from models.engine import Engine
from models.errors import EngineError
from models.keras_environment import quieten_tensorflow
from models.prediction import FloatArray

AUTO = "auto"
ONNX_RUNTIME, OPENVINO, TENSORFLOW = "onnxruntime", "openvino", "tensorflow"

_RUNS = 5


@dataclass(frozen=True, slots=True, eq=False)
class ChosenEngine:
    """An engine, and why it was chosen."""

    engine: Engine
    name: str
    """A key of `ENGINES`."""
    reason: str


@dataclass(frozen=True, slots=True)
class EngineKind:
    """An engine that this version knows. `package` is the Python package that it needs."""

    package: str
    install: str
    """The command that installs it, for messages."""
    needs_onnx: bool
    load: Callable[[ModelBundle], Engine]

    @property
    def is_installed(self) -> bool:
        """Whether its package is there; it is not imported for that."""
        return find_spec(self.package) is not None


def _onnx_runtime(bundle: ModelBundle) -> Engine:
    from models.engines.onnx_engine import OnnxRuntimeEngine

    return OnnxRuntimeEngine(bundle)


def _openvino(bundle: ModelBundle) -> Engine:
    from models.engines.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(bundle)


def _tensorflow(bundle: ModelBundle) -> Engine:
    quieten_tensorflow()
    from models.engines.tensorflow_engine import TensorFlowEngine

    return TensorFlowEngine(bundle)


ENGINES: Mapping[str, EngineKind] = {
    ONNX_RUNTIME: EngineKind("onnxruntime", "pip install onnxruntime", True, _onnx_runtime),
    OPENVINO: EngineKind("openvino", "pip install openvino", True, _openvino),
    TENSORFLOW: EngineKind(
        "tensorflow", "pip install 'fracture-screen[training]'", False, _tensorflow
    ),
}
"""Name in the settings → engine."""


def make_engine(
    bundle: ModelBundle, wanted: str = AUTO, measurements: Path | None = None
) -> ChosenEngine:
    """Load the engine that `wanted` names, or the one that suits bundle and machine.

    Args:
        bundle: the model to run.
        wanted: "auto" or a key of `ENGINES`.
        measurements: JSON file of what `auto` measured before; None, or in a folder that is not
            there: nothing is measured.

    Raises:
        EngineError: the engine is not installed, or none can run the bundle.
        BundleError: the engine cannot load this bundle.
    """
    name, reason = _named(wanted) if wanted != AUTO else _suited(bundle, measurements)
    return ChosenEngine(ENGINES[name].load(bundle), name, reason)


def installed_for(bundle: ModelBundle) -> list[str]:
    """Names of the engines that are installed and can run the bundle."""
    return [
        name
        for name, kind in ENGINES.items()
        if kind.is_installed and (bundle.network is not None or not kind.needs_onnx)
    ]


def milliseconds(engine: Engine, bundle: ModelBundle, batch: int, runs: int = _RUNS) -> float:
    """Return the shortest wall time per radiograph in ms, of batches of `batch` noise pictures."""
    inputs = _noise(bundle, batch)
    engine.run(inputs)  # the first run allocates memory, or traces the network
    return min(_seconds(engine, inputs) for _ in range(runs)) / batch * 1000


def _named(wanted: str) -> tuple[str, str]:
    if wanted not in ENGINES:
        raise EngineError(
            f'model.engine is {wanted!r}; this version knows "auto", {", ".join(ENGINES)}'
        )
    kind = ENGINES[wanted]
    if not kind.is_installed:
        raise EngineError(
            f"model.engine is {wanted!r}, which is not installed: {kind.install}, or set it to "
            '"auto"'
        )
    return wanted, "set by model.engine"


def _suited(bundle: ModelBundle, measurements: Path | None) -> tuple[str, str]:
    has_tensorflow = ENGINES[TENSORFLOW].is_installed
    if bundle.network is None:
        if not has_tensorflow:
            raise EngineError(
                f"the bundle of {bundle.identity.label} has no network.onnx, and TensorFlow, which "
                f"runs bundles without it, is not installed: {ENGINES[TENSORFLOW].install}, or "
                "add the file with `fracture-screen model onnx` on a machine that has it"
            )
        return TENSORFLOW, "the bundle has no network.onnx"
    if has_tensorflow and _has_gpu() and not _onnx_runtime_has_cuda():
        return TENSORFLOW, "a GPU is there, and ONNX Runtime is installed without CUDA"
    fit = [name for name in (ONNX_RUNTIME, OPENVINO) if ENGINES[name].is_installed]
    if not fit:
        if not has_tensorflow:
            raise EngineError(f"no inference engine is installed: {ENGINES[ONNX_RUNTIME].install}")
        return TENSORFLOW, "no other engine is installed"
    if len(fit) == 1:
        return fit[0], "installed, and the bundle has network.onnx"
    if measurements is None or not measurements.parent.is_dir():
        # A measurement that is not kept would choose anew, and perhaps otherwise, on each run.
        return fit[0], "installed, and a measurement could not be kept without a data folder"
    return _fastest(bundle, fit, measurements)


def _fastest(bundle: ModelBundle, names: Sequence[str], measurements: Path) -> tuple[str, str]:
    """Measured once per bundle and machine, one radiograph at a time as triage comes."""
    key = _machine_key(bundle, names)
    known = _read(measurements)
    if key not in known:
        known[key] = {
            name: round(milliseconds(ENGINES[name].load(bundle), bundle, 1), 1) for name in names
        }
        _write(measurements, known)
    times = known[key]
    best = min(times, key=lambda name: times[name])
    told = ", ".join(f"{name} {times[name]:g} ms" for name in times)
    return best, f"the fastest on this machine: {told} per radiograph"


def _machine_key(bundle: ModelBundle, names: Sequence[str]) -> str:
    engines = "+".join(f"{name} {_version(ENGINES[name].package)}" for name in names)
    return f"{bundle.identity.digest[:16]} | {_processor()} × {os.cpu_count()} | {engines}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # installed under another distribution's name
        return "?"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _read(measurements: Path) -> dict[str, dict[str, float]]:
    """A file that is missing or damaged is measured anew."""
    try:
        found = json.loads(measurements.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(measurements: Path, known: Mapping[str, Mapping[str, float]]) -> None:
    """A folder that is not ours to write keeps nothing."""
    try:
        measurements.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    except OSError:
        return


def _has_gpu() -> bool:
    return any(Path("/dev").glob("nvidia[0-9]*"))


def _onnx_runtime_has_cuda() -> bool:
    if not ENGINES[ONNX_RUNTIME].is_installed:
        return False
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def _noise(bundle: ModelBundle, batch: int) -> FloatArray:
    shape = (batch, *bundle.architecture.shape, 3)
    noise: FloatArray = np.random.default_rng(0).random(shape, np.float32)
    return noise


def _seconds(engine: Engine, inputs: FloatArray) -> float:
    began = time.perf_counter()
    engine.run(inputs)
    return time.perf_counter() - began
