"""What a service says where its data folder or a port is not to be had, and that it starts nothing.

Everything stays as it was: a service that is refused has made no process and no database.
"""

import errno
import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.ports import free_port
from tests.servers.product import (
    MakeProduct,
    Product,
    clean_environment,
    command,
    run_command,
    wait_for,
)
from worker.backup.alone import alone
from worker.database import make_folders
from worker.errors import BackupRefused, DataFolderRefused, LockHeld, PortRefused
from worker.folder_lock import locked, only_up
from worker.ports import PortUse, explain, require_free
from worker.settings import Settings

NOBODY = 65534


def refused(product: Product, *arguments: str) -> str:
    """The reason for which a service ended at once, from the one line of its log."""
    done = run_command("--config", str(product.config), *arguments, timeout_s=60)
    assert done.returncode == 2
    event = json.loads(done.stderr)
    assert event["event"] == "service_failed"
    return str(event["reason"])


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Act as a user without rights, where the tests run as root."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """A folder that an ordinary user may look into and not write in."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)


def test_a_second_up_on_a_data_folder_is_refused_with_the_first_ones_process(
    make_product: MakeProduct,
) -> None:
    product = make_product()
    with (product.folder / "log.jsonl").open("ab") as log:
        first = subprocess.Popen(
            command("--config", str(product.config), "up"), stderr=log, env=clean_environment()
        )
    try:
        wait_for(lambda: product.events("up_started"), "it started", product.log)
        told = refused(product, "up")
        assert told.startswith(
            f"data_folder {product.settings.data_folder} is in use by process {first.pid}, "
        )
        assert "set another data_folder" in told
    finally:
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 0


def test_a_port_in_use_is_told_with_its_setting_and_its_process_before_anything_starts(
    make_product: MakeProduct,
) -> None:
    product = make_product()
    for setting, port in (
        ("listener.port", product.settings.listener.port),
        ("worklist.port", product.settings.worklist.port),
        ("monitor.port", product.settings.monitor.port),
    ):
        with socket.create_server(("127.0.0.1", port)):
            told = refused(product, "up")
        assert f"{setting} {port} on 127.0.0.1 is in use by process {os.getpid()} (" in told
        assert f"set another {setting}" in told
    assert not (product.settings.data_folder / "ledger.sqlite").exists()


@pytest.mark.parametrize("service", ["listen", "worklist", "monitor"])
def test_a_single_service_names_its_port_likewise(make_product: MakeProduct, service: str) -> None:
    product = make_product()
    section = {"listen": "listener"}.get(service, service)
    port = getattr(product.settings, section).port
    with socket.create_server(("127.0.0.1", port)):
        assert f"{section}.port {port} on 127.0.0.1 is in use by process" in refused(
            product, service
        )


def test_two_settings_with_one_port_are_told_as_that() -> None:
    port = free_port()
    uses = [PortUse(f"{name}.port", f"{name}.host", "127.0.0.1", port) for name in ("a", "b")]
    with pytest.raises(PortRefused, match=f"b.port {port} on 127.0.0.1 is a.port, too"):
        require_free(uses)


def test_a_host_that_is_not_of_this_machine_is_told_as_that() -> None:
    use = PortUse("listener.port", "listener.host", "192.0.2.1", free_port())
    with pytest.raises(PortRefused, match=r"listener\.host 192\.0\.2\.1 is no address of this mac"):
        require_free([use])


def test_a_port_that_is_kept_for_root_is_told_with_the_ways_to_have_it() -> None:
    use = PortUse("listener.port", "listener.host", "0.0.0.0", 104)
    told = explain(use, PermissionError(errno.EACCES, "Permission denied"))
    assert told.startswith("listener.port 104 on 0.0.0.0 is kept for root")
    for remedy in ("11112", "CAP_NET_BIND_SERVICE", "ip_unprivileged_port_start=104"):
        assert remedy in told


def test_a_data_folder_that_cannot_be_made_is_told_with_the_remedy(closed_folder: Path) -> None:
    settings = Settings(data_folder=closed_folder / "data")
    with as_ordinary_user(), pytest.raises(DataFolderRefused) as caught:
        make_folders(settings)
    told = str(caught.value)
    assert told.startswith(f"data_folder {closed_folder / 'data'} cannot be used by user ")
    assert "(Permission denied)" in told
    assert 'data_folder = "~/fracture-screen-data"' in told
    assert "install -d -o" in told


def test_a_data_folder_that_cannot_be_written_is_refused_before_a_port_or_a_database_is_opened(
    closed_folder: Path,
) -> None:
    closed_folder.chmod(0o755)
    (closed_folder / "results").mkdir()
    closed_folder.chmod(0o555)
    with as_ordinary_user(), pytest.raises(DataFolderRefused, match="no permission to write"):
        make_folders(Settings(data_folder=closed_folder))


def test_a_file_in_the_place_of_the_data_folder_is_told(
    make_product: MakeProduct,
) -> None:
    product = make_product()
    product.settings.data_folder.write_text("a file")
    told = refused(product, "up")
    assert f"data_folder {product.settings.data_folder} cannot be used" in told
    assert "File exists" in told


def test_a_lock_tells_its_holder_and_goes_with_it(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            command()[0],
            "-c",
            "import sys, time, pathlib; from worker.folder_lock import only_up\n"
            "with only_up(pathlib.Path(sys.argv[1])):\n"
            "    print('held', flush=True); time.sleep(60)",
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(LockHeld, match=f"in use by process {holder.pid},"), only_up(tmp_path):
        pass
    holder.kill()
    holder.wait(10)
    with only_up(tmp_path):
        pass


def test_a_backup_and_a_purge_exclude_each_other_by_the_same_lock(tmp_path: Path) -> None:
    told = pytest.raises(BackupRefused, match=f"process {os.getpid()}")
    with locked(tmp_path / "maintenance.lock"), told, alone(tmp_path, "purge"):
        pass
    with alone(tmp_path, "purge"):
        pass
