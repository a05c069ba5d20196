import io
from pathlib import Path

import pytest
from pydicom import uid
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import write_file_meta_info

from dicom_node.incoming import Announced, IncomingDataSet, file_head
from dicom_node.result_file import MANUFACTURER
from dicom_node.spool import Spool
from dicom_node.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from tests.unit.dicom_node.instances import encoded, radiograph_dataset


@pytest.mark.parametrize("instance_uid", ["1.2.3", "1.2.34", "2.25." + "9" * 38])
def test_a_file_head_is_the_one_that_pydicom_writes(instance_uid: str) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = uid.UID(instance_uid)
    meta.TransferSyntaxUID = uid.JPEG2000Lossless
    meta.ImplementationClassUID = uid.UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    expected = io.BytesIO()
    write_file_meta_info(expected, meta)

    head = file_head(
        Announced(
            sop_class_uid=meta.MediaStorageSOPClassUID,
            sop_instance_uid=instance_uid,
            transfer_syntax_uid=uid.JPEG2000Lossless,
            calling_ae_title="MODALITY",
        )
    )

    assert head == bytes(128) + b"DICM" + expected.getvalue()


@pytest.mark.parametrize(
    ("manufacturer", "image_type", "is_ours"),
    [
        (MANUFACTURER, ["DERIVED", "SECONDARY"], True),
        (MANUFACTURER, ["ORIGINAL", "PRIMARY"], False),
        ("Other", ["DERIVED", "SECONDARY"], False),
    ],
)
def test_our_own_result_is_told_while_it_is_received(
    tmp_path: Path, manufacturer: str, image_type: list[str], is_ours: bool
) -> None:
    dataset = radiograph_dataset()
    dataset.Manufacturer, dataset.ImageType = manufacturer, image_type
    incoming = IncomingDataSet(
        Announced(
            sop_class_uid=dataset.SOPClassUID,
            sop_instance_uid=dataset.SOPInstanceUID,
            transfer_syntax_uid=uid.ExplicitVRLittleEndian,
            calling_ae_title="PACS",
        ),
        Spool(tmp_path),
    )
    incoming.write(encoded(dataset))

    assert incoming.store().is_own_result is is_ours
