"""An experiment's folder: settings that may not change, and stages that are computed once.

Every file appears whole or not at all, so a command that was stopped goes on where it stood.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.errors import RunError
from training.run_folder import replacing, write_text

CONFIG_FILE = "config.json"

Arrays = dict[str, npt.NDArray[Any]]
"""Any: a stage's own types."""


def claim(out: Path, config: Mapping[str, Any]) -> None:
    """Make `out` this experiment's folder. Any: JSON.

    Raises:
        RunError: it is that of an experiment with other settings.
    """
    path, here = out / CONFIG_FILE, json.loads(json.dumps(config))
    if not path.is_file():
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, here)
        return
    there = json.loads(path.read_text())
    if differing := sorted(key for key in {*there, *here} if there.get(key) != here.get(key)):
        raise RunError(
            f"{out} holds an experiment with another {', '.join(differing)}; repeat that one's "
            "command to go on with it, or name another folder with --out"
        )


def arrays_once(path: Path, compute: Callable[[], Arrays]) -> Arrays:
    """What `compute` gave, now or when it was first asked for."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        computed = compute()
        with replacing(path) as file:
            np.savez(file, allow_pickle=False, **computed)
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def json_once(path: Path, compute: Callable[[], Any]) -> Any:
    """As `arrays_once`. Any: JSON."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, compute())
    return json.loads(path.read_text())


def write_json(path: Path, content: Any) -> None:
    """Any: JSON."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
