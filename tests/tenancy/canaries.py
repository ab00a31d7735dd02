"""Values that would be recognised anywhere, the places where each may stand, and the search for them."""

import base64
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, quote_plus

import psycopg

_SHORTEST: Final = 12
"""Of a piece that is searched for: shorter ones stand anywhere by chance."""


def _word(kind: str) -> str:
    return f"Canary{kind}{secrets.token_hex(8)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """A value and the columns in which it may stand (`table.column`); nowhere else, and in no other form."""

    name: str
    value: str
    columns: frozenset[str] = frozenset()


_SAID: Final = frozenset(
    {
        *("conversation_item.body", "response.head", "response.input", "response.output", "response_event.body"),
        *("chat_completion.messages", "chat_completion.answer"),
    }
)
_NAMES: Final = frozenset({"project.name", "api_key.name", "service_account.name", "vector_store.name"})

PASTED: Final = Canary(
    name="a secret pasted into the wrong field",
    value="sk-" + _word("Pasted"),
    columns=_NAMES
    | _SAID
    | {
        "conversation.metadata",
        "chat_completion.metadata",
        "batch.metadata",
        "batch.anthropic_beta",
        "batch.model",
        "file.name",
        "upload.name",
        *("vector_store.description", "vector_store.metadata", "store_file.attributes"),
    }
    | {"approval.reason", "approval.target", "api_key.allowed_models", "rate_limit.model"},  # texts that people choose
)
PASSWORD: Final = Canary(name="a password", value=_word("Password"))
TOTP: Final = Canary(name="a TOTP secret", value=base64.b32encode(secrets.token_bytes(20)).decode())
CPF: Final = Canary(name="a CPF", value="390.533.447-05", columns=_SAID)
PROMPT: Final = Canary(name="a prompt", value=_word("Prompt"), columns=_SAID)
LABEL: Final = Canary(
    name="a label",
    value=_word("Label"),
    columns=frozenset({"conversation.metadata", "chat_completion.metadata", "batch.metadata"})
    | {"vector_store.metadata", "store_file.attributes"},
)
IDEMPOTENCY_KEY: Final = Canary(name="an idempotency key", value=_word("Key"))
PROVIDER_KEY: Final = Canary(name="a provider's key", value="sk-" + _word("Provider"))
NAME: Final = Canary(name="a name", value=_word("Name"), columns=_NAMES)
EMAIL: Final = Canary(
    name="an address of e-mail",
    value=f"canary{secrets.token_hex(8)}@example.org",
    columns=frozenset({"user_account.email", "invite.email"}),
)
REASON: Final = Canary(name="a reason", value=_word("Reason"), columns=frozenset({"approval.reason"}))
TARGET: Final = Canary(name="a target", value=_word("Target"), columns=frozenset({"approval.target"}))
WEBHOOK: Final = Canary(name="a webhook's token", value=_word("Webhook"), columns=frozenset({"budget.webhook_url"}))
NETWORK: Final = Canary(name="a network", value="198.51.100.208/29", columns=frozenset({"api_key.allowed_networks"}))
MODEL: Final = Canary(
    name="a model's name", value=_word("Model"), columns=frozenset({"api_key.allowed_models", "usage_record.model"})
)

CANARIES: Final = (
    *(PASTED, PASSWORD, TOTP, CPF, PROMPT, IDEMPOTENCY_KEY, PROVIDER_KEY, NAME, EMAIL, REASON, TARGET, WEBHOOK),
    *(NETWORK, MODEL, LABEL),
)

FITTING: Final[Mapping[str, Any]] = {
    "name": NAME.value,
    "email": EMAIL.value,
    "reason": REASON.value,
    "target": TARGET.value,
    "webhook_url": f"https://hooks.example.org/{WEBHOOK.value}",
    "allowed_networks": [NETWORK.value],
    "allowed_models": [MODEL.value],
    "messages": [{"role": "user", "content": f"{PROMPT.value}, CPF {CPF.value}"}],
    "input": f"{PROMPT.value}, CPF {CPF.value}",
    "items": [{"role": "user", "content": f"{PROMPT.value}, CPF {CPF.value}"}],
    "metadata": {"about": LABEL.value},
    "password": PASSWORD.value,
    "new_password": PASSWORD.value,
    "code": TOTP.value,
}
"""What stands in the fields of these names where a request is to succeed."""

UNKNOWN: Final = {"password": PASSWORD.value, "totp_secret": TOTP.value, "cpf": CPF.value}
"""Fields that hardly a body has."""

HEADERS: Final = (
    *("cookie", "user-agent", "referer", "x-request-id", "x-forwarded-for", "traceparent", "openai-organization"),
    *("openai-project", "ali-approval", "anthropic-version", "anthropic-beta", "x-ali-cache-ttl", "content-type"),
    *("authorization", "x-api-key", "origin", "accept", "x-forwarded-host"),
)


def forms_of(value: str) -> Iterator[bytes]:
    """`value` as it may have been written: plain, escaped for a URL or for JSON, in hex, in base64 at any offset."""
    plain = value.encode()
    yield from (plain, quote(value, safe="").encode(), quote_plus(value).encode(), json.dumps(value)[1:-1].encode())
    yield plain.hex().encode()
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + plain)
        whole = coded[(0, 2, 3)[shift] :].rstrip(b"=")[:-1]  # characters that depend on nothing but the value
        if len(whole) >= _SHORTEST:
            yield whole
            yield whole.translate(bytes.maketrans(b"+/", b"-_"))


def found_in(text: bytes, values: Mapping[str, str]) -> set[str]:
    """The names of those `values` that stand in `text`, in whatever form."""
    lower = text.lower()
    return {
        name
        for name, value in values.items()
        if value.lower().encode() in lower or any(form in text for form in forms_of(value))
    }


def cells_of(dsn: str) -> Iterator[tuple[str, bytes]]:
    """The whole content of each column of the schema, by `table.column`, as a dump would have it."""
    with psycopg.connect(dsn) as connection:
        columns = connection.execute(
            "select table_name, column_name from information_schema.columns where table_schema = 'ali'"
        ).fetchall()
        for table, column in columns:
            query = psycopg.sql.SQL("copy (select {} from ali.{}) to stdout").format(
                psycopg.sql.Identifier(column), psycopg.sql.Identifier(table)
            )
            with connection.cursor().copy(query) as copied:
                yield f"{table}.{column}", b"".join(bytes(piece) for piece in copied)


def secrets_in(body: bytes) -> Iterator[str]:
    """The secrets that an answer shows, this once."""
    yield from (found.decode() for found in re.findall(rb'"(?:value|ali_link_token|secret)":"([^"]{16,})"', body))
