"""A PACS that takes connections and says nothing holds up no other destination."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

from db.session import make_engine
from tests.servers.product import MakeProduct, Product, wait_for
from tests.servers.scripted_pacs import ScriptedPacs
from tests.unit.db.ledger_factories import Bench, make_conclusion, make_result, study_uid
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance
from worker.app import make_celery
from worker.dispatch import Dispatcher

STUDIES = 8
TIMEOUT_S = 6
TOML = f"""
[delivery]
timeout_s = {TIMEOUT_S}
lease_s = {4 * TIMEOUT_S}
[[destinations]]
name = "mute"
ae_title = "PACS"
host = "127.0.0.1"
port = {{mute}}
[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = {{pacs}}
"""


def test_a_silent_pacs_delays_no_other_destination(make_product: MakeProduct) -> None:
    mute = ScriptedPacs(before_answer=lambda reception: time.sleep(2 * TIMEOUT_S))
    with mute, ScriptedPacs() as pacs:
        product = make_product(TOML.format(mute=mute.port, pacs=pacs.port))
        product.start("delivery worker")
        wait_for(lambda: len(product.events("worker_started")) == 2, "workers run", product.log)
        for study in range(1, STUDIES + 1):
            _conclude(product, study)
        began = time.monotonic()
        with _dispatching(product):
            wait_for(lambda: len(pacs.received) == STUDIES, "the other PACS has all", product.log)
            waited = time.monotonic() - began
        assert len(mute.received) > 0, "the silent PACS was not even called"
    assert waited < TIMEOUT_S, f"waited {waited:.1f} s, so at least once for the silent one"


@contextmanager
def _dispatching(product: Product) -> Iterator[None]:
    settings, stop = product.settings, Event()
    celery = make_celery(settings)
    dispatcher = Dispatcher(product.ledger, celery, settings.study, settings.delivery)
    thread = Thread(target=dispatcher.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _conclude(product: Product, study: int) -> None:
    """A study with one result on disk that is due for both destinations."""
    engine = make_engine(product.settings.effective_database_url)
    bench = Bench(engine)
    bench.clock.now = datetime.now(UTC) - timedelta(hours=1)
    dataset = radiograph_dataset(study)
    dataset.StudyInstanceUID = study_uid(study)
    path = write_instance(dataset, product.settings.results_folder / f"{study}.dcm")
    result = replace(
        make_result(1, study),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        sop_class_uid=str(dataset.SOPClassUID),
        path=str(Path("results") / path.name),
    )
    conclusion = make_conclusion(results=(result,), destinations=("mute", "pacs"))
    claim = bench.claim(study)
    assert bench.ledger.conclude(claim, conclusion, bench.clock())
    engine.dispose()
