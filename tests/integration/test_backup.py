"""Backups that are refused, broken or kept small; purging as its command does it."""

import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command

from db.session import _alembic_config, is_current, make_engine
from tests.radiographs import write_phantom
from tests.screened_site import ScreenedSite
from tests.servers.product import run_command
from worker.backup.alone import alone
from worker.backup.files import described
from worker.backup.make import make_backup
from worker.backup.manifest import DATA, MANIFEST, read_manifest, write_manifest
from worker.backup.masked import HIDDEN, masked
from worker.backup.restore import check_backup, restore_backup
from worker.backup.unfinished import MARK
from worker.composition import open_database, utc_now
from worker.errors import BackupRefused, RestoreUnfinished
from worker.settings import Settings, load_settings


@pytest.fixture
def site(tmp_path: Path) -> ScreenedSite:
    """A received study, not screened: enough for files."""
    site = ScreenedSite(tmp_path / "site")
    site.receive([write_phantom(tmp_path / "in", "one").path])
    return site


@pytest.fixture
def backup(site: ScreenedSite, tmp_path: Path) -> Path:
    make_backup(site.settings, site.engine, tmp_path / "backup", utc_now())
    return tmp_path / "backup"


def fresh(folder: Path) -> Settings:
    folder.mkdir()
    config = folder / "settings.toml"
    config.write_text(f'data_folder = "{folder / "data"}"\n')
    return load_settings(config)


def restore(settings: Settings, source: Path) -> None:
    engine = make_engine(settings.effective_database_url)
    try:
        restore_backup(settings, engine, source)
    finally:
        engine.dispose()


def test_a_backup_is_restored_file_by_file(
    site: ScreenedSite, backup: Path, tmp_path: Path
) -> None:
    settings = fresh(tmp_path / "new")
    restore(settings, backup)
    (path,) = (path for _, path in site.ledger.instance_paths())
    there = (settings.data_folder / path).read_bytes()
    assert there == (site.settings.data_folder / path).read_bytes()
    assert not (settings.data_folder / MARK).exists()
    open_database(settings).dispose()


def test_a_backup_before_its_end_is_recognised_as_none(
    site: ScreenedSite, backup: Path, tmp_path: Path
) -> None:
    (backup / MANIFEST).unlink()
    with pytest.raises(BackupRefused, match="broke off"):
        restore(fresh(tmp_path / "new"), backup)
    make_backup(site.settings, site.engine, backup, utc_now())
    check_backup(backup)


