"""Reads file and environment once, and says in words what cannot be used."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ValidationError

from worker.errors import SettingsError
from worker.settings.reference import known_names
from worker.settings.root import ENVIRONMENT_PREFIX, Settings

CONFIG_VARIABLE = ENVIRONMENT_PREFIX + "CONFIG"


def load_settings(config: Path | None = None, **overrides: Any) -> Settings:
    """Read the settings: overrides, then environment, then file, then defaults.

    Args:
        config: TOML file; None: the one that FRACTURE_SCREEN_CONFIG names, if any.
        overrides: whole top-level fields. Any: pydantic validates them.

    Raises:
        SettingsError: a value is not allowed, or a name is unknown (the nearest one is told).
    """
    path = settings_file(config)
    if path is not None and not path.is_file():
        raise SettingsError(f"settings file {path} does not exist")
    _refuse_unknown_variables(os.environ)

    class FromFile(Settings):
        _toml_file: ClassVar[Path | None] = path

    try:
        return FromFile(**overrides)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    except ValueError as error:
        raise SettingsError(f"{path or 'the environment'}: {error}") from error


def settings_file(config: Path | None = None) -> Path | None:
    """The file that `load_settings` reads; None: no file."""
    stated = os.environ.get(CONFIG_VARIABLE)
    return config or (Path(stated) if stated else None)


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    variables = {ENVIRONMENT_PREFIX + name.replace(".", "__").upper() for name in known_names()} | {
        CONFIG_VARIABLE
    }
    sections = {
        ENVIRONMENT_PREFIX + name.upper()
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    for name in environment:
        if name.startswith(ENVIRONMENT_PREFIX) and name.upper() not in variables | sections:
            raise SettingsError(
                f"environment variable {name} is no setting{_nearest(name, sorted(variables))}"
            )


def _explain(error: ValidationError) -> str:
    return "; ".join(_explain_one(dict(detail)) for detail in error.errors())


def _explain_one(detail: dict[str, Any]) -> str:  # Any: pydantic's own error details
    location = ".".join(str(part) for part in detail["loc"] if not isinstance(part, int))
    if detail["type"] == "extra_forbidden":
        return f"{location} is no setting{_nearest(location, known_names())}"
    # Never the value: a URL may hold a password.
    return f"{location or 'settings'}: {detail['msg']}"


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else "; `fracture-screen settings show` lists all"
