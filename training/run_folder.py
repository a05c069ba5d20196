"""The files of a run: `recipe.toml`, `split.json`, `pretrained.json`, `epochs.jsonl`,
`checkpoint.npz`, `best.npz`, `bundle/`. Each file appears whole or not at all.

A checkpoint is one file with all variables of the network and the optimizer and the finished
epochs, so that these cannot part. Generators need no state: `batches` and `loop` derive what is
random from seed and epoch.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from dicom_node.spool import sync_folder
from models.architectures import KerasModel
from models.bundle import Weights
from training.errors import RunError
from training.history import Epoch, History

RECIPE_FILE = "recipe.toml"
"""A folder with it holds a run."""
SPLIT_FILE = "split.json"
PRETRAINED_FILE = "pretrained.json"
EPOCHS_FILE = "epochs.jsonl"
CHECKPOINT_FILE = "checkpoint.npz"
BEST_FILE = "best.npz"
BUNDLE_FOLDER = "bundle"

KerasVariable = Any
"""keras.Variable; keras ships no types."""


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes `path`'s place when it is complete and on disk."""
    unfinished = path.with_name(f"unfinished-{path.name}")
    with unfinished.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    sync_folder(path.parent)


def save_checkpoint(out: Path, model: KerasModel, history: History) -> None:
    """Write what `load_checkpoint` needs, in place of the checkpoint before."""
    arrays = {
        f"{number:05d}": np.asarray(variable) for number, variable in enumerate(_variables(model))
    }
    finished = json.dumps([asdict(epoch) for epoch in history]).encode()
    with replacing(out / CHECKPOINT_FILE) as file:
        np.savez(file, allow_pickle=False, history=np.frombuffer(finished, np.uint8), **arrays)


def load_checkpoint(out: Path, model: KerasModel) -> list[Epoch]:
    """Fill network and optimizer from the last checkpoint; the epochs that were finished by then.

    Args:
        model: compiled, with its optimizer built.

    Raises:
        RunError: the file is damaged or of another network.
    """
    path = out / CHECKPOINT_FILE
    if not path.is_file():
        return []
    try:
        with np.load(path, allow_pickle=False) as stored:
            history = [Epoch(**epoch) for epoch in json.loads(stored["history"].tobytes())]
            arrays = [stored[name] for name in sorted(stored.files) if name != "history"]
        _assign(_variables(model), arrays)
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise RunError(
            f"{path} cannot be read as a checkpoint of this run ({error}); delete it to begin the "
            "run again, or name another folder with --out"
        ) from error
    return history


def save_weights(path: Path, weights: Weights) -> None:
    """Arrays by `layer/variable`, float32."""
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, **weights)


def load_weights(path: Path) -> Weights:
    """What `save_weights` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def write_epochs(out: Path, history: History) -> None:
    """One JSON line per finished epoch."""
    lines = "".join(json.dumps(asdict(epoch)) + "\n" for epoch in history)
    write_text(out / EPOCHS_FILE, lines)


def write_text(path: Path, text: str) -> None:
    """UTF-8."""
    with replacing(path) as file:
        file.write(text.encode())


def _variables(model: KerasModel) -> Sequence[KerasVariable]:
    """In the order of building, which the recipe settles; dropout's generators are seeded anew."""
    network = [v for v in model.variables if v.name != "seed_generator_state"]
    return [*network, *model.optimizer.variables]


def _assign(variables: Sequence[KerasVariable], arrays: Sequence[npt.NDArray[Any]]) -> None:
    """Any: the variables' own types, as they were saved."""
    expected = [tuple(variable.shape) for variable in variables]
    if expected != [array.shape for array in arrays]:
        raise ValueError("its arrays are not those of the network and the optimizer")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
