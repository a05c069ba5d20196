"""Passwords: what is taken, what is kept, what is checked."""

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type
from argon2.profiles import RFC_9106_LOW_MEMORY

from tests.integration.worklist_site import CHEAP
from worklist.people import passwords
from worklist.people.passwords import PasswordRefused, hash_password, rehashed, verify_password

GOOD = "correct horse battery"


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", CHEAP)
    passwords._decoy.cache_clear()


def test_a_password_is_kept_as_argon2id_by_the_recommendation_of_rfc_9106() -> None:
    kept = hash_password(GOOD, "anna")
    parameters = extract_parameters(kept)
    assert parameters.type is Type.ID
    assert parameters == RFC_9106_LOW_MEMORY
    assert GOOD not in kept
    assert verify_password(kept, GOOD)
    assert not verify_password(kept, f"{GOOD} ")


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize(
    "password",
    [
        "short",
        "elevenchars",
        "x" * 257,
        "annabelle.weber1",
        "Annabelle.Weber",
        "Password1234",
        "123456789012",
        "aaaaaaaaaaaaaaaa",
        "abababababab",
        "Administrator",
        "letmein123456",
    ],
)
def test_a_password_that_is_guessed_first_is_refused(password: str) -> None:
    with pytest.raises(PasswordRefused):
        hash_password(password, "annabelle.weber")


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize(
    "password", [GOOD, "ab! the letter a", "ünïcödé-wörter", "密码密码一二三四五六七八"]
)
def test_a_long_password_of_any_letters_is_taken(password: str) -> None:
    assert verify_password(hash_password(password, "a"), password)


@pytest.mark.usefixtures("cheap")
def test_a_letter_typed_as_two_characters_is_the_same_letter() -> None:
    assert verify_password(
        hash_password("m\u00fcller-meier-m\u00fcller", "x"), "mu\u0308ller-meier-mu\u0308ller"
    )


@pytest.mark.usefixtures("cheap")
def test_no_password_fits_no_account_or_no_hash() -> None:
    assert not verify_password(None, GOOD)
    assert not verify_password("", GOOD)
    assert not verify_password(hash_password(GOOD, "x"), "\ud800")


@pytest.mark.usefixtures("cheap")
def test_a_hash_is_renewed_when_the_parameters_have_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = hash_password(GOOD, "anna")
    assert rehashed(kept, GOOD) is None
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(2, 8, 1))
    renewed = rehashed(kept, GOOD)
    assert renewed is not None
    assert verify_password(renewed, GOOD)
