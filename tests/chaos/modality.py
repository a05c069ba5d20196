"""The sender of the chaos run: repeats what was not acknowledged, as a modality does."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dicom_node.instance import RemoteAE
from dicom_node.storage_scu import StoreResult, send_instances

_PAUSE_S = 0.3
_PATIENCE_S = 180


@dataclass
class Modality:
    """Sends in the background; `acknowledged` maps SOP Instance UIDs to the files sent."""

    node: RemoteAE
    acknowledged: dict[str, Path] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    """Statuses other than success and out of resources."""
    threads: list[threading.Thread] = field(default_factory=list)

    def send(self, paths: Sequence[Path]) -> None:
        """Send until every instance is acknowledged."""
        thread = threading.Thread(target=self._send, args=(list(paths),), daemon=True)
        thread.start()
        self.threads.append(thread)

    def wait(self) -> None:
        """Return once everything is acknowledged; AssertionError if it never is."""
        for thread in self.threads:
            thread.join(_PATIENCE_S)
            assert not thread.is_alive(), "instances are still not acknowledged"

    def _send(self, paths: list[Path]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while paths and time.monotonic() < deadline:
            results = send_instances(
                self.node,
                paths,
                calling_ae_title="TESTMODALITY",
                timeout_s=5,
                on_result=self._note,
            )
            paths = [result.path for result in results if not result.stored]
            if paths:
                time.sleep(_PAUSE_S)

    def _note(self, result: StoreResult) -> None:
        if result.status == 0x0000:
            self.acknowledged[result.sop_instance_uid] = result.path
        elif result.status not in (None, 0xA700):
            self.refused.append(f"0x{result.status:04X}")
