"""`fracture-screen certs make`: a test authority and certificates for both sides of a TLS port.

For tests and first steps; a hospital's own authority belongs in production. Calls the `openssl`
program, which every supported system has, so that no cryptography package is needed at run time.
"""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.errors import CertificatesNotMade

VALID_DAYS = 825
AUTHORITY = "authority"
_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class CertificatePair:
    """PEM files of one party."""

    name: str
    certificate: Path
    key: Path


def make_certificates(
    folder: Path, names: Sequence[str], hosts: Sequence[str], days: int = VALID_DAYS
) -> list[CertificatePair]:
    """Write authority.crt and authority.key (made where missing) and one pair per name.

    A name (an AE title) becomes the common name and a DNS alternative name; `hosts`, DNS names or
    addresses, become further alternative names of each. A pair that exists is replaced.

    Raises:
        CertificatesNotMade: openssl is missing or refuses.
    """
    if shutil.which("openssl") is None:
        raise CertificatesNotMade("the program openssl is missing: apt install openssl")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = _pair(folder, AUTHORITY)
    if not (authority.certificate.is_file() and authority.key.is_file()):
        _make_authority(authority, days)
    pairs = [_pair(folder, name) for name in names]
    for pair in pairs:
        _make_pair(pair, authority, hosts, days)
    return pairs


def _pair(folder: Path, name: str) -> CertificatePair:
    file_name = name.lower().replace(" ", "-")
    if not file_name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise CertificatesNotMade(
            f"{name!r} cannot name a file: use letters, digits, '.', '-' and '_'"
        )
    return CertificatePair(name, folder / f"{file_name}.crt", folder / f"{file_name}.key")


def _make_authority(pair: CertificatePair, days: int) -> None:
    extensions = [
        ("basicConstraints", "critical,CA:TRUE,pathlen:0"),
        ("keyUsage", "critical,keyCertSign,cRLSign"),
    ]
    _request(pair, "Fracture Screen test authority", days, extensions, [])


def _make_pair(
    pair: CertificatePair, authority: CertificatePair, hosts: Sequence[str], days: int
) -> None:
    alternatives = [f"DNS:{pair.name.replace(' ', '-')}", *map(_alternative, hosts)]
    extensions = [
        ("basicConstraints", "critical,CA:FALSE"),
        ("keyUsage", "critical,digitalSignature"),
        ("extendedKeyUsage", "serverAuth,clientAuth"),
        ("subjectAltName", ",".join(alternatives)),
    ]
    signer = ["-CA", str(authority.certificate), "-CAkey", str(authority.key)]
    _request(pair, pair.name, days, extensions, signer)


def _alternative(host: str) -> str:
    is_address = ":" in host or host.replace(".", "").isdigit()
    return f"{'IP' if is_address else 'DNS'}:{host}"


def _request(
    pair: CertificatePair,
    common_name: str,
    days: int,
    extensions: Sequence[tuple[str, str]],
    signer: Sequence[str],
) -> None:
    pair.key.unlink(missing_ok=True)
    pair.key.touch(mode=0o600)
    options = [part for key, value in extensions for part in ("-addext", f"{key}={value}")]
    command = ["openssl", "req", "-x509", "-config", "/dev/null", *_CURVE, *signer, *options]
    command += ["-subj", f"/CN={common_name}", "-days", str(days)]
    command += ["-keyout", str(pair.key), "-out", str(pair.certificate)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise CertificatesNotMade(f"openssl could not make {pair.certificate.name}: {said[0]}")
