"""DCMTK's dcmqrscp: a second PACS to query and to fetch from, quite unlike Orthanc."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dicom_node.instance import RemoteAE
from tests.servers.dcmtk import wait_until_listening
from tests.servers.ports import free_port


@contextmanager
def running_dcmqrscp(folder: Path, modalities: dict[str, RemoteAE]) -> Iterator[RemoteAE]:
    """An empty archive in `folder`; it moves to `modalities` only."""
    remote = RemoteAE("QRSCP", "127.0.0.1", free_port())
    archive = folder / "archive"
    archive.mkdir(parents=True)
    configuration = folder / "dcmqrscp.cfg"
    hosts = "".join(
        f"{name} = ({each.ae_title}, {each.host}, {each.port})\n"
        for name, each in modalities.items()
    )
    configuration.write_text(
        f"NetworkTCPPort = {remote.port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
        f"HostTable BEGIN\n{hosts}HostTable END\nVendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\n{remote.ae_title} {archive} RW (1000, 1024mb) ANY\nAETable END\n"
    )
    with (folder / "dcmqrscp.log").open("wb") as log:
        process = subprocess.Popen(
            ["dcmqrscp", "-v", "-c", str(configuration), str(remote.port)],
            stdout=log,
            stderr=log,
        )
    try:
        wait_until_listening(remote.port)
        yield remote
    finally:
        process.terminate()
        process.wait(10)
