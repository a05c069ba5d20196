"""Fixtures of all tests: the private servers stand in tests/servers."""

pytest_plugins = (
    "tests.servers.postgresql",
    "tests.servers.databases",
    "tests.servers.redis",
    "tests.servers.orthanc",
    "tests.servers.product",
)
