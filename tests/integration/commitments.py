"""Both sides of a storage commitment: a requestor that takes reports, and our provider."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StorageCommitmentPushModel,
)
from sqlalchemy import Engine

from db.ledger import Ledger
from dicom_node.access import ANYBODY, AccessList
from dicom_node.commitment import CommitmentProvider
from dicom_node.commitment_scu import CommitmentReport, request_commitment
from dicom_node.instance import RemoteAE
from dicom_node.spool import Spool
from dicom_node.storage_scp import StorageScp
from dicom_node.storage_scu import send_instances
from worker.commitments import keeper
from worker.composition import utc_now
from worker.intake import Intake


@dataclass
class Requestor:
    """A modality's own listener for reports; `status` is what it answers."""

    reports: list[tuple[int, Dataset]] = field(default_factory=list)
    roles: list[tuple[bool, bool]] = field(default_factory=list)
    status: int = 0x0000

    def report(self, event: evt.Event) -> tuple[int, None]:
        proposed = event.assoc.requestor.role_selection.get(StorageCommitmentPushModel)
        self.roles.append((bool(proposed.scu_role), bool(proposed.scp_role)))
        self.reports.append((event.event_type, event.event_information))
        return self.status, None

    @contextmanager
    def listening(self, tls: ssl.SSLContext | None = None) -> Iterator[RemoteAE]:
        ae = AE("MODALITY")
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
        handlers = [(evt.EVT_N_EVENT_REPORT, self.report)]
        server = ae.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=tls
        )
        assert server is not None
        try:
            yield RemoteAE("MODALITY", "127.0.0.1", server.server_address[1])
        finally:
            server.shutdown()

    def wait(self, count: int = 1) -> tuple[int, Dataset]:
        deadline = time.monotonic() + 20
        while len(self.reports) < count:
            assert time.monotonic() < deadline, "no report"
            time.sleep(0.02)
        return self.reports[-1]


@dataclass
class Provider:
    """Our side: listener, ledger, provider; `address` is where reports go.

    `commitments`, where given, reports instead of one that looks at `address`.
    """

    folder: Path
    engine: Engine
    address: RemoteAE | None = None
    access: AccessList = ANYBODY
    commitments: CommitmentProvider | None = None

    @contextmanager
    def running(self, *, reporting: bool = True) -> Iterator[RemoteAE]:
        spool = Spool(self.folder / "spool")
        intake = Intake(Ledger(self.engine, utc_now), spool, self.folder)
        commitments = self.commitments or CommitmentProvider(
            self.folder / "commitments",
            "SCREEN",
            keeper(self.engine, self.folder),
            lambda title: self.address if title == "MODALITY" else None,
            poll_s=0.05,
        )
        with StorageScp(
            ae_title="SCREEN",
            host="127.0.0.1",
            port=0,
            spool=spool,
            sink=intake.register,
            access=self.access,
            commitments=commitments,
        ) as scp:
            if reporting:
                commitments.start()
            yield RemoteAE("SCREEN", "127.0.0.1", scp.port)
            commitments.stop()

    @property
    def waiting(self) -> list[Path]:
        return list((self.folder / "commitments").iterdir())


def store(node: RemoteAE, path: Path) -> None:
    (sent,) = send_instances(node, [path], calling_ae_title="MODALITY")
    assert sent.stored


def ask(
    node: RemoteAE,
    *references: tuple[str, str],
    on_report: Callable[[CommitmentReport], bool] = lambda report: True,
    wait_s: float = 0,
) -> bool:
    return request_commitment(
        node, references, "1.2.3.99", on_report, calling_ae_title="MODALITY", wait_s=wait_s
    )


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)
