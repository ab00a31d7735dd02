"""Why the embedded PostgreSQL cannot run. Each message says what to do next.

Unavailable
└── EmbeddedPostgresFailed   anything below, or the server's own words
    ├── BinariesMissing      the extra is not installed, or this platform has no wheel
    ├── HomeInUse            another process runs on the same home folder
    ├── HomeUnusable         wrong owner, not writable, no space, something moved away
    └── DataTooOld           made by a PostgreSQL of which the binaries are not here
"""

from ali.kernel.errors import Unavailable


class EmbeddedPostgresFailed(Unavailable):
    """The embedded PostgreSQL did not start or did not stay up."""

    code = "embedded_postgres_failed"


class BinariesMissing(EmbeddedPostgresFailed):
    """No PostgreSQL binaries for this platform are installed."""

    code = "embedded_postgres_missing"


class HomeInUse(EmbeddedPostgresFailed):
    """Another process holds this home folder's PostgreSQL."""

    code = "home_in_use"


class HomeUnusable(EmbeddedPostgresFailed):
    """The home folder cannot hold a database as it is."""

    code = "home_unusable"


class DataTooOld(EmbeddedPostgresFailed):
    """The data folder's PostgreSQL version has no binaries here."""

    code = "embedded_postgres_version"
