"""From C-STORE to the results in Orthanc: seconds per study, at rest and in a burst.

Run by hand: `python -m tests.bench.end_to_end`. The peer in the same run is a plain sequential
script over the same files (`fracture-screen screen`, model loading left out): the ratio says what
network, ledger, broker and delivery cost.
"""

import statistics
import tempfile
import time
from pathlib import Path

from tests.radiographs import Phantom, write_phantom
from tests.servers.orthanc import running_orthanc
from tests.servers.product import Product, configure, destination_toml
from worker.composition import make_screener, utc_now
from worker.offline import Output, screen_files
from worker.settings import load_settings

SINGLE, BURST = 10, 60


def main() -> None:
    """Print latency, throughput and the ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        phantoms = [write_phantom(folder / "in", f"bench {n}", n) for n in range(SINGLE + BURST)]
        alone_s = sequential(phantoms, folder / "alone")
        (folder / "orthanc").mkdir()
        with running_orthanc(folder / "orthanc") as orthanc:
            remote = orthanc.remote
            toml = destination_toml("orthanc", remote.ae_title, remote.port)
            product = configure(folder / "product", toml)
            product.start()
            try:
                warm_up(product, folder)
                latencies = [latency(product, one) for one in phantoms[:SINGLE]]
                burst_s = burst(product, phantoms[SINGLE:])
            finally:
                product.stop()
    quiet = product.settings.study.quiet_period_s
    print(
        f"one study, C-STORE to the last result in Orthanc: median "
        f"{statistics.median(latencies):.2f} s, of which {quiet} s quiet period\n"
        f"burst of {BURST} studies: {burst_s / BURST:.3f} s per study\n"
        f"sequential script, no network: {alone_s:.3f} s per study\n"
        f"ratio burst / sequential: {burst_s / BURST / alone_s:.2f}"
    )


def sequential(phantoms: list[Phantom], out: Path) -> float:
    """Seconds per study of the offline pipeline, result objects included."""
    screener = make_screener(load_settings())
    files = [one.path for one in phantoms]
    screen_files(files[:2], screener, Output(out / "warm"), clock=utc_now)
    started = time.monotonic()
    screen_files(files, screener, Output(out), clock=utc_now)
    return (time.monotonic() - started) / len(files)


def warm_up(product: Product, folder: Path) -> None:
    """Until the workers have loaded everything."""
    phantom = write_phantom(folder / "in", "warm up", 99)
    product.send([phantom.path])
    product.wait_until_finished(phantom.study_instance_uid)


def latency(product: Product, phantom: Phantom) -> float:
    """Seconds for one study while nothing else is going on."""
    started = time.monotonic()
    product.send([phantom.path])
    product.wait_until_finished(phantom.study_instance_uid)
    return time.monotonic() - started


def burst(product: Product, phantoms: list[Phantom]) -> float:
    """Seconds until the last of many studies sent at once is finished."""
    started = time.monotonic()
    product.send([one.path for one in phantoms])
    for one in phantoms:
        product.wait_until_finished(one.study_instance_uid)
    return time.monotonic() - started


if __name__ == "__main__":
    main()
