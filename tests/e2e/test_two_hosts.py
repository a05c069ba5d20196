"""Two machines with one ledger, one broker and one data folder: the load is shared, one dies.

Each has its own settings file and reaches the data folder by a path of its own.
"""

from pathlib import Path

from tests.radiographs import write_phantom
from tests.servers.pacs import FolderPacs
from tests.servers.postgresql import PrivatePostgresql
from tests.servers.product import Product, configure, destination_toml, run_command, wait_for

STUDIES = 24


def host(name: str, folder: Path, data: Path, top: str, toml: str) -> Product:
    """A machine: its data folder is the shared one, mounted elsewhere."""
    machine = configure(folder / name, toml, top=top)
    machine.settings.data_folder.symlink_to(data, target_is_directory=True)
    return machine


def screened(machine: Product) -> list[str]:
    return [event["study_instance_uid"] for event in machine.events("study_screened")]


def test_two_workers_share_the_load_and_one_finishes_what_the_other_left(
    tmp_path: Path, redis_url: str, postgresql_server: PrivatePostgresql
) -> None:
    data = tmp_path / "shared"
    data.mkdir(mode=0o700)
    with FolderPacs(tmp_path / "pacs") as pacs, postgresql_server.database() as name:
        top = f'database_url = "{postgresql_server.url(name)}"\nbroker_url = "{redis_url}"'
        toml = destination_toml("pacs", pacs.ae_title, pacs.port)
        first = host("first", tmp_path, data, top, toml)
        second = host("second", tmp_path, data, top, toml)
        try:
            assert run_command("--config", str(first.config), "db", "upgrade").returncode == 0
            first.start("listener", "dispatcher", "triage worker")
            second.start("dispatcher", "triage worker", "delivery worker")
            for machine in (first, second):
                wait_for(lambda m=machine: m.events("worker_started"), "a worker", machine.log)
            phantoms = [write_phantom(tmp_path / "in", f"study {n}", n) for n in range(STUDIES)]
            assert all(result.stored for result in first.send([one.path for one in phantoms]))
            for machine in (first, second):
                wait_for(lambda m=machine: len(screened(m)) >= 2, "its share", machine.log)
            for service in list(first.processes):
                first.kill(service)  # the machine is gone, whatever it was at
            done = [second.wait_until_finished(one.study_instance_uid) for one in phantoms]
        finally:
            first.stop()
            second.stop()

    assert all(one.outcome and one.revision == 1 for one in done)
    assert set(screened(first)) | set(screened(second)) == {
        one.study_instance_uid for one in phantoms
    }
    expected = [result.sop_instance_uid for one in done for result in one.results]
    assert sorted(set(pacs.received)) == sorted(expected)
