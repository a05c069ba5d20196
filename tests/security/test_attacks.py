"""Each attack costs what it may, is over at its deadline, and nobody else notices."""

import time
from pathlib import Path

import pytest

from tests.security.attacks import ATTACKS, Attack
from tests.security.observer import FREED_WITHIN_S, observe
from tests.security.target import Target

PATIENCE_S = 8.0
"""Far below what the attacks would need if they blocked anybody; this machine may be busy."""


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name.replace(" ", "-"))
def test_an_attack_costs_little_and_nobody_else_notices(
    target: Target, instance: Path, attack: Attack
) -> None:
    cost = observe(attack, target, instance)

    assert cost.refused == 0, "an innocent peer was refused"
    assert cost.slowest_s < PATIENCE_S, "an innocent peer had to wait"
    assert cost.freed_s is not None, "slots or threads were not freed"
    assert cost.peak_mib < attack.memory_mib, "memory"


def test_hundreds_of_bare_probes_leave_no_descriptor_and_no_thread(
    target: Target, instance: Path
) -> None:
    probes = next(attack for attack in ATTACKS if attack.name == "bare probes")
    observe(probes, target, instance)
    descriptors, threads, memory = target.descriptors, target.threads, target.rss_mib

    for _ in range(3):
        observe(probes, target, instance)

    deadline = time.monotonic() + FREED_WITHIN_S
    while target.descriptors > descriptors or target.threads > threads:
        assert time.monotonic() < deadline, "descriptors or threads were not freed"
        time.sleep(0.05)
    assert target.rss_mib < memory + 20
