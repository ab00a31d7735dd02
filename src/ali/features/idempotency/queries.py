"""The four statements of idempotent requests, each a function with its owner's rights and one round trip.

`%b` sends binary: an answer of 8 MiB would be twice that as text.
"""

from typing import Final

CLAIM: Final = (
    "select outcome, status, answer from ali.claim_request(%b, %b, %b, %b, %b, %b, make_interval(secs => %b::float8),"
    " make_interval(secs => %b::float8))"
)
"""One row: `claimed`, `taken_over`, `running`, `reused`, or `done` with status and sealed answer (NULL: not kept)."""

SETTLE: Final = "select ali.settle_request(%b, %b, %b, %b, %b::smallint, %b)"

RELEASE: Final = "select ali.release_request(%b, %b, %b, %b)"

FORGET: Final = "select ali.forget_requests(%b::integer)"
"""Delete at most so many expired rows, and say how many."""
