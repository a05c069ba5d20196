"""A model as it is shipped: a folder with `weights.npz` and `card.json`, checked by digest.

A bundle that knows its scope (`models.scope`) has `scope.npz` beside them; one that knows which
radiographs lie on their side (`models.position`) has `position.npz`; one that engines other than
TensorFlow can run has `network.onnx` and `network_check.npz` (`models.network_file`).

No pickled code and no Keras file (CVE-2025-9905, -9906): TensorFlow's network is built from
`architectures`, and an ONNX file is a graph of operators. Large kernels are stored as float16.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.architectures import HIDDEN_LAYER, Architecture
from models.calibration import Calibration
from models.errors import BundleError
from models.network_file import NetworkFile, check_from_bytes, check_to_bytes
from models.position import PositionHead, position_from_bytes, position_to_bytes
from models.prediction import ModelIdentity, OperatingPoints
from models.preprocessing import Preprocessing
from models.reference import Histogram, from_card
from models.scope import TEXTURE_MEASURES, Scope, scope_from_bytes, scope_to_bytes
from models.shipped import DEFAULT_BUNDLE as DEFAULT_BUNDLE

CARD_FILE = "card.json"
WEIGHTS_FILE = "weights.npz"
SCOPE_FILE = "scope.npz"
POSITION_FILE = "position.npz"
NETWORK_FILE = "network.onnx"
NETWORK_CHECK_FILE = "network_check.npz"
FILES = (CARD_FILE, WEIGHTS_FILE, SCOPE_FILE, POSITION_FILE, NETWORK_FILE, NETWORK_CHECK_FILE)
"""All files that a bundle can have; its card states the digest of each that it has."""
FLOAT16_FROM_ELEMENTS = 5000
FORMAT = 3
"""The newest that this version reads: of bundles with a position head, which an older version would
not heed, nor the scope of those of format 2. A card without `format` is of format 1."""

_WITH_SCOPE, _WITHOUT_SCOPE = 2, 1
_WRITTEN_HERE = frozenset({"format", *(f"{Path(name).stem}_sha256" for name in FILES[1:])})

Weights = Mapping[str, npt.NDArray[Any]]
"""`layer/variable` → array. Any: float16 or float32, as stored."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelBundle:
    """Everything that serving needs. `card` is the whole JSON, for people and reports."""

    identity: ModelIdentity
    architecture: Architecture
    preprocessing: Preprocessing
    calibration: Calibration
    operating_points: OperatingPoints
    region_operating_points: Mapping[str, OperatingPoints]
    """By upper-case Body Part Examined term; a region that is not named has the general ones."""
    body_parts: frozenset[str]
    limits: tuple[str, ...]
    reference: Mapping[str, Histogram]
    """By measure, of validation data; empty in bundles that were made before there was one."""
    card: Mapping[str, Any]
    weights: Weights
    scope: Scope | None = None
    """What it is for, by the pictures; None: a bundle from before there was one rejects nothing."""
    position: PositionHead | None = None
    """Which radiographs lie on their side; None: each is seen as it comes."""
    network: NetworkFile | None = None
    """None: only TensorFlow can run it, from the weights."""

    def with_weights(self, weights: Weights) -> "ModelBundle":
        """The same with other weights, without the ONNX network that they are not in."""
        return replace(self, weights=weights, network=None)

    def points_for(self, body_part_examined: str) -> OperatingPoints:
        """The operating points in force for a region; "" is no region."""
        return self.region_operating_points.get(body_part_examined, self.operating_points)


def load_bundle(folder: Path) -> ModelBundle:
    """Read and check a bundle.

    Raises:
        BundleError: a file is missing, the bundle is of a newer format, the card is not of this
            form or contradicts itself, or a file's SHA-256 is not the one that it states.
    """
    card_bytes, weights_bytes = _read(folder / CARD_FILE), _read(folder / WEIGHTS_FILE)
    try:
        card = json.loads(card_bytes)
        _refuse_newer_format(folder, card.get("format", 1))
        _check_digest(folder / WEIGHTS_FILE, card["weights_sha256"], weights_bytes)
        architecture = Architecture(**card["architecture"])
        preprocessing = Preprocessing(**card["preprocessing"])
        _check_input_sizes(architecture, preprocessing)
        weights = _unpack(weights_bytes)
        return ModelBundle(
            identity=ModelIdentity(card["name"], card["version"], digest_of(card)),
            architecture=architecture,
            preprocessing=preprocessing,
            calibration=Calibration(**card["calibration"]),
            operating_points=OperatingPoints(**card["operating_points"]),
            region_operating_points={
                region: OperatingPoints(**points)
                for region, points in card.get("region_operating_points", {}).items()
            },
            body_parts=frozenset(card["scope"]["body_parts"]),
            limits=tuple(card["limits"]),
            reference=from_card(card),
            card=card,
            weights=weights,
            scope=_read_scope(folder, card.get("scope_sha256"), weights),
            position=_read_position(folder, card.get("position_sha256"), weights),
            network=_read_network(folder, card),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{folder / CARD_FILE} is not a model card that this version reads ({error!r}); "
            "write it with `fracture-screen train`"
        ) from error


