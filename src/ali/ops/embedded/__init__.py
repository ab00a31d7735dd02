"""A PostgreSQL of our own, for who has none: its files, its credentials and its process, from a wheel's binaries."""

from ali.ops.embedded.errors import BinariesMissing, DataTooOld, EmbeddedPostgresFailed, HomeInUse, HomeUnusable
from ali.ops.embedded.server import EmbeddedPostgres, start

__all__ = [
    "BinariesMissing",
    "DataTooOld",
    "EmbeddedPostgres",
    "EmbeddedPostgresFailed",
    "HomeInUse",
    "HomeUnusable",
    "start",
]
