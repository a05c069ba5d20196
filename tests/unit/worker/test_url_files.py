"""URLs with passwords come from files; neither settings nor refusals show them."""

import os
from pathlib import Path

import pytest

from tests.servers.product import run_command
from worker.errors import SettingsError
from worker.settings import load_settings

SECRET = "canary-password"
URLS = {
    "database_url": f"postgresql+psycopg://screen:{SECRET}@postgres/ledger",
    "broker_url": f"redis://screen:{SECRET}@redis:6379/0",
}


@pytest.fixture(autouse=True)
def no_settings_of_whoever_runs_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("FRACTURE_SCREEN")]:
        monkeypatch.delenv(name)


def write_secret(folder: Path, content: str | bytes) -> Path:
    path = folder / "url"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(("name", "url"), URLS.items())
def test_a_url_is_read_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, url: str
) -> None:
    file = write_secret(tmp_path, f" {url}\n")
    monkeypatch.setenv(f"FRACTURE_SCREEN_{name.upper()}_FILE", str(file))
    assert getattr(load_settings(), name) == url


def test_a_database_in_a_file_is_not_the_embedded_one(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    file = write_secret(tmp_path, URLS["database_url"])
    config.write_text(f'database_url_file = "{file}"\n')
    settings = load_settings(config)
    assert not settings.is_embedded_database
    assert settings.effective_database_url == URLS["database_url"]


def test_a_password_from_a_file_is_not_shown(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(f'broker_url_file = "{write_secret(tmp_path, URLS["broker_url"])}"\n')
    shown = run_command("--config", str(config), "settings", "show")
    assert shown.returncode == 0, shown.stderr
    assert "redis:6379" in shown.stdout
    assert SECRET not in shown.stdout + shown.stderr


@pytest.mark.parametrize("name", URLS)
@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        (b"\xff\xfe", "is no text"),
        (f"{SECRET} is no address", "is no URL of the form"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str | bytes, told: str
) -> None:
    if name == "database_url" and told.startswith("is no URL"):
        told = "must begin with"
    file = write_secret(tmp_path, content)
    monkeypatch.setenv(f"FRACTURE_SCREEN_{name.upper()}_FILE", str(file))
    with pytest.raises(SettingsError, match=told) as refused:
        load_settings()
    assert name in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRACTURE_SCREEN_BROKER_URL_FILE", str(tmp_path / "missing"))
    with pytest.raises(SettingsError, match=r"broker_url_file: .*missing cannot be read"):
        load_settings()


def test_a_url_and_its_file_are_not_taken_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_secret(tmp_path, URLS["broker_url"])
    monkeypatch.setenv("FRACTURE_SCREEN_BROKER_URL_FILE", str(file))
    monkeypatch.setenv("FRACTURE_SCREEN_BROKER_URL", "redis://other/0")
    with pytest.raises(SettingsError, match="broker_url and broker_url_file are both set"):
        load_settings()
