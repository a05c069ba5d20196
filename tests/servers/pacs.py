"""A destination that remembers what it got, and can be told to refuse."""

from pathlib import Path

from dicom_node.instance import ReceivedInstance
from dicom_node.receiver import Receipt
from dicom_node.spool import Spool
from dicom_node.storage_scp import StorageScp


class FolderPacs:
    """Counts every object that arrives, repeated ones too."""

    ae_title = "TESTPACS"

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.received: list[str] = []
        self.refusing = False
        self._scp = StorageScp(
            ae_title=self.ae_title,
            host="127.0.0.1",
            port=port,
            spool=Spool(folder),
            sink=self._keep,
        )

    @property
    def port(self) -> int:
        return self._scp.port

    def _keep(self, instance: ReceivedInstance) -> Receipt:
        if self.refusing:
            raise RuntimeError("told to refuse")
        self.received.append(instance.sop_instance_uid)
        return Receipt.ACCEPTED

    def __enter__(self) -> "FolderPacs":
        self._scp.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._scp.stop(1)
