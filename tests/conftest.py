"""Where the suite's fixtures and guards come from."""

pytest_plugins = [
    "tests.fixtures.guards",
    "tests.fixtures.database",
    "tests.fixtures.service",
    "tests.simulators.fixtures",
]
