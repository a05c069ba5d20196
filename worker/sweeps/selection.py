"""What a sweep is to screen, as it is kept with the sweep."""

from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from typing import Any

Json = dict[str, Any]
"""Any: JSON."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which studies, and what becomes of their results."""

    first_day: date | None = None
    """Of Study Date, both days in it; None: since ever, and until now."""
    last_day: date | None = None
    modalities: tuple[str, ...] = ("CR", "DX")
    body_parts: tuple[str, ...] = ()
    """Upper-case; none: all that the model knows."""
    institution: str = ""
    known_only: bool = False
    """Look in the ledger alone, for what was screened before."""
    model_older_than: str = ""
    """Screened by a model of a lower version; "": by any other than the present one."""
    since: datetime | None = None
    """Screened since then; None: whenever."""
    only_negative: bool = False
    delivers: bool = True
    """False: results are kept here and go nowhere."""
    any_time: bool = False
    """Work outside the time window, too."""

    def to_json(self) -> Json:
        """Only what differs from the defaults."""
        return {
            key: _plain(value)
            for key, value in asdict(self).items()
            if value != getattr(_DEFAULTS, key)
        }

    @classmethod
    def from_json(cls, found: Json) -> "Selection":
        """The reverse; a key that is not known is an error of a newer version."""
        known = {field.name for field in fields(cls)}
        if unknown := set(found) - known:
            raise ValueError(f"a newer version wrote this sweep: {', '.join(sorted(unknown))}")
        values = dict(found)
        for key in ("first_day", "last_day"):
            if key in values:
                values[key] = date.fromisoformat(values[key])
        if "since" in values:
            values["since"] = datetime.fromisoformat(values["since"])
        for key in ("modalities", "body_parts"):
            if key in values:
                values[key] = tuple(values[key])
        return cls(**values)


_DEFAULTS = Selection()


def _plain(value: object) -> object:
    if isinstance(value, date | datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value
