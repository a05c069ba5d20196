"""URLs that lie in files of their own, since they hold passwords: secrets of the platform."""

from collections.abc import Mapping
from pathlib import Path

from worker.settings.fields import home_expanded

_URLS = ("database_url", "broker_url")


def read_url_files(values: Mapping[str, object]) -> dict[str, str]:
    """URL settings → what their files hold, without the spaces and line ends around it.

    Raises:
        ValueError: a file cannot be read or is empty, or the URL is set, too. No content is told.
    """
    urls: dict[str, str] = {}
    for name in _URLS:
        stated = values.get(f"{name}_file")
        if not isinstance(stated, str | Path) or not str(stated):
            continue  # not set, or of a kind that its own field refuses
        if values.get(name):
            raise ValueError(f"{name} and {name}_file are both set; keep one")
        urls[name] = _read(f"{name}_file", home_expanded(Path(stated)))
    return urls


def _read(setting: str, file: Path) -> str:
    try:
        url = file.read_text().strip()
    except OSError as error:
        raise ValueError(f"{setting}: {file} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ValueError(f"{setting}: {file} is no text") from None
    if not url:
        raise ValueError(f"{setting}: {file} is empty")
    return url
