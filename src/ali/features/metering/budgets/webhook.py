"""The message that a threshold was crossed: its body, and the signature that shows whom it is from.

Signed as the Standard Webhooks specification has it, which is also how OpenAI signs its own: the official SDK's
`client.webhooks.unwrap(body, headers, secret=…)` checks it. Source: standardwebhooks.com, "Specification", version 1.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, Protocol
from uuid import UUID

import orjson

from ali.features.metering.budgets.naming import budget_name
from ali.features.metering.scopes import scope_name

EVENT: Final = "budget.threshold_crossed"
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how a secret of this kind begins


class Post(Protocol):
    """How a message leaves the service: the composition root passes the guarded client of outbound addresses."""

    async def __call__(self, url: str, *, body: bytes, headers: Mapping[str, str]) -> int:
        """The answer's HTTP status, redirects not followed. Raises `AliError` or OSError where there is none.

        Bounds its own time, at most `DEADLINE_S` of it, and what it reads of the answer.
        """
        ...


DEADLINE_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A threshold that was crossed, as the database tells it to one process at a time."""

    budget_id: UUID
    period_start: date
    percent: int
    organization_id: UUID
    scope_kind: str
    scope_id: UUID
    period: str
    mode: str
    spent_microusd: int
    limit_microusd: int
    webhook_url: str | None
    attempts: int
    """This one included."""
    created_at: datetime

    @property
    def name(self) -> str:
        """The message's identifier: the same at each repetition, so that a receiver can drop them."""
        return f"evt_{self.budget_id.hex}_{self.period_start:%Y%m%d}_{self.percent}"


def secret_of(organization_id: UUID, *, hmac_secret: bytes) -> str:
    """The secret under which an organization's messages are signed, as `whsec_…`: derived, so it is stored nowhere."""
    digest = hmac.digest(hmac_secret, b"ali budget webhook 1\0" + organization_id.bytes, hashlib.sha256)
    return _SECRET_PREFIX + base64.b64encode(digest).decode()


def body_of(notice: Notice) -> bytes:
    """The message: an event in OpenAI's form."""
    event: dict[str, Any] = {
        "id": notice.name,
        "object": "event",
        "type": EVENT,
        "created_at": int(notice.created_at.timestamp()),
        "data": {
            "id": budget_name(notice.budget_id),
            "scope": {"kind": notice.scope_kind, "id": scope_name(notice.scope_kind, notice.scope_id)},
            "period": notice.period,
            "period_start": int(datetime.combine(notice.period_start, datetime.min.time(), UTC).timestamp()),
            "mode": notice.mode,
            "percent": notice.percent,
            "limit_microusd": notice.limit_microusd,
            "spent_microusd": notice.spent_microusd,
        },
    }
    return orjson.dumps(event)


def signed_headers(name: str, body: bytes, *, secret: str, now: datetime) -> dict[str, str]:
    """The headers of a message: its name, the second at which it is sent, and the signature over both and the body."""
    timestamp = str(int(now.timestamp()))
    key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX))
    signature = hmac.digest(key, f"{name}.{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "content-type": "application/json",
        "user-agent": "ali-api",
        "webhook-id": name,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(signature).decode(),
    }
