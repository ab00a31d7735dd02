"""Where the suite's fixtures and guards come from."""

import importlib.util

pytest_plugins = [
    "tests.fixtures.guards",
    "tests.fixtures.database",
    "tests.fixtures.service",
    *(["tests.simulators.fixtures"] if importlib.util.find_spec("tests.simulators.fixtures") else []),
]
