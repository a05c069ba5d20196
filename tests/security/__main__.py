"""`python -m tests.security`: every attack, what it sends, what it costs us, what others notice."""

import sys
import tempfile
from pathlib import Path

from tests.security.attacks import ATTACKS
from tests.security.observer import observe
from tests.security.target import running_target
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance
from worker.certificates import make_certificates


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_certificates(folder / "certs", ["SCREEN", "ATTACKER"], ["localhost"])
        instance = write_instance(radiograph_dataset(), folder / "a.dcm")
        with running_target(folder / "spool", folder / "certs") as target:
            print("attack | sends | s | CPU s | peak MiB | kept MiB | threads | freed after s")
            chosen = [each for each in ATTACKS if not sys.argv[1:] or each.name in sys.argv[1:]]
            for attack in chosen:
                cost = observe(attack, target, instance)
                print(
                    f"{attack.name} | {attack.sends} | {cost.seconds:.1f} | {cost.cpu_s:.1f} | "
                    f"{cost.peak_mib:.0f} | {cost.kept_mib:.0f} | {cost.threads_at_most} | "
                    f"{cost.freed_s} | others: {cost.served} served, {cost.refused} refused, "
                    f"slowest {cost.slowest_s:.2f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
