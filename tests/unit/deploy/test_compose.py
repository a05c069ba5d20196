"""compose.yaml: valid, closed but for what must be open, without passwords, with limits."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.unit.deploy.deployment import COMPOSE, DEPLOY, OURS, make_secrets
from worker.settings import load_settings

SERVICES = COMPOSE["services"]
CHECK = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec")


def test_it_is_valid_by_the_schema_of_compose() -> None:
    done = subprocess.run(
        [*CHECK, DEPLOY / "compose.yaml"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_listener_is_open_to_the_network() -> None:
    ports = {name: port for name, one in SERVICES.items() for port in one.get("ports", [])}
    public = {name for name, port in ports.items() if not port.startswith("127.0.0.1:")}
    assert public == {"listener"}
    assert set(ports) == {"listener", "worklist", "grafana", "pacs"}


def test_ledger_broker_and_monitor_are_on_networks_without_a_way_out() -> None:
    for name in ("postgres", "redis", "monitor", "prometheus", "dispatcher", "screening"):
        assert all(COMPOSE["networks"][one].get("internal") for one in SERVICES[name]["networks"])


@pytest.mark.parametrize("name", SERVICES)
def test_each_has_a_limit_of_memory_a_log_that_ends_and_a_pinned_image(name: str) -> None:
    service = SERVICES[name]
    assert "mem_limit" in service
    assert service["logging"]["options"]["max-size"]
    assert re.search(r":v?\d[\w.-]*$", service["image"])
    assert "no-new-privileges:true" in service.get("security_opt", [])
    if name != "upgrade":
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"]


@pytest.mark.parametrize("name", OURS)
def test_ours_run_as_nobody_on_a_root_that_cannot_be_written(name: str) -> None:
    service = OURS[name]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", sorted(set(OURS) - {"upgrade"}))
def test_ours_wait_until_the_tables_are_of_this_version(name: str) -> None:
    condition = OURS[name]["depends_on"]["upgrade"]["condition"]
    assert condition == "service_completed_successfully"
    assert "database_url" in OURS[name]["secrets"]


@pytest.mark.parametrize("name", ["delivery", "screening", "listener"])
def test_who_is_stopped_has_time_to_finish(name: str) -> None:
    grace = int(OURS[name]["stop_grace_period"].removesuffix("s"))
    assert grace > load_settings(DEPLOY / "settings.toml").listener.stop_grace_s


def test_no_password_stands_in_an_environment_or_in_the_settings() -> None:
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if re.search("password|secret|_url", variable, re.I):
                assert value.startswith("/run/secrets/"), variable
    assert not re.search("password|_url|secret", str(tomllib_of("settings.toml")), re.I)


def tomllib_of(name: str) -> dict[str, object]:
    return tomllib.loads((DEPLOY / name).read_text())


def test_every_secret_and_every_mounted_file_is_there_once_secrets_are_made(tmp_path: Path) -> None:
    made = {path.name for path in make_secrets(tmp_path).iterdir()}
    for secret in COMPOSE["secrets"].values():
        folder, _, name = secret["file"].removeprefix("./").rpartition("/")
        assert name in made if folder == "secrets" else (DEPLOY / name).is_file()
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (DEPLOY / source).exists(), source
            else:
                assert source in COMPOSE["volumes"]


def test_passwords_are_drawn_anew_kept_closed_and_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    one, other = make_secrets(tmp_path), make_secrets(tmp_path / "more")
    assert one.stat().st_mode & 0o777 == 0o700
    for path in one.iterdir():
        assert path.stat().st_mode & 0o222 == 0
        assert path.read_text() != (other / path.name).read_text()
    before = {path.name: path.read_text() for path in one.iterdir()}
    with pytest.raises(subprocess.CalledProcessError):
        make_secrets(tmp_path)
    assert {path.name: path.read_text() for path in one.iterdir()} == before


def test_nobody_gets_into_redis_without_signing_in_from_another_host() -> None:
    """A default user without a password would leave Redis in protected mode: deaf to others."""
    lines = [one for one in (DEPLOY / "make-secrets.sh").read_text().splitlines() if " on " in one]
    users = {one.split()[1]: one for one in lines if one.startswith("user ")}
    assert set(users) == {"health", "fracture_screen"}
    assert "-@all +ping" in users["health"]
    assert "nopass" not in users["fracture_screen"]
    assert "user default off resetpass" in (DEPLOY / "make-secrets.sh").read_text()


def test_the_settings_are_taken_with_the_urls_that_were_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = make_secrets(tmp_path, "ledger.hospital", "broker.hospital")
    monkeypatch.setenv("FRACTURE_SCREEN_DATABASE_URL_FILE", str(secrets / "database-url"))
    monkeypatch.setenv("FRACTURE_SCREEN_BROKER_URL_FILE", str(secrets / "broker-url"))
    settings = load_settings(DEPLOY / "settings.toml")
    password = (secrets / "postgres-password").read_text()
    assert f":{password}@ledger.hospital:5432/" in settings.database_url
    assert "@broker.hospital:6379/0" in settings.broker_url
    assert str(settings.data_folder) == "/var/lib/fracture-screen"
