"""Where the suite's fixtures and guards come from."""

import hypothesis

pytest_plugins = [
    "tests.fixtures.guards",
    "tests.fixtures.database",
    "tests.fixtures.redis_server",
    "tests.fixtures.service",
    "tests.simulators.fixtures",
]

hypothesis.settings.register_profile("suite", deadline=None)  # speed is the benchmarks' business, never a test's
hypothesis.settings.load_profile("suite")
