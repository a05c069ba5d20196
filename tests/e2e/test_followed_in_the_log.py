"""One instance through the log of all processes, from its association to its delivery, by ids."""

import re
import subprocess
from pathlib import Path
from typing import Any

from tests.paths import REPOSITORY
from tests.radiographs import write_phantom
from tests.servers.product import MakeProduct, Product, destination_toml
from tests.servers.scripted_pacs import ScriptedPacs

PAGE = REPOSITORY / "docs" / "operations.md"


def events_with(product: Product, **ids: str) -> list[dict[str, Any]]:
    """The log's events that bear these ids, in their order in time."""
    lines = (product.folder / "log.jsonl").read_text().splitlines()
    names = set(re.findall(r'"event": "(\w+)"', "\n".join(lines)))
    events = [event for name in names for event in product.events(name)]
    found = [each for each in events if all(each.get(k) == v for k, v in ids.items())]
    return sorted(found, key=lambda each: str(each["timestamp"]))


def test_an_instance_is_followed_from_its_association_to_its_delivery_by_ids_alone(
    make_product: MakeProduct, tmp_path: Path
) -> None:
    with ScriptedPacs() as pacs:
        product = make_product(destination_toml("pacs", "PACS", pacs.port))
        product.start()
        one = write_phantom(tmp_path / "in", "followed")
        other = write_phantom(tmp_path / "in", "another")
        product.send([one.path])
        product.send([other.path])
        product.wait_until_finished(one.study_instance_uid)
        product.wait_until_finished(other.study_instance_uid)

    (registered,) = events_with(product, sop_instance_uid=one.sop_instance_uid)
    association = registered["association"]
    came = events_with(product, association=association)
    assert [each["event"] for each in came] == ["association_accepted", "instance_registered"]
    assert came[0]["calling_ae_title"] == "TESTMODALITY"
    assert came[0]["address"] == "127.0.0.1"

    after = events_with(product, study_instance_uid=registered["study_instance_uid"])
    names = [each["event"] for each in after]
    assert names[:2] == ["instance_registered", "study_screened"]
    assert set(names[2:]) == {"result_sent"}
    sent = {each["sop_instance_uid"] for each in after if each["event"] == "result_sent"}
    summary = product.ledger.study_summary(one.study_instance_uid)
    assert summary is not None
    assert sent == {result.sop_instance_uid for result in summary.results}

    assert_that_the_pages_lines_find_them(product, one.sop_instance_uid, len(after))


def test_two_associations_and_what_was_refused_on_each_are_told_apart(
    make_product: MakeProduct, tmp_path: Path
) -> None:
    product = make_product()
    product.start("listener")
    phantom = write_phantom(tmp_path / "in", "refused")
    broken = tmp_path / "in" / "broken.dcm"
    product.send([phantom.path])
    broken.write_bytes(phantom.path.read_bytes().replace(b"HAND", b"FOOT"))
    product.send([broken])

    (conflict,) = product.events("instance_conflict")
    accepted = [each["association"] for each in product.events("association_accepted")]
    assert len(set(accepted)) == len(accepted)
    events = [each["event"] for each in events_with(product, association=conflict["association"])]
    assert events == ["association_accepted", "instance_registered", "instance_conflict"]


def assert_that_the_pages_lines_find_them(product: Product, uid: str, count: int) -> None:
    (block,) = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    lines = block.splitlines()
    lines[0] = f"uid={uid}"
    done = subprocess.run(
        ["sh", "-euc", "\n".join(lines)], cwd=product.folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    # Once by its own UID, then with all the rest of its study.
    assert len(done.stdout.splitlines()) == 1 + count
