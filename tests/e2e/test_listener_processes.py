"""`listen --processes N` and `certs make`, as their users run them."""

import os
import signal
import subprocess
import time
from pathlib import Path

from dicom_node.storage_scu import send_instances
from tests.radiographs import write_phantom
from tests.servers.product import MakeProduct, Product, clean_environment, command, run_command


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _start(product: Product, *options: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        command("--config", str(product.config), "listen", *options),
        stderr=(product.folder / "log.jsonl").open("ab"),
        env=clean_environment(),
    )
    product.processes["listener"] = process
    deadline = time.monotonic() + 60
    while len(product.events("listener_started")) < 2:
        assert time.monotonic() < deadline, product.log()
        assert process.poll() is None, product.log()
        time.sleep(0.1)
    return process


def test_two_processes_share_the_port_and_one_that_dies_is_started_again(
    make_product: MakeProduct, tmp_path: Path
) -> None:
    product = make_product()
    parent = _start(product, "--processes", "2")
    paths = [write_phantom(tmp_path / "in", "shared", n).path for n in range(1, 9)]
    for path in paths[:4]:
        assert all(each.stored for each in product.send([path]))

    victim = _children(parent.pid)[0]
    os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while len(product.events("listener_started")) < 3:
        assert time.monotonic() < deadline, product.log()
        time.sleep(0.1)
    for path in paths[4:]:
        assert all(
            each.stored
            for each in send_instances(product.node, [path], calling_ae_title="TESTMODALITY")
        )

    assert len(list(product.ledger.instance_paths())) == len(paths)


def test_a_port_in_use_is_an_error_even_for_processes_that_share_theirs(
    make_product: MakeProduct,
) -> None:
    product = make_product()
    product.start("listener")

    done = run_command("--config", str(product.config), "listen", "--processes", "2")

    assert done.returncode == 2
    assert "in use" in done.stderr


def test_certs_make_writes_an_authority_and_a_pair_per_name(tmp_path: Path) -> None:
    done = run_command("certs", "make", str(tmp_path / "certs"), "--name", "CT1")

    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "certs").iterdir()}
    assert names == {"authority.crt", "authority.key", "ct1.crt", "ct1.key"}
    assert (tmp_path / "certs" / "ct1.key").stat().st_mode & 0o077 == 0