def test_a_second_backup_that_breaks_off_leaves_the_first_one_whole(
    site: ScreenedSite, backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read_manifest(backup)
    site.receive([write_phantom(tmp_path / "in", "two").path])

    def die(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_backup(site.settings, site.engine, backup, utc_now(), on_file=die)
    assert check_backup(backup) == first


def test_a_second_backup_copies_what_is_new_and_drops_the_old_ledger(
    site: ScreenedSite, backup: Path, tmp_path: Path
) -> None:
    site.receive([write_phantom(tmp_path / "in", "two").path])
    manifest, done = make_backup(site.settings, site.engine, backup, utc_now())
    assert done.kept == 1
    assert len([path for path in manifest.files if path.startswith(f"{DATA}/spool")]) == 2
    assert [path.name for path in backup.glob("ledger-*")] == [manifest.ledger]
    check_backup(backup)


def test_a_damaged_file_is_named_and_the_half_restore_lets_nothing_start(
    backup: Path, tmp_path: Path
) -> None:
    (file,) = (backup / DATA / "spool").rglob("*.dcm")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(BackupRefused, match=file.name):
        check_backup(backup)
    settings = fresh(tmp_path / "new")
    with pytest.raises(BackupRefused, match=file.name):
        restore(settings, backup)
    with pytest.raises(RestoreUnfinished, match="broke off"):
        open_database(settings)
    with pytest.raises(BackupRefused, match="broke off"):
        restore(settings, backup)


def test_a_file_that_is_damaged_here_is_told_and_not_copied(
    site: ScreenedSite, tmp_path: Path
) -> None:
    (path,) = (path for _, path in site.ledger.instance_paths())
    (site.settings.data_folder / path).write_bytes(b"not what was sent")
    manifest, _ = make_backup(site.settings, site.engine, tmp_path / "out", utc_now())
    assert manifest.damaged == (path,)
    (site.settings.data_folder / path).unlink()
    manifest, _ = make_backup(site.settings, site.engine, tmp_path / "out", utc_now())
    assert manifest.missing == (path,)
    assert not (tmp_path / "out" / DATA / path).exists()


def test_nothing_is_restored_over_what_is_here(
    site: ScreenedSite, backup: Path, tmp_path: Path
) -> None:
    with pytest.raises(BackupRefused, match="not empty"):
        restore(site.settings, backup)
    settings = fresh(tmp_path / "new")
    other = make_engine(f"sqlite:///{tmp_path / 'other.sqlite'}")
    with sqlite3.connect(tmp_path / "other.sqlite") as connection:
        connection.execute("CREATE TABLE something (id INTEGER)")
    with pytest.raises(BackupRefused, match="holds tables"):
        restore_backup(settings, other, backup)
    other.dispose()


def test_a_backup_of_a_newer_version_is_refused(backup: Path, tmp_path: Path) -> None:
    content = json.loads((backup / MANIFEST).read_text())
    (backup / MANIFEST).write_text(json.dumps(content | {"revision": "9999"}))
    with pytest.raises(BackupRefused, match="9999"):
        restore(fresh(tmp_path / "newer"), backup)


def test_an_older_backup_is_brought_up_to_date(backup: Path, tmp_path: Path) -> None:
    old = make_engine(f"sqlite:///{tmp_path / 'old.sqlite'}")
    config = _alembic_config()
    with old.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
    old.dispose()
    manifest = read_manifest(backup)
    shutil.copyfile(tmp_path / "old.sqlite", backup / manifest.ledger)
    files = dict(manifest.files) | {manifest.ledger: described(backup / manifest.ledger)}
    older = replace(manifest, revision="0005", counts={"study": 0}, files=files)
    write_manifest(backup, older)
    settings = fresh(tmp_path / "new")
    restore(settings, backup)
    restored = make_engine(settings.effective_database_url)
    assert is_current(restored)
    restored.dispose()


def test_a_backup_of_another_kind_of_database_is_refused(backup: Path, tmp_path: Path) -> None:
    content = json.loads((backup / MANIFEST).read_text())
    (backup / MANIFEST).write_text(json.dumps(content | {"database": "postgresql"}))
    with pytest.raises(BackupRefused, match="is of postgresql"):
        restore(fresh(tmp_path / "new"), backup)


def test_a_manifest_cannot_reach_out_of_the_backup(backup: Path, tmp_path: Path) -> None:
    content = json.loads((backup / MANIFEST).read_text())
    content["files"]["data/../../escaped"] = content["files"].popitem()[1]
    (backup / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(BackupRefused, match="lies elsewhere"):
        restore(fresh(tmp_path / "new"), backup)


def test_a_backup_goes_neither_into_the_data_folder_nor_among_other_files(
    site: ScreenedSite, tmp_path: Path
) -> None:
    with pytest.raises(BackupRefused, match="data folder"):
        make_backup(site.settings, site.engine, site.settings.data_folder / "backup", utc_now())
    with pytest.raises(BackupRefused, match="something else"):
        make_backup(site.settings, site.engine, tmp_path / "in", utc_now())


def test_a_backup_and_a_purge_do_not_run_at_once(site: ScreenedSite, tmp_path: Path) -> None:
    with alone(site.settings.data_folder, "test"), pytest.raises(BackupRefused, match="under way"):
        make_backup(site.settings, site.engine, tmp_path / "out", utc_now())


def test_secrets_do_not_go_into_the_copy_of_the_settings() -> None:
    text = (
        'database_url = "postgresql://user:s3cret@host/name"\n'
        'broker_url = "redis://:pa55@host:6379/0"\n'
        '[monitor]\nalarm_webhook = "https://chat.hospital/hooks/T0KEN"\n'
        'secret_file = "/etc/fracture-screen/hook.key"\n'
        'api_token = "abc"\n'
    )
    copied = masked(text)
    for secret in ("s3cret", "pa55", "T0KEN", "abc"):
        assert secret not in copied
    assert copied.count(HIDDEN) >= 4
    assert 'secret_file = "/etc/fracture-screen/hook.key"' in copied
    assert "host:6379" in copied


def test_purge_shows_what_would_go_and_changes_nothing(site: ScreenedSite) -> None:
    config = site.settings.data_folder.parent / "settings.toml"
    config.write_text(config.read_text() + "[retention]\ninstances_days = 1\n")
    site.engine.dispose()
    shown = run_command("--config", str(config), "purge", "--dry-run", "--json")
    assert shown.returncode == 0, shown.stderr
    told = json.loads(shown.stdout)
    assert told["dry_run"] is True
    assert told["kinds"] == {
        "instances": {"count": 0, "size": 0},
        "web sessions": {"count": 0, "size": 0},
    }
