"""A private Orthanc: a real PACS on free ports with its database in a temporary folder."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dicom_node.instance import RemoteAE
from tests.servers.dcmtk import wait_until_listening
from tests.servers.ports import free_port

ORTHANC = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")

needs_orthanc = pytest.mark.skipif(ORTHANC is None, reason="needs Orthanc (apt install orthanc)")


@dataclass(frozen=True, slots=True)
class Orthanc:
    """A running Orthanc: its DICOM side as `remote`, its REST side by the methods."""

    remote: RemoteAE
    http_port: int

    def get(self, path: str) -> Any:  # Any: whatever JSON the REST API answers
        """GET a REST resource, such as `/studies`."""
        return self._request("GET", path, None)

    def post(self, path: str, body: object) -> Any:  # Any: as for get
        """POST JSON, or bytes as they are."""
        return self._request("POST", path, body)

    def put(self, path: str, body: object) -> None:
        """PUT JSON."""
        self._request("PUT", path, body)

    def download(self, orthanc_instance_id: str) -> bytes:
        """The DICOM file of an instance."""
        return self._open("GET", f"/instances/{orthanc_instance_id}/file", None)

    def upload(self, path: Path) -> str:
        """Put a DICOM file into the PACS; returns Orthanc's own instance id."""
        return str(self.post("/instances", path.read_bytes())["ID"])

    def know_modality(self, name: str, remote: RemoteAE) -> None:
        """Enter a modality, so that Orthanc can store to it and accepts queries from it."""
        entry = {"AET": remote.ae_title, "Host": remote.host, "Port": remote.port}
        self.put(f"/modalities/{name}", entry)

    def store_to(self, name: str, *orthanc_ids: str) -> dict[str, Any]:
        """C-STORE studies, series or instances to a modality; raises HTTPError when refused."""
        return dict(self.post(f"/modalities/{name}/store", list(orthanc_ids)))

    def sop_instance_uids(self) -> set[str]:
        """SOP Instance UIDs of all that the PACS holds."""
        instances = self.get("/instances?expand")
        return {instance["MainDicomTags"]["SOPInstanceUID"] for instance in instances}

    def wait_for_instances(self, count: int, timeout_s: float = 30) -> set[str]:
        """SOP Instance UIDs once there are at least `count`; TimeoutError if never."""
        deadline = time.monotonic() + timeout_s
        while len(found := self.sop_instance_uids()) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(found)} of {count} instances after {timeout_s} s")
            time.sleep(0.1)
        return found

    def _request(self, method: str, path: str, body: object) -> Any:  # Any: as for get
        answer = self._open(method, path, body)
        return json.loads(answer) if answer.strip() else None

    def _open(self, method: str, path: str, body: object) -> bytes:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.http_port}{path}"
        request = urllib.request.Request(url, data=data, method=method)
        with urllib.request.urlopen(request, timeout=60) as response:
            return bytes(response.read())


@contextmanager
def running_orthanc(
    folder: Path, modalities: dict[str, RemoteAE] | None = None, **settings: object
) -> Iterator[Orthanc]:
    """Orthanc with its files in `folder`; `settings` override its configuration file."""
    assert ORTHANC is not None, "Orthanc is not installed"
    remote = RemoteAE("ORTHANC", "127.0.0.1", free_port())
    orthanc = Orthanc(remote, free_port())
    configuration = folder / "orthanc.json"
    configuration.write_text(
        json.dumps(_configuration(folder, orthanc, modalities or {}) | settings)
    )
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([ORTHANC, str(configuration)], stdout=log, stderr=log)
    try:
        wait_until_listening(orthanc.http_port)
        wait_until_listening(remote.port)
        yield orthanc
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    """A fresh, empty Orthanc."""
    folder = tmp_path / "orthanc"
    folder.mkdir()
    with running_orthanc(folder) as server:
        yield server


def _configuration(
    folder: Path, orthanc: Orthanc, modalities: dict[str, RemoteAE]
) -> dict[str, object]:
    return {
        "Name": "tests",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "Plugins": [],
        "HttpPort": orthanc.http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": orthanc.remote.ae_title,
        "DicomPort": orthanc.remote.port,
        "DicomModalities": {
            name: [ae.ae_title, ae.host, ae.port] for name, ae in modalities.items()
        },
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomCheckCalledAet": False,
        "StableAge": 1,
        "OverwriteInstances": False,
        "SynchronousCMove": True,
    }
