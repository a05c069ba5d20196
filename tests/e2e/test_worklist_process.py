"""`fracture-screen worklist` as a process: it serves, over TLS where it is told to, and it ends."""

import signal
import ssl
from pathlib import Path

import httpx
import pytest

from tests.servers.ports import free_port
from tests.servers.product import MakeProduct, Product, wait_for
from worker.certificates import make_certificates

CANARY = "Canary-Patient"


def address(product: Product) -> str:
    own = product.settings.worklist
    scheme = "https" if own.tls_certificate_file else "http"
    return f"{scheme}://{own.host}:{own.port}"


def answer(product: Product, path: str, verify: ssl.SSLContext | bool = True) -> httpx.Response:
    def ask() -> httpx.Response | None:
        try:
            return httpx.get(address(product) + path, verify=verify)
        except httpx.TransportError:
            return None

    return wait_for(ask, "the worklist answers", product.log)


def test_who_has_not_signed_in_is_sent_to_and_no_log_tells_what_was_searched(
    make_product: MakeProduct,
) -> None:
    product = make_product()
    product.start("worklist")
    refused = answer(product, f"/?q={CANARY}")
    assert refused.status_code == 303
    assert refused.headers["location"].startswith("/sign-in")
    assert refused.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in refused.headers["content-security-policy"]
    assert "server" not in refused.headers
    assert answer(product, f"/api/studies?q={CANARY}").status_code == 401
    assert "javascript" in answer(product, "/static/study.js").headers["content-type"]

    process = product.processes["worklist"]
    product.kill("worklist", signal.SIGTERM)
    assert process.returncode == 0
    assert product.events("worklist_serves")
    assert CANARY not in (product.folder / "log.jsonl").read_text()


def test_it_is_served_by_tls_alone_where_a_certificate_is_set(
    make_product: MakeProduct, tmp_path: Path
) -> None:
    (pair,) = make_certificates(tmp_path / "certificates", ["WORKLIST"], ["127.0.0.1"])
    product = make_product(
        f'[worklist]\nport = {free_port()}\ntls_certificate_file = "{pair.certificate}"\n'
        f'tls_key_file = "{pair.key}"\n'
    )
    product.start("worklist")
    trusted = ssl.create_default_context(cafile=str(pair.certificate.with_name("authority.crt")))
    assert answer(product, "/", trusted).status_code == 303
    with pytest.raises(httpx.TransportError):
        httpx.get(address(product).replace("https", "http"))


def test_a_port_in_use_ends_it_with_an_error(make_product: MakeProduct) -> None:
    first = make_product()
    first.start("worklist")
    answer(first, "/")
    second = make_product(f"[worklist]\nport = {first.settings.worklist.port}\n")
    second.start("worklist")
    assert second.processes["worklist"].wait(120) != 0
    assert str(first.settings.worklist.port) in second.log()
