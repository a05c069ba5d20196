"""100 readers at the worklist while triage goes on, and what each costs the other.

Run by hand: `python -m tests.bench.readers [--readers 100] [--seconds 120]`. Services as processes
on the embedded broker and SQLite, 20,000 studies in the ledger. Each reader keeps a list open that
hears of new studies, and goes from the list to a study and its pictures and back, thinking between
one page and the next. The same pages by one reader, and the same studies without any, are taken in
the same run.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import httpx

from dicom_node.instance import ReceivedInstance
from dicom_node.received import describe_file
from tests.bench.sweep import AT_REST, Triage
from tests.bench.worklist import fill
from tests.servers.product import Product, configure, wait_for
from tests.worklist_people import session_cookie
from worker.composition import open_database, utc_now
from worker.offline import wrap_picture
from worker.phantom import draw_phantom
from worker.worklist_parts import make_parts

SERVICES = ("listener", "dispatcher", "triage worker", "worklist")
ALONE_S = 20
PICTURES = 24
THINK_S = (4.0, 12.0)


@dataclass
class Ward:
    """What readers look at, and how long each answer took, in seconds by kind of page."""

    address: str
    studies: Sequence[tuple[str, str]]
    """(Study, SOP) Instance UIDs with pictures."""
    waits: dict[str, list[float]] = field(default_factory=dict)
    failed: int = 0

    async def get(self, client: httpx.AsyncClient, kind: str, path: str) -> None:
        began = time.monotonic()
        answer = await client.get(path)
        if answer.status_code != 200:
            self.failed += 1
        self.waits.setdefault(kind, []).append(time.monotonic() - began)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--readers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--studies", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        product = configure(Path(name) / "product")
        try:
            measure(product, options.readers, options.seconds, options.studies)
        finally:
            product.stop()


def measure(product: Product, readers: int, seconds: float, studies: int) -> None:
    """Triage at rest, pages by one reader, then all at once."""
    engine = open_database(product.settings)
    fill(engine, studies)
    cookies = session_cookie(make_parts(product.settings, engine))
    product.start(*SERVICES)
    shown = _screen(product)
    triage = Triage(product, product.folder / "triage")
    triage.one()  # until the worker has loaded everything
    own = product.settings.worklist
    address = f"http://{own.host}:{own.port}"
    wait_for(lambda: _answers(address), "the worklist answers", product.log)
    at_rest = [triage.one() for _ in range(AT_REST)]
    alone, together = Ward(address, shown), Ward(address, shown)
    asyncio.run(_read(alone, 1, ALONE_S, cookies, (0.0, 0.1)))
    beside: list[float] = []
    sending = threading.Thread(target=triage.go_on, args=(beside,))
    sending.start()
    asyncio.run(_read(together, readers, seconds, cookies, THINK_S))
    triage.over.set()
    sending.join()
    _print(alone, together, readers, seconds)
    ratio = statistics.median(beside) / statistics.median(at_rest)
    print(
        f"triage: at rest median {statistics.median(at_rest):.2f} s; beside {readers} readers "
        f"median {statistics.median(beside):.2f} s, p95 {_p95(beside):.2f} s (n {len(beside)}), "
        f"ratio {ratio:.2f}"
    )


def _print(alone: Ward, together: Ward, readers: int, seconds: float) -> None:
    answers = sum(map(len, together.waits.values()))
    print(f"{readers} readers: {answers / seconds:.1f} answers/s, {together.failed} failed")
    for kind, waits in together.waits.items():
        one, all_ = statistics.median(alone.waits[kind]), statistics.median(waits)
        print(
            f"  {kind}: one reader median {one * 1000:.0f} ms; {readers} readers median "
            f"{all_ * 1000:.0f} ms, p95 {_p95(waits) * 1000:.0f} ms (n {len(waits)}), "
            f"ratio {all_ / one:.1f}"
        )


def _screen(product: Product) -> list[tuple[str, str]]:
    sent = [_phantom(product.folder / "shown", seed) for seed in range(1, PICTURES + 1)]
    product.send([one.path for one in sent])
    for one in sent:
        product.wait_until_finished(one.study_instance_uid)
    return [(one.study_instance_uid, one.sop_instance_uid) for one in sent]


def _phantom(folder: Path, seed: int) -> ReceivedInstance:
    """As large as the demo's, and with a fracture: such have heatmaps."""
    folder.mkdir(exist_ok=True)
    picture = folder / f"{seed}.png"
    cv2.imwrite(str(picture), draw_phantom(seed, fractured=True))
    return describe_file(wrap_picture(picture, folder, utc_now()), "XRAYROOM1")


async def _read(
    ward: Ward, readers: int, seconds: float, cookies: dict[str, str], think_s: tuple[float, float]
) -> None:
    everyone = [_reader(ward, number, cookies, think_s) for number in range(readers)]
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*everyone), seconds)


async def _reader(
    ward: Ward, number: int, cookies: dict[str, str], think_s: tuple[float, float]
) -> None:
    chance = random.Random(number)
    async with httpx.AsyncClient(base_url=ward.address, cookies=cookies, timeout=60) as client:
        hearing = asyncio.create_task(_hear(client))
        try:
            await asyncio.sleep(chance.uniform(0, think_s[1]))
            while True:
                await _look_through(ward, client, chance, think_s)
        finally:
            hearing.cancel()


async def _look_through(
    ward: Ward, client: httpx.AsyncClient, chance: random.Random, think_s: tuple[float, float]
) -> None:
    await ward.get(client, "list", chance.choice(("/", "/?outcome=POSITIVE", "/?body_part=HAND")))
    await asyncio.sleep(chance.uniform(*think_s))
    study, image = chance.choice(ward.studies)
    pictures = f"/studies/{study}/images/{image}/1"
    await ward.get(client, "study", f"/studies/{study}")
    await asyncio.gather(
        ward.get(client, "radiograph", f"{pictures}/radiograph.png"),
        ward.get(client, "heatmap", f"{pictures}/heatmap.png"),
    )
    await asyncio.sleep(chance.uniform(*think_s))


async def _hear(client: httpx.AsyncClient) -> None:
    """As the browser does: it comes again when the stream ends."""
    while True:
        async with client.stream("GET", "/events", timeout=None) as answer:
            async for _ in answer.aiter_bytes():
                pass
        await asyncio.sleep(5)


def _answers(address: str) -> bool:
    try:
        return httpx.get(address + "/sign-in", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def _p95(waits: Sequence[float]) -> float:
    return statistics.quantiles(waits, n=20)[-1]


if __name__ == "__main__":
    main()
