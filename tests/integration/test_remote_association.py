"""Why there is no association is told truly, however the threads of pynetdicom interleave."""

import time

import pytest
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at run time

from dicom_node.errors import AssociationFailed
from dicom_node.remote_association import open_association
from dicom_node.retry_classes import TransportProblem
from tests.servers.scripted_pacs import ScriptedPacs


def test_a_rejection_that_comes_before_it_is_waited_for_is_told_as_one() -> None:
    late = (evt.EVT_REQUESTED, lambda event: time.sleep(0.5))  # the thread that waits for it
    contexts = [(Verification, ImplicitVRLittleEndian)]
    with (
        ScriptedPacs(require_calling=["SOMEBODY"]) as pacs,
        pytest.raises(AssociationFailed, match="rejected") as failed,
        open_association(pacs.remote, "NOBODY", contexts, 10, [late]),
    ):
        pass
    assert failed.value.problem is TransportProblem.REJECTED_PERMANENT
