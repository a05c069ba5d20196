"""What the sections share: frozen, no unknown key, and the kinds of value that several have."""

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

AETitle = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[!-\[\]-~][ -\[\]-~]*$")]
"""PS3.5 6.2: at most 16 printable ASCII characters, no backslash, not blank."""
Port = Annotated[int, Field(ge=1, le=65535)]
PositiveSeconds = Annotated[float, Field(gt=0)]


_Value = TypeVar("_Value")


class Section(BaseModel):
    """A table of the settings file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*")
    @classmethod
    def _expand_home(cls, value: _Value) -> _Value:
        return home_expanded(value)


def home_expanded(value: _Value) -> _Value:
    """Return a path with `~` and `~user` replaced by the home folder; anything else as it is.

    Raises:
        ValueError: that user has no home folder.
    """
    if not isinstance(value, Path):
        return value
    try:
        return value.expanduser()
    except RuntimeError as error:
        raise ValueError(f"{value}: {error}; write the whole path") from None
