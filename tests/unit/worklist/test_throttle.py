"""The throttle of failed sign-ins per address."""

from datetime import UTC, datetime, timedelta

from worklist.people.throttle import SignInThrottle

NOW = datetime(2026, 1, 31, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def throttle(addresses: int = 100) -> SignInThrottle:
    return SignInThrottle(failures=2, within=5 * MINUTE, addresses=addresses)


def test_one_failure_too_many_waits_until_the_oldest_is_forgotten() -> None:
    one = throttle()
    assert one.admit("192.0.2.1", NOW) is None
    assert one.admit("192.0.2.1", NOW + MINUTE) is None
    assert one.admit("192.0.2.1", NOW + 2 * MINUTE) == 3 * MINUTE
    assert one.admit("192.0.2.2", NOW + 2 * MINUTE) is None
    assert one.admit("192.0.2.1", NOW + 5 * MINUTE) is None


def test_a_success_does_not_count() -> None:
    one = throttle()
    for _ in range(10):
        assert one.admit("192.0.2.1", NOW) is None
        one.forgive("192.0.2.1")


def test_addresses_of_one_ipv6_network_are_one() -> None:
    one = throttle()
    for number in range(2):
        assert one.admit(f"2001:db8::{number}", NOW) is None
    assert one.admit("2001:db8::abcd", NOW) == 5 * MINUTE
    assert one.admit("2001:db8:0:1::1", NOW) is None


def test_what_is_no_address_is_counted_as_it_is() -> None:
    one = throttle()
    assert [one.admit("", NOW) for _ in range(3)] == [None, None, 5 * MINUTE]


def test_not_more_addresses_are_remembered_than_may_be() -> None:
    one = throttle(addresses=3)
    for number in range(10):
        one.admit(f"192.0.2.{number}", NOW)
    assert len(one._seen) == 3