def save_bundle(
    folder: Path,
    card: Mapping[str, Any],
    weights: Weights,
    scope: Scope | None = None,
    network: NetworkFile | None = None,
    position: PositionHead | None = None,
) -> None:
    """Write `weights.npz` (large kernels as float16), what else there is, and last `card.json`.

    The card gets the format and the digests of all, whatever it says of them itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights_bytes = _pack(weights)
    complete = {
        "format": _format(scope, position),
        **{key: value for key, value in card.items() if key not in _WRITTEN_HERE},
    }
    files = {WEIGHTS_FILE: weights_bytes}
    if scope is not None:
        files[SCOPE_FILE] = scope_to_bytes(scope)
    if position is not None:
        files[POSITION_FILE] = position_to_bytes(position)
    if network is not None:
        files |= {NETWORK_FILE: network.onnx, NETWORK_CHECK_FILE: check_to_bytes(network.check)}
    for name, content in files.items():
        complete[f"{Path(name).stem}_sha256"] = hashlib.sha256(content).hexdigest()
        (folder / name).write_bytes(content)
    (folder / CARD_FILE).write_text(json.dumps(complete, indent=2, ensure_ascii=False) + "\n")


def rounded_for_storage(weights: Weights) -> Weights:
    """The weights as float32 after a trip through a bundle: figures are measured on these."""
    return {name: array.astype(np.float32) for name, array in _stored(weights).items()}


def digest_of(card: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of the canonical JSON; it states those of weights and scope, too."""
    return hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"cannot read {path} ({error.strerror}); a bundle is a folder with {CARD_FILE}, "
            f"{WEIGHTS_FILE} and what the card names: check the setting model.bundle"
        ) from error


def _refuse_newer_format(folder: Path, stated: int) -> None:
    if stated > FORMAT:
        raise BundleError(
            f"{folder} is a bundle of format {stated}, this version of fracture-screen reads up to "
            f"format {FORMAT}: install the version that it was made with, or a newer one"
        )


def _read_scope(folder: Path, stated: str | None, weights: Weights) -> Scope | None:
    if stated is None:
        return None
    stored = _read(folder / SCOPE_FILE)
    _check_digest(folder / SCOPE_FILE, stated, stored)
    scope = scope_from_bytes(stored)
    expected = (weights[f"{HIDDEN_LAYER}/kernel"].shape[0], TEXTURE_MEASURES)
    found = (len(scope.features.mean), len(scope.texture.mean))
    if scope.other_parts is not None and len(scope.other_parts.kernel) != expected[0]:
        raise ValueError(f"{SCOPE_FILE} tells other parts by features of another network")
    if found != expected:
        raise ValueError(f"{SCOPE_FILE} is of {found} features and measures, not of {expected}")
    return scope


def _read_position(folder: Path, stated: str | None, weights: Weights) -> PositionHead | None:
    if stated is None:
        return None
    stored = _read(folder / POSITION_FILE)
    _check_digest(folder / POSITION_FILE, stated, stored)
    head = position_from_bytes(stored)
    expected = weights[f"{HIDDEN_LAYER}/kernel"].shape[0]
    if len(head.kernel) != expected:
        raise ValueError(f"{POSITION_FILE} is of {len(head.kernel)} features, not of {expected}")
    return head


def _format(scope: Scope | None, position: PositionHead | None) -> int:
    if position is not None or (scope is not None and scope.other_parts is not None):
        return FORMAT
    return _WITHOUT_SCOPE if scope is None else _WITH_SCOPE


def _read_network(folder: Path, card: Mapping[str, Any]) -> NetworkFile | None:
    if "network_sha256" not in card:
        return None
    stored = {}
    for name in (NETWORK_FILE, NETWORK_CHECK_FILE):
        stored[name] = _read(folder / name)
        _check_digest(folder / name, card[f"{Path(name).stem}_sha256"], stored[name])
    return NetworkFile(stored[NETWORK_FILE], check_from_bytes(stored[NETWORK_CHECK_FILE]))


def _check_digest(path: Path, stated: str, content: bytes) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != stated:
        raise BundleError(
            f"{path} has SHA-256 {found}, but its card states {stated}: the file "
            "was changed or damaged; install the bundle again"
        )


def _check_input_sizes(architecture: Architecture, preprocessing: Preprocessing) -> None:
    if architecture.shape != preprocessing.shape:
        raise ValueError(
            f"the architecture's input is {architecture.shape}, but the preprocessing's is "
            f"{preprocessing.shape}"
        )


def _pack(weights: Weights) -> bytes:
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, **_stored(weights))
    return buffer.getvalue()


def _stored(weights: Weights) -> Weights:
    return {
        name: array.astype(np.float16) if array.size > FLOAT16_FROM_ELEMENTS else array
        for name, array in weights.items()
    }


def _unpack(weights_bytes: bytes) -> Weights:
    with np.load(BytesIO(weights_bytes), allow_pickle=False) as stored:
        return {name: stored[name].astype(np.float32) for name in stored.files}
