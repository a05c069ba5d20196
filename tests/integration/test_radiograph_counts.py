"""Counts of radiographs by body part, device and sender, of the current analyses."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Engine

from db.radiograph_counts import NotAnalysedShare, RadiographCounts
from db.records import NewFinding
from tests.unit.db.ledger_factories import Bench, instance_uid, make_conclusion

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")
DAY = timedelta(days=1)


def finding(number: int, body_part: str, device: str, *, analysed: bool) -> NewFinding:
    read = NewFinding(
        instance_uid(1, number), 1, True, probability=0.1, body_part_examined=body_part,
        device=device,
    )  # fmt: skip
    return read if analysed else replace(read, analysed=False, probability=None, reason="no pixels")


def test_radiographs_are_counted_by_body_part_device_and_sender(ledger_engine: Engine) -> None:
    bench = Bench(ledger_engine)
    report = NewFinding(instance_uid(1, 4), 0, False, "not a CR or DX image")
    findings = (
        finding(1, "HAND", "Maker A", analysed=True),
        finding(2, "", "Maker B", analysed=False),
        finding(3, "HAND", "Maker B", analysed=False),
        report,
    )
    bench.conclude(make_conclusion(findings=findings))
    counts, before = RadiographCounts(ledger_engine), bench.clock() - DAY

    assert dict(counts.by_body_part()) == {"HAND": 2, "": 1}
    by_device = counts.not_analysed_since(before, 2)
    assert by_device == [NotAnalysedShare("device Maker B", 2, 2)]
    assert by_device[0].share == 1
    found = counts.not_analysed_since(before, 1)
    senders = [one for one in found if one.origin.startswith("sender ")]
    assert [(one.not_analysed, one.radiographs) for one in senders] == [(0, 1)]
    assert counts.not_analysed_since(bench.clock() + DAY, 1) == []
