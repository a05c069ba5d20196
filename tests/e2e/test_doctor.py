"""The command on a whole installation: all services, PostgreSQL, Redis and a PACS."""

import json
from pathlib import Path

import pytest

from tests.servers.orthanc import Orthanc, needs_orthanc
from tests.servers.postgresql import PrivatePostgresql
from tests.servers.product import (
    MONITORING,
    SERVICES,
    MakeProduct,
    Product,
    destination_toml,
    run_command,
    source_toml,
    wait_for,
)
from tests.servers.redis import restartable_redis
from worker.doctor.finding import CheckName

SECRET = "canary-password"
OPTIONAL = {
    CheckName.CERTIFICATE,
    CheckName.LISTENER_TLS,
    CheckName.DESTINATION_TLS,
    CheckName.SOURCE_TLS,
    CheckName.PEER_TLS,
    CheckName.PEER_ECHO,
    CheckName.RECEIVER,
    CheckName.SECRET_FILE,
    CheckName.FOLDER,
}
"""There is nothing of it in this installation."""


def examined(product: Product, *options: str) -> tuple[int, list[dict[str, str]]]:
    done = run_command("--config", str(product.config), "doctor", "--json", *options)
    content = json.loads(done.stdout)
    assert content["ok"] == (done.returncode == 0), done.stderr
    return done.returncode, content["findings"]


def results(findings: list[dict[str, str]]) -> dict[str, str]:
    return {one["check"]: one["result"] for one in findings}


@needs_orthanc
def test_on_a_healthy_installation_all_is_ok_and_with_the_database_gone_it_is_not(
    make_product: MakeProduct,
    orthanc: Orthanc,
    postgresql_server: PrivatePostgresql,
    tmp_path: Path,
) -> None:
    with (
        postgresql_server.database() as name,
        restartable_redis(tmp_path, append_only=True) as server,
    ):
        toml = destination_toml("pacs", "ORTHANC", orthanc.remote.port) + "read_back = true\n"
        product = make_product(
            toml + source_toml("archive", orthanc.remote) + '[sweep]\ntime_zone = "UTC"\n',
            top=f'database_url = "{postgresql_server.url(name)}"\nbroker_url = "{server.url}"\n',
            monitor="look_every_s = 0.5\ndisk_warning_mib = 2",
        )
        upgraded = run_command("--config", str(product.config), "db", "upgrade")
        assert upgraded.returncode == 0, upgraded.stderr
        orthanc.know_modality("us", product.node)
        product.start(*SERVICES, *MONITORING)
        wait_for(lambda: examined_monitor(product) == "ok", "the monitor has looked", product.log)

        code, findings = examined(product, "--store", "--move")
        assert {one["result"] for one in findings} == {"ok"}, findings
        assert code == 0
        assert set(results(findings)) == set(CheckName) - OPTIONAL
        assert len(orthanc.get("/instances")) == 2
        assert product.ledger.status().studies.get("RECEIVING", 0) == 0

        product.stop()
        code, findings = examined(product, "--skip", "inference")
        assert code == 0, "warnings alone are no failure"
        found = results(findings)
        assert (found["listener"], found["monitor"]) == ("warning", "warning")
    code, findings = examined(product, "--skip", "inference", "--timeout", "2")
    assert code == 1
    broken = {one["check"] for one in findings if one["result"] == "failed"}
    assert broken == {"database", "broker"}


def examined_monitor(product: Product) -> str:
    others = [name for name in CheckName if name is not CheckName.MONITOR]
    _, findings = examined(product, *(f"--skip={name}" for name in others))
    return results(findings)["monitor"]


@pytest.mark.parametrize("form", ["table", "json"])
def test_the_command_tells_no_password(tmp_path: Path, form: str) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(
        f'data_folder = "{tmp_path / "data"}"\n'
        f'database_url = "postgresql+psycopg://user:{SECRET}@127.0.0.1:1/ledger"\n'
        f'broker_url = "redis://:{SECRET}@127.0.0.1:1/0"\n'
        f'[monitor]\nalarm_webhook = "https://chat.invalid/{SECRET}"\n'
        f'alarm_secret_file = "{tmp_path / "none"}"\n'
    )
    options = ["--skip=inference", "--timeout=2", *(["--json"] if form == "json" else [])]
    done = run_command("--config", str(config), "doctor", *options)
    assert done.returncode == 1
    assert "***" in done.stdout
    assert SECRET not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()
