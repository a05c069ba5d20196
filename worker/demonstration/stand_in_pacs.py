"""A small PACS for the demonstration: keeps what it receives as received/<study>/<uid>.dcm."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dicom_node.instance import ReceivedInstance
from dicom_node.receiver import Receipt
from dicom_node.spool import Spool
from dicom_node.storage_scp import StorageScp

AE_TITLE = "DEMOPACS"


@contextmanager
def stand_in_pacs(folder: Path) -> Iterator[int]:
    """Serve a Storage SCP on loopback; yields its port."""
    received = received_folder(folder)

    def keep(instance: ReceivedInstance) -> Receipt:
        study = received / instance.study_instance_uid
        study.mkdir(parents=True, exist_ok=True)
        target = study / f"{instance.sop_instance_uid}.dcm"
        if target.exists():
            return Receipt.DUPLICATE
        shutil.move(instance.path, target)
        return Receipt.ACCEPTED

    spool = Spool(folder / "spool")
    with StorageScp(ae_title=AE_TITLE, host="127.0.0.1", port=0, spool=spool, sink=keep) as pacs:
        yield pacs.port


def received_folder(folder: Path) -> Path:
    """Return the folder of all that the PACS in `folder` has received."""
    return folder / "received"
