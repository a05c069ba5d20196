"""Takes a DICOM file of any folder into the spool, as if it had been received. Reads only."""

from pathlib import Path

from pydicom import Dataset

from dicom_node.errors import UnreadableInstance
from dicom_node.header import split_file
from dicom_node.incoming import Announced, IncomingDataSet
from dicom_node.receiver import Answer, Receiver

_PIECE = 1024 * 1024


def take_in(path: Path, receiver: Receiver, header: Dataset, sender: str) -> Answer:
    """The answer that a sender of the file would get.

    The data set's bytes are taken as they are; file meta information is ours, so that the digest is
    that of the same instance received by C-STORE.

    Raises:
        UnreadableInstance: no file meta information, or it does not tell the transfer syntax.
        OSError: it cannot be read.
    """
    split = split_file(path)
    if split is None or split[0] is None:
        raise UnreadableInstance("no file meta information: encoding not known")
    transfer_syntax, offset = split
    said = Announced(
        sop_class_uid=str(header.get("SOPClassUID") or ""),
        sop_instance_uid=str(header.get("SOPInstanceUID") or ""),
        transfer_syntax_uid=str(transfer_syntax),
        calling_ae_title=sender,
    )
    incoming = IncomingDataSet(said, receiver.spool)
    with path.open("rb") as file:
        file.seek(offset)
        while piece := file.read(_PIECE):
            incoming.write(piece)
    return receiver.answer(incoming, sender)
