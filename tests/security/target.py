"""The listener in a process of its own, so that an attack's cost can be read from /proc."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

from dicom_node import listener_transport
from dicom_node.access import AccessList, Peer, Role
from dicom_node.instance import ReceivedInstance, RemoteAE
from dicom_node.listener_guard import MIB, ListenerLimits
from dicom_node.listener_tls import TlsCredentials, TlsFiles
from dicom_node.receiver import Receipt
from dicom_node.spool import Spool
from dicom_node.storage_scp import StorageScp, TlsPort
from worker.logs import configure_logging

DEADLINE_S = 2
INSTANCE_LIMIT = 8 * MIB
PER_PEER = 6


@dataclass(frozen=True)
class Target:
    """A listener under attack."""

    plain: int
    tls: int
    certificates: Path
    pid: int

    @property
    def remote(self) -> RemoteAE:
        return RemoteAE("SCREEN", "127.0.0.1", self.plain)

    @property
    def rss_mib(self) -> float:
        return self._status("VmRSS") / 1024

    @property
    def peak_mib(self) -> float:
        return self._status("VmHWM") / 1024

    @property
    def threads(self) -> int:
        return self._status("Threads")

    @property
    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def reset_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def _status(self, name: str) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))


@contextmanager
def running_target(folder: Path, certificates: Path) -> Iterator[Target]:
    """Start it, with short deadlines; stop it."""
    command = [sys.executable, "-m", "tests.security.target", str(folder), str(certificates)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ports = json.loads(process.stdout.readline())
        try:
            yield Target(ports["plain"], ports["tls"], certificates, process.pid)
        finally:
            process.stdin.close()
            process.wait(30)


def _accept(instance: ReceivedInstance) -> Receipt:
    return Receipt.ACCEPTED


def _access() -> AccessList:
    loopback = (ip_network("127.0.0.0/8"),)
    store = frozenset({Role.STORE})
    return AccessList(
        "SCREEN",
        (
            Peer("innocent", "INNOCENT", loopback, store),
            Peer("attacker", "ATTACKER", loopback, store),
            Peer("asker", "ASKER", loopback, frozenset({Role.QUERY})),
            Peer("bound", "BOUND", loopback, store, certificate_names=("modality.hospital",)),
        ),
    )


def main(folder: Path, certificates: Path) -> None:
    configure_logging("target", sys.stderr)
    listener_transport.REQUEST_DEADLINE_S = DEADLINE_S
    listener_transport.HANDSHAKE_DEADLINE_S = DEADLINE_S
    listener_transport.PDU_DEADLINE_S = DEADLINE_S
    files = TlsFiles(
        certificates / "screen.crt", certificates / "screen.key", certificates / "authority.crt"
    )
    scp = StorageScp(
        ae_title="SCREEN",
        host="127.0.0.1",
        port=0,
        tls=TlsPort(0, TlsCredentials(files)),
        spool=Spool(folder),
        sink=_accept,
        access=_access(),
        limits=ListenerLimits(
            associations_per_peer=PER_PEER, instance_bytes=INSTANCE_LIMIT, message_s=DEADLINE_S
        ),
        maximum_associations=12,
    )
    with scp:
        print(json.dumps({"plain": scp.port, "tls": scp.tls_port}), flush=True)
        sys.stdin.read()
        scp.stop(0.1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
