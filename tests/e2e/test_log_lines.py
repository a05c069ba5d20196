"""The log of `up`: one JSON object per line, from its start over a study to its end."""

import json
import signal
import subprocess
from pathlib import Path

from tests.radiographs import write_phantom
from tests.servers.product import MakeProduct, clean_environment, command, wait_for


def test_every_line_of_the_log_is_a_json_object(make_product: MakeProduct, tmp_path: Path) -> None:
    product = make_product()
    file = product.folder / "log.jsonl"
    with file.open("ab") as log:
        up = subprocess.Popen(
            command("--config", str(product.config), "up"),
            stdout=log,
            stderr=log,
            env=clean_environment(),
        )
    try:
        wait_for(lambda: product.events("up_started"), "it started", product.log)
        wait_for(product._answers, "the listener answers", product.log)
        phantom = write_phantom(tmp_path / "in", "logged")
        assert all(result.stored for result in product.send([phantom.path]))
        product.wait_until_finished(phantom.study_instance_uid)
    finally:
        up.send_signal(signal.SIGTERM)
        assert up.wait(60) == 0

    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert all(isinstance(event, dict) for event in events)
    assert all({"event", "level", "process", "timestamp"} <= set(event) for event in events)
    names = {event["event"] for event in events}
    assert {"up_started", "listener_started", "study_screened", "up_stopped"} <= names
    said = [event["text"] for event in events if event["event"] == "printed"]
    assert "worker: Warm shutdown (MainProcess)" in said, "Celery's last words are lost"
