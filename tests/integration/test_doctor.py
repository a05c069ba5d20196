"""Each fault is planted in an installation of real parts, and the doctor names it and its fix."""

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from alembic import command
from sqlalchemy import text

from db.errors import LedgerError
from db.session import _alembic_config, make_engine, upgrade
from dicom_node.errors import ReadingFailed
from models.bundle import DEFAULT_BUNDLE, WEIGHTS_FILE
from tests.integration.doctors_patient import Installation, fault, healthy, warned
from tests.servers.postgresql import PrivatePostgresql
from tests.servers.redis import private_redis, restartable_redis
from worker.composition import utc_now
from worker.doctor.finding import CheckName, Result
from worker.doctor.run import Wishes, examine_site
from worker.doctor.site import Site
from worker.settings import load_settings

SECRET = "canary-password"


@pytest.fixture
def site(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


# Settings and secrets


def test_a_setting_that_is_none_is_named_and_nothing_else_is_looked_at(site: Installation) -> None:
    site.sections["listener"]["prot"] = 104
    first, *others = site.examine(*CheckName)
    fault(first, "listener.prot", "did you mean listener.port", "settings show")
    assert {one.check for one in others} == set(CheckName) - {CheckName.SETTINGS}
    assert {one.result for one in others} == {Result.SKIPPED}


def test_a_settings_file_that_is_missing_is_named(tmp_path: Path) -> None:
    first, *_ = examine_site(tmp_path / "none.toml", Wishes())
    fault(first, "none.toml does not exist", "--config")


def test_a_settings_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_bytes(b"[listener\nport = 1\n")
    first, *_ = examine_site(tmp_path / "settings.toml", Wishes())
    fault(first, "settings.toml", "Correct")


def test_a_settings_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_bytes(b"# M\xfcller\n")
    first, *_ = examine_site(tmp_path / "settings.toml", Wishes())
    fault(first, "settings.toml")


def test_a_settings_file_with_a_password_that_all_can_read_is_named(site: Installation) -> None:
    site.top["broker_url"] = f"redis://:{SECRET}@127.0.0.1:1/0"
    site.write()
    site.config.chmod(0o644)
    findings = examine_site(
        site.config, Wishes(leave_out=tuple(set(CheckName) - {CheckName.SECRET_FILE}))
    )
    (finding,) = [one for one in findings if one.check is CheckName.SECRET_FILE]
    fault(finding, "mode 0644", f"chmod 640 {site.config}", "change the secret")


def test_a_url_file_that_all_can_read_is_named(site: Installation) -> None:
    file = site.folder / "broker-url"
    file.write_text(f"redis://:{SECRET}@127.0.0.1:1/0")
    file.chmod(0o644)
    site.top["broker_url_file"] = str(file)
    fault(site.look(CheckName.SECRET_FILE), "mode 0644", f"chmod 640 {file}")


def test_a_settings_file_without_any_secret_may_be_read_by_all(site: Installation) -> None:
    assert site.examine(CheckName.SECRET_FILE) == []


def test_a_signing_secret_that_is_too_short_is_named(site: Installation) -> None:
    secret = site.folder / "secret"
    secret.write_text("short")
    webhook = {"name": "ris", "url": "https://127.0.0.1/x", "secret_file": secret}
    site.tables.append(("webhooks", webhook))
    fault(site.look(CheckName.SECRET_FILE), "less than 16 bytes", "openssl rand -hex 32")


# Data folder


def test_a_healthy_data_folder_is_left_as_it_was(site: Installation) -> None:
    names = (CheckName.DATA_FOLDER, CheckName.FILE_SYSTEM, CheckName.DISK)
    for finding in site.examine(*names):
        healthy(finding)
    assert list(site.data.iterdir()) == []


def test_no_look_at_an_empty_data_folder_leaves_anything_there(site: Installation) -> None:
    found = site.examine(*set(CheckName) - {CheckName.INFERENCE})
    assert {one.result for one in found} == {Result.OK, Result.WARNING, Result.SKIPPED}
    assert list(site.data.iterdir()) == []


def test_a_data_folder_that_others_can_enter_is_named(site: Installation) -> None:
    site.data.chmod(0o755)
    fault(site.look(CheckName.DATA_FOLDER), "mode 0755", f"chmod 700 {site.data}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_a_data_folder_of_another_user_is_named_with_both_ways_out(site: Installation) -> None:
    os.chown(site.data, 4711, 4711)
    found = site.look(CheckName.DATA_FOLDER)
    fault(found, "user 4711", "sudo -u '#4711'", f"chown -R 0 {site.data}")


def test_a_data_folder_that_is_a_file_is_named(site: Installation) -> None:
    site.data.rmdir()
    site.data.write_text("")
    fault(site.look(CheckName.DATA_FOLDER), "is no folder")


def test_a_data_folder_that_the_first_start_makes_is_no_fault_and_is_not_made(
    site: Installation,
) -> None:
    site.data.rmdir()
    names = (CheckName.DATA_FOLDER, CheckName.FILE_SYSTEM, CheckName.DATABASE, CheckName.BROKER)
    for finding in site.examine(*names):
        healthy(finding)
    assert not site.data.exists()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a tmpfs")
def test_a_data_folder_in_memory_is_named(site: Installation) -> None:
    folder = Path("/dev/shm") / f"doctor-{os.getpid()}"
    folder.mkdir(mode=0o700)
    site.top["data_folder"] = folder
    try:
        fault(site.look(CheckName.FILE_SYSTEM), "tmpfs", "lost when the machine restarts")
    finally:
        folder.rmdir()


def test_a_disk_below_the_listeners_watermark_is_a_fault_and_below_the_other_a_warning(
    site: Installation,
) -> None:
    site.sections["monitor"]["disk_warning_mib"] = 10**9
    warned(site.look(CheckName.DISK), "disk_warning_mib", "larger disk")
    site.sections["listener"]["minimum_free_mib"] = 10**9
    fault(site.look(CheckName.DISK), "refuses instances below 1000000000 MiB", "Free disk space")


# Folders of sweeps


def test_the_folder_of_a_schedule_that_is_away_is_named(site: Installation) -> None:
    archive = site.folder / "archive"
    site.tables.append(("schedules", {"name": "nightly", "folder": archive}))
    fault(site.look(CheckName.FOLDER), "schedules.nightly", "is no folder", "mount what should")
    archive.touch()
    fault(site.look(CheckName.FOLDER), "is no folder")
    archive.unlink()
    archive.mkdir()
    healthy(site.look(CheckName.FOLDER), "can be read")


def test_a_folder_for_reports_is_made_but_not_below_a_file(site: Installation) -> None:
    reports = site.folder / "reports" / "of sweeps"
    site.sections["sweep"] = {"report_folder": reports}
    healthy(site.look(CheckName.FOLDER), "can be written")
    assert not reports.exists()
    reports.parent.touch()
    fault(site.look(CheckName.FOLDER), "sweep.report_folder", "is no folder", "Correct the path")


def test_a_folder_for_reports_on_a_disk_that_only_reads_is_named(site: Installation) -> None:
    # /proc lets nobody make a file, not even root.
    site.sections["sweep"] = {"report_folder": "/proc/self"}
    fault(site.look(CheckName.FOLDER), "cannot be written", "the service's user")


# Database


def test_a_database_that_does_not_answer_is_named_without_its_password(site: Installation) -> None:
    site.top["database_url"] = f"postgresql+psycopg://user:{SECRET}@127.0.0.1:1/ledger"
    findings = site.examine(CheckName.DATABASE, CheckName.MIGRATIONS, CheckName.WORK)
    database, *others = findings
    fault(database, "user:***@127.0.0.1:1", "Start the database", "database_url")
    assert [one.result for one in others] == [Result.SKIPPED] * 2
    assert SECRET not in str(findings)


@pytest.fixture
def postgresql_site(
    site: Installation, postgresql_server: PrivatePostgresql
) -> Iterator[Installation]:
    with postgresql_server.database() as name:
        site.top["database_url"] = postgresql_server.url(name)
        yield site


def test_a_database_without_tables_is_named(postgresql_site: Installation) -> None:
    healthy(postgresql_site.look(CheckName.DATABASE), "PostgreSQL")
    fault(postgresql_site.look(CheckName.MIGRATIONS), "empty", "fracture-screen db upgrade")


def test_a_database_that_cannot_hold_every_name_is_named_and_refused(
    site: Installation, postgresql_server: PrivatePostgresql
) -> None:
    with postgresql_server.database("template0", "ENCODING LATIN1 LOCALE 'C'") as name:
        site.top["database_url"] = postgresql_server.url(name)
        fault(site.look(CheckName.DATABASE), "encoding is LATIN1", "ENCODING 'UTF8'")
        with pytest.raises(LedgerError, match=r"LATIN1.*ENCODING 'UTF8'"):
            upgrade(make_engine(postgresql_server.url(name)))


def test_a_database_of_an_older_version_is_named_with_both_revisions(
    postgresql_site: Installation,
) -> None:
    _migrate(postgresql_site, "0003")
    fault(postgresql_site.look(CheckName.MIGRATIONS), "behind", "0003", "db upgrade", "Back the")


def test_a_database_of_a_newer_version_is_named(postgresql_site: Installation) -> None:
    _execute(postgresql_site, "UPDATE alembic_version SET version_num = '9999'")
    fault(postgresql_site.look(CheckName.MIGRATIONS), "ahead", "9999", "Install the version")


def test_a_database_that_only_reads_is_named(postgresql_site: Installation) -> None:
    name = str(postgresql_site.top["database_url"]).rpartition("/")[2]
    _execute(postgresql_site, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    fault(postgresql_site.look(CheckName.MIGRATIONS), "cannot be written", "primary server")


def test_a_current_database_of_either_kind_is_healthy_and_keeps_every_row(
    postgresql_site: Installation, tmp_path: Path
) -> None:
    _execute(postgresql_site, "SELECT 1")
    healthy(postgresql_site.look(CheckName.MIGRATIONS), "current", "writable")
    del postgresql_site.top["database_url"]
    engine = make_engine(f"sqlite:///{postgresql_site.data / 'ledger.sqlite'}")
    upgrade(engine)
    engine.dispose()
    healthy(postgresql_site.look(CheckName.DATABASE), "SQLite")
    healthy(postgresql_site.look(CheckName.MIGRATIONS), "current", "writable")
    healthy(postgresql_site.look(CheckName.WORK))


def test_a_sqlite_file_that_is_not_there_is_named_and_not_made(site: Installation) -> None:
    file = site.folder / "elsewhere.sqlite"
    site.top["database_url"] = f"sqlite:///{file}"
    fault(site.look(CheckName.DATABASE), "elsewhere.sqlite", "db upgrade")
    assert not file.exists()


def test_results_that_were_given_up_are_told_from_the_ledger(site: Installation) -> None:
    engine = make_engine(f"sqlite:///{site.data / 'ledger.sqlite'}")
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO study (study_instance_uid, state, revision, attempts, interruptions,"
                " calling_ae_title, received_at, last_instance_at, state_changed_at,"
                " failure_reason) VALUES ('1.2', 'FAILED', 1, 1, 0, 'CR', :t, :t, :t, '')"
            ),
            {"t": "2026-01-02 03:04:05.000000"},
        )
    engine.dispose()
    warned(site.look(CheckName.WORK), "1 study FAILED", "fracture-screen retry")


def test_what_lies_in_quarantine_is_told(site: Installation) -> None:
    engine = make_engine(f"sqlite:///{site.data / 'ledger.sqlite'}")
    upgrade(engine)
    engine.dispose()
    (site.data / "spool" / "quarantine").mkdir(parents=True)
    (site.data / "spool" / "quarantine" / "a.dcm").touch()
    warned(site.look(CheckName.WORK), "1 file in quarantine", "fracture-screen quarantine list")


def _migrate(site: Installation, revision: str) -> None:
    engine, config = make_engine(str(site.top["database_url"])), _alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def _execute(site: Installation, statement: str) -> None:
    _migrate(site, "head")
    engine = make_engine(str(site.top["database_url"]))
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


# Broker


@pytest.fixture
def redis_site(site: Installation, tmp_path: Path) -> Iterator[Installation]:
    """With a Redis as it should be."""
    with restartable_redis(tmp_path, append_only=True) as server:
        site.top["broker_url"] = server.url
        yield site


def _configure(site: Installation, name: str, value: str) -> None:
    with redis.Redis.from_url(str(site.top["broker_url"])) as client:
        client.config_set(name, value)


def test_a_redis_as_it_should_be_is_healthy(redis_site: Installation) -> None:
    healthy(redis_site.look(CheckName.BROKER), "noeviction", "append-only file on", "0 messages")


def test_a_redis_that_evicts_is_named(redis_site: Installation) -> None:
    _configure(redis_site, "maxmemory-policy", "allkeys-lru")
    fault(redis_site.look(CheckName.BROKER), "allkeys-lru", "maxmemory-policy noeviction")


def test_a_redis_without_append_only_file_is_warned_of(redis_site: Installation) -> None:
    _configure(redis_site, "appendonly", "no")
    warned(redis_site.look(CheckName.BROKER), "append-only file off", "appendonly yes")


def test_a_redis_that_is_a_replica_is_named(redis_site: Installation) -> None:
    with redis.Redis.from_url(str(redis_site.top["broker_url"])) as client:
        client.replicaof("127.0.0.1", "1")
    fault(redis_site.look(CheckName.BROKER), "replica", "primary")


def test_a_redis_with_another_password_is_named_and_the_password_is_not(
    redis_site: Installation,
) -> None:
    _configure(redis_site, "requirepass", "the real one")
    url = str(redis_site.top["broker_url"])
    redis_site.top["broker_url"] = url.replace("redis://", f"redis://:{SECRET}@")
    found = redis_site.look(CheckName.BROKER)
    fault(found, "refuses us", "user and password of broker_url")
    assert SECRET not in str(found)


def test_a_redis_user_who_may_not_ask_how_it_is_set_up_is_warned_of(
    redis_site: Installation,
) -> None:
    url = str(redis_site.top["broker_url"])
    with redis.Redis.from_url(url) as client:
        client.execute_command("ACL SETUSER worker on >pw ~* &* +@all -info")
    redis_site.top["broker_url"] = url.replace("redis://", "redis://worker:pw@")
    warned(redis_site.look(CheckName.BROKER), "INFO", "+info")


def test_a_redis_that_does_not_run_is_named(site: Installation) -> None:
    site.top["broker_url"] = f"redis://:{SECRET}@127.0.0.1:1/0"
    found = site.look(CheckName.BROKER)
    fault(found, "does not answer", "Start Redis", "Nothing is lost")
    assert SECRET not in str(found)


# Clock


@pytest.mark.parametrize("minutes", [-5, 5])
def test_a_clock_apart_from_that_of_database_or_broker_is_named(
    postgresql_site: Installation, tmp_path: Path, minutes: int
) -> None:
    with private_redis(tmp_path) as url:
        postgresql_site.top["broker_url"] = url
        healthy(postgresql_site.look(CheckName.CLOCK), "database", "broker")
        settings = load_settings(postgresql_site.config)
        off = Site(settings, None, lambda: utc_now() + timedelta(minutes=minutes))
        word = "ahead of" if minutes > 0 else "behind"
        found = postgresql_site.look_at(off, CheckName.CLOCK)
        fault(found, "300.0 s " + word, "timedatectl", "NTP")
        del postgresql_site.top["database_url"]
        postgresql_site.write()
        of_redis = Site(load_settings(postgresql_site.config), None, off.clock)
        fault(postgresql_site.look_at(of_redis, CheckName.CLOCK), "of the broker")


def test_a_clock_that_lost_its_battery_is_named(site: Installation) -> None:
    site.write()
    off = Site(load_settings(site.config), None, lambda: datetime(1970, 1, 1, tzinfo=UTC))
    fault(site.look_at(off, CheckName.CLOCK), "1970-01-01", "cannot be", "NTP")


def test_sweeps_without_a_time_zone_are_warned_of(site: Installation) -> None:
    source: dict[str, object] = {"name": "a", "ae_title": "A", "host": "127.0.0.1", "port": 1}
    site.tables.append(("sources", source))
    warned(site.look(CheckName.TIME_ZONE), "UTC", "sweep.time_zone")
    site.sections["sweep"] = {"time_zone": "Europe/Berlin"}
    healthy(site.look(CheckName.TIME_ZONE), "Europe/Berlin")


# Model


def test_a_bundle_whose_weights_were_changed_is_named(site: Installation) -> None:
    bundle = site.folder / "bundle"
    shutil.copytree(DEFAULT_BUNDLE, bundle)
    weights = bytearray((bundle / WEIGHTS_FILE).read_bytes())
    weights[len(weights) // 2] ^= 1
    (bundle / WEIGHTS_FILE).write_bytes(weights)
    site.sections["model"] = {"bundle": bundle}
    found, inference = site.examine(CheckName.BUNDLE, CheckName.INFERENCE)
    fault(found, "SHA-256", "was changed or damaged", "backup", "model rollback")
    assert inference.result is Result.SKIPPED
    (bundle / WEIGHTS_FILE).unlink()
    fault(site.look(CheckName.BUNDLE), "cannot read", "backup")


def test_the_shipped_bundle_is_verified_and_gives_what_is_expected(site: Installation) -> None:
    bundle, inference = site.examine(CheckName.BUNDLE, CheckName.INFERENCE)
    healthy(bundle, "verified")
    healthy(inference, "ms per radiograph", "the same each time")


def test_a_decoder_without_time_is_named_and_one_with_time_is_healthy(
    site: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy(site.look(CheckName.DECODER), "256 × 208")

    def too_slow(_: Site) -> None:  # a real one may answer before its time is looked at
        raise ReadingFailed("reading took longer than 0.1 s")

    monkeypatch.setattr("worker.doctor.model._read_phantom", too_slow)
    fault(site.look(CheckName.DECODER), "longer than", "limits.decoder_timeout_s")


# Processes


def test_a_monitor_that_does_not_run_is_warned_of(site: Installation) -> None:
    warned(site.look(CheckName.MONITOR), "not running", "fracture-screen monitor")


def test_a_monitor_that_answers_late_is_not_called_stopped(site: Installation) -> None:
    with socket.create_server(("127.0.0.1", int(str(site.sections["monitor"]["port"])))):
        warned(site.look(CheckName.MONITOR), "no answer", "within 3 s", "--timeout")


def test_another_program_at_the_monitors_port_is_named(site: Installation) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    with socket.create_server(("127.0.0.1", int(str(site.sections["monitor"]["port"])))) as server:

        def serve() -> None:
            connection, _ = server.accept()
            connection.recv(4096)
            connection.sendall(answer)
            connection.close()

        threading.Thread(target=serve, daemon=True).start()
        fault(site.look(CheckName.MONITOR), "another program", "ss -ltnp")
