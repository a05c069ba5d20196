"""Bundles in the data folder: brought in once, checked, never changed; and found by name."""

import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from db.registry import ModelRecord, ModelRegistry, NewModel
from dicom_node.spool import sync_folder, write_file_durably
from models.bundle import CARD_FILE, FILES, ModelBundle, load_bundle
from models.classifier import Classifier
from models.engines.choice import make_engine
from models.errors import BundleError
from models.network_file import verify
from worker.errors import NothingToDo
from worker.settings import Settings

FOLDER = "models"
CHAMPION, OF_SETTINGS = "champion", "settings"
"""Names that every command takes: the model in use, and the bundle of the settings."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_SHORTEST_DIGEST = 8


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A bundle's folder under the name that people use; `record` is None if it is not imported."""

    label: str
    folder: Path
    record: ModelRecord | None

    def load(self) -> ModelBundle:
        """The bundle, checked. BundleError: it is not what was imported, or cannot be read."""
        bundle = load_bundle(self.folder)
        if self.record is not None:
            require_digest(bundle, self.record)
        return bundle


def import_bundle(
    source: Path, settings: Settings, registry: ModelRegistry, actor: str
) -> ModelRecord:
    """Check a bundle, copy it into the data folder and enter it as CANDIDATE.

    Raises:
        BundleError: it cannot be used here, whether damaged, of a newer format, of an unknown
            network, or without finite numbers.
        ModelMoveRefused: its name and version stand for another bundle.
    """
    bundle = load_bundle(source)
    _check_names(bundle)
    _check_runs(settings, bundle)
    identity = bundle.identity
    folder = f"{FOLDER}/{identity.name}-{identity.version}-{identity.digest[:12]}"
    _copy(source, settings.data_folder / folder, identity.digest)
    new = NewModel(identity.name, identity.version, identity.digest, folder)
    return registry.add(new, actor, {"source": str(source.resolve())})


def require_digest(bundle: ModelBundle, record: ModelRecord) -> None:
    """BundleError unless the bundle on disk is the one that was entered."""
    if bundle.identity.digest != record.digest:
        raise BundleError(
            f"the bundle of {record.label} in the data folder has digest "
            f"{bundle.identity.digest[:16]}…, but {record.digest[:16]}… was imported: it was "
            "changed; restore the folder, or roll back"
        )


def find_model(name: str, settings: Settings, registry: ModelRegistry | None) -> FoundModel:
    """A model by name ("champion", "settings", name-version, name, the digest's beginning), or a
    bundle's folder.

    Raises:
        NothingToDo: there is none, or more than one.
    """
    records = [] if registry is None else registry.models()
    if name == CHAMPION:
        return champion_of(settings, registry)
    if name == OF_SETTINGS:
        return FoundModel(OF_SETTINGS, settings.model.bundle, None)
    found = _matching(name, records)
    if len(found) == 1:
        return FoundModel(found[0].label, settings.data_folder / found[0].path, found[0])
    if found:
        labels = ", ".join(f"{one.label} ({one.digest[:12]})" for one in found)
        raise NothingToDo(f"{name} may mean {labels}: give the version, or the digest's beginning")
    if (Path(name) / CARD_FILE).is_file():
        return FoundModel(str(name), Path(name), None)
    raise NothingToDo(f"there is no model {name}: see `fracture-screen model list`")


def champion_of(settings: Settings, registry: ModelRegistry | None) -> FoundModel:
    """The model in use."""
    record = None if registry is None else registry.speaking().champion
    if record is None:
        return FoundModel(OF_SETTINGS, settings.model.bundle, None)
    return FoundModel(record.label, settings.data_folder / record.path, record)


def find_imported(name: str, settings: Settings, registry: ModelRegistry) -> ModelRecord:
    """As `find_model`, of imported models alone."""
    record = find_model(name, settings, registry).record
    if record is None:
        raise NothingToDo(f"{name} is not imported: `fracture-screen model import` comes first")
    return record


def _matching(name: str, records: Sequence[ModelRecord]) -> list[ModelRecord]:
    """By label, else by name, else by the digest's beginning."""
    for matches in (
        [one for one in records if name in (one.label, f"{one.name} {one.version}")],
        [one for one in records if name == one.name],
    ):
        if matches:
            return matches
    if len(name) < _SHORTEST_DIGEST:
        return []
    return [one for one in records if one.digest.startswith(name.lower())]


def _check_names(bundle: ModelBundle) -> None:
    for what, value in (("name", bundle.identity.name), ("version", bundle.identity.version)):
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise BundleError(
                f"the bundle's {what} is {value!r}: give it 1 to 64 letters, digits, '.', '_', "
                "'+' or '-'"
            )


def _check_runs(settings: Settings, bundle: ModelBundle) -> None:
    """The engine gives what the trained network gave, and something usable of noise."""
    engine = make_engine(bundle, settings.model.engine).engine
    if bundle.network is not None:
        verify(engine, bundle.network.check, bundle.preprocessing)
    noise = np.random.default_rng(0).random((96, 64), np.float32)
    try:
        ((prediction, saliency, _),) = Classifier(bundle, engine).classify([noise])
    except (KeyError, ValueError) as error:
        raise BundleError(
            f"the bundle gives no usable result on a test picture: {error}"
        ) from error
    if not np.isfinite([prediction.probability, *saliency.values.ravel()]).all():
        raise BundleError("the bundle gives numbers that are not finite on a test picture")


def _copy(source: Path, target: Path, digest: str) -> None:
    """Complete or not at all, also through a power cut."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if target.is_dir() and _holds(target, digest):
        return
    with tempfile.TemporaryDirectory(prefix=".import-", dir=target.parent) as folder:
        copy = Path(folder) / "bundle"
        copy.mkdir()
        for name in FILES:
            if not (source / name).is_file():
                continue  # the card tells whether it should be there: `_holds` looks
            write_file_durably(copy / name, (source / name).read_bytes())
        if not _holds(copy, digest):
            raise BundleError(f"{source} changed while it was copied: import it again")
        shutil.rmtree(target, ignore_errors=True)  # a damaged copy of the same bundle
        copy.rename(target)
        sync_folder(target.parent)


def _holds(folder: Path, digest: str) -> bool:
    try:
        return load_bundle(folder).identity.digest == digest
    except BundleError:
        return False
