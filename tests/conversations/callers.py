"""Callers for tests of conversations: OpenAI's SDK in both its forms, plain requests, and what others do meanwhile."""

from typing import Any
from uuid import UUID

import aiohttp
import openai
import psycopg

from ali.kernel.ids import uuid7
from tests.fixtures.database import Tenant
from tests.fixtures.service import Service

TIMEOUT = aiohttp.ClientTimeout(total=10)


def sdk(service: Service, *, secret: str | None = None, retries: int = 0) -> openai.AsyncOpenAI:
    """OpenAI's SDK, which validates what it gets."""
    return openai.AsyncOpenAI(
        base_url=service.openai_base_url,
        api_key=secret or service.tenant.secret,
        max_retries=retries,
        _strict_response_validation=True,
    )


async def call(
    service: Service, method: str, path: str, *, json: object = None, secret: str | None = None
) -> tuple[int, Any]:
    """A plain request under `/v1/conversations`; the answer's status and body."""
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT) as session,
        session.request(
            method,
            f"{service.url}/v1/conversations{path}",
            headers={"authorization": f"Bearer {secret or service.tenant.secret}"},
            json=json,
        ) as response,
    ):
        return response.status, await response.json()


def said(words: str, *, role: str = "user") -> dict[str, Any]:
    """A message as callers write it."""
    return {"role": role, "content": words}


def text_of(item: Any) -> str:  # noqa: ANN401 - one of the SDK's many kinds of items
    """What a message that came back says."""
    text: str = item.content[0].text
    return text


def claim(tenant: Tenant, conversation: str, *, ago: str = "0 s", alive: bool = False, kept: str | None = None) -> None:
    """A response began to run in the conversation, in another process, which may still be `alive`.

    `kept`: the status of the response, where it is one that is kept.
    """
    instance, response = uuid7(), uuid7()
    with psycopg.connect(tenant.dsn) as connection:
        if alive:
            connection.execute("insert into ali.service_instance (id) values (%s)", (instance,))
        if kept is not None:
            connection.execute(
                "insert into ali.response (id, organization_id, project_id, status, background, head, input, output)"
                " values (%s, %s, %s, %s, true, '', '', '')",
                (response, tenant.organization_id, tenant.project_id, kept),
            )
        connection.execute(
            "update ali.conversation set claimed_by = %s, claim_instance_id = %s, claimed_at = now() - %s::interval"
            " where id = %s",
            (response, instance, ago, UUID(conversation.removeprefix("conv_"))),
        )


def release(tenant: Tenant, conversation: str) -> None:
    """The response has ended."""
    with psycopg.connect(tenant.dsn) as connection:
        connection.execute(
            "update ali.conversation set claimed_by = null, claim_instance_id = null, claimed_at = null where id = %s",
            (UUID(conversation.removeprefix("conv_")),),
        )
