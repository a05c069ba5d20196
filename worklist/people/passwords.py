"""Passwords: which are taken, and how they are hashed and checked (argon2id, RFC 9106).

Checking costs the same whether there is such an account or not, and only so many are checked at
once: each takes 64 MiB and tens of milliseconds of several cores.
"""

import secrets
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST = 12
LONGEST = 256
"""Both in characters."""

_AT_ONCE = 2
_LONGEST_WAIT_S = 20.0
_FEWEST_KINDS = 5
_COMMONEST = (
    "123456789012",
    "12345678901234567890",
    "1234qwerasdf",
    "1q2w3e4r5t6y",
    "1qaz2wsx3edc",
    "abcdefghijkl",
    "administrator",
    "changemenow",
    "fracturescreen",
    "hospital",
    "iloveyou",
    "letmein",
    "passphrase",
    "password",
    "passwort",
    "qwertyuiop",
    "radiologist",
    "radiology",
    "roentgen",
    "welcome",
)
_hasher = PasswordHasher()  # argon2-cffi's recommendation: RFC 9106, low memory
_turns = threading.BoundedSemaphore(_AT_ONCE)


class PasswordRefused(Exception):
    """A password is too easy to guess; the message says what is asked for."""


class TooBusy(Exception):
    """So many passwords are being checked that this one has to be sent again later."""


def hash_password(password: str, name: str) -> str:
    """The hash to keep, for an account of that name. PasswordRefused: too easy to guess."""
    _check(_normal(password), name)
    return _hasher.hash(_encoded(password))


def verify_password(password_hash: str | None, password: str) -> bool:
    """Whether it is the password of that hash; None: of no account, at the same cost.

    TooBusy: it did not get its turn within 20 s.
    """
    known = _decoy() if password_hash is None else password_hash
    with _turn():
        try:
            fits = _hasher.verify(known, _encoded(password))
        except (VerificationError, InvalidHashError):
            return False
    return fits and password_hash is not None


def rehashed(password_hash: str, password: str) -> str | None:
    """The hash under the parameters of today; None: it has them."""
    if not _hasher.check_needs_rehash(password_hash):
        return None
    return _hasher.hash(_encoded(password))


def _check(password: str, name: str) -> None:
    if len(password) < SHORTEST:
        raise PasswordRefused(f"a password needs at least {SHORTEST} characters")
    if len(password) > LONGEST:
        raise PasswordRefused(f"a password has at most {LONGEST} characters")
    folded = password.casefold()
    if name.casefold() in folded and len(name) * 2 > len(password):
        raise PasswordRefused("a password must not be the account's name with a few characters")
    letters = "".join(filter(str.isalpha, folded))
    if folded in _COMMONEST or letters in _COMMONEST or len(set(folded)) < _FEWEST_KINDS:
        raise PasswordRefused("that password is among the first that are guessed: take another")


@contextmanager
def _turn() -> Iterator[None]:
    if not _turns.acquire(timeout=_LONGEST_WAIT_S):
        raise TooBusy("too many sign-ins at once")
    try:
        yield
    finally:
        _turns.release()


@cache
def _decoy() -> str:
    return _hasher.hash(secrets.token_bytes())


def _encoded(password: str) -> bytes:
    return _normal(password).encode("utf-8", "surrogatepass")


def _normal(password: str) -> str:
    """The same for "ü" typed as one character and as two (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password)
