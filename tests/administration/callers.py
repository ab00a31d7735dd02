"""Callers for tests of administration: keys of an organization, people with keys of their own, and the SDK for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiohttp
import openai
import psycopg

from ali.features.identity.naming import Kind, named
from ali.features.keys.secret import digest, hint, mint
from ali.kernel.ids import uuid7
from tests.fixtures.database import HMAC_SECRET, Tenant, make_tenant
from tests.fixtures.service import Service

MISSING = uuid7()
"""An identifier of nothing."""

Query = Sequence[tuple[str, str | int]]

TIMEOUT = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody of an organization and a key of theirs."""

    id: UUID
    email: str
    secret: str

    @property
    def name(self) -> str:
        """Their identifier outside."""
        return named(Kind.USER, self.id)


def add_key(
    tenant: Tenant,
    *,
    role: str = "owner",
    project: UUID | None = None,
    user: UUID | None = None,
    permissions: list[str] | None = None,
    models: list[str] | None = None,
    networks: list[str] | None = None,
) -> str:
    """A key of `tenant`'s organization, or of a project of it; its secret."""
    secret = mint()
    with psycopg.connect(tenant.dsn) as connection:
        connection.execute(
            "insert into ali.api_key (id, organization_id, project_id, user_id, name, role, permissions,"
            " allowed_models, allowed_networks, digest, hint)"
            " values (%s, %s, %s, %s, 'Test key', %s, %s, %s, %s, %s, %s)",
            (
                *(uuid7(), tenant.organization_id, project, user, role, permissions, models, networks),
                *(digest(secret, hmac_secret=HMAC_SECRET.encode()), hint(secret)),
            ),
        )
    return secret


def add_person(
    tenant: Tenant, *, role: str, project: UUID | None = None, projects: dict[UUID, str] | None = None
) -> Person:
    """A person with `role` in the organization and in `projects`, and a key of theirs, of `project` or of no one."""
    user_id = uuid7()
    email = f"{user_id.hex}@example.org"
    with psycopg.connect(tenant.dsn) as connection:
        connection.execute(
            "insert into ali.user_account (id, organization_id, email, name, role) values (%s, %s, %s, 'Ana', %s)",
            (user_id, tenant.organization_id, email, role),
        )
        for member_of, part in (projects or {}).items():
            connection.execute(
                "insert into ali.project_member (project_id, user_id, organization_id, role) values (%s, %s, %s, %s)",
                (member_of, user_id, tenant.organization_id, part),
            )
    return Person(id=user_id, email=email, secret=add_key(tenant, role="owner", user=user_id, project=project))


def add_project(tenant: Tenant) -> UUID:
    """A further project of `tenant`'s organization."""
    project = uuid7()
    with psycopg.connect(tenant.dsn) as connection:
        connection.execute(
            "insert into ali.project (id, organization_id, name) values (%s, %s, 'Second')",
            (project, tenant.organization_id),
        )
    return project


def another_tenant(tenant: Tenant) -> Tenant:
    """Somebody else's organization in the same database."""
    return make_tenant(tenant.dsn)


def sdk(service: Service, secret: str) -> openai.AsyncOpenAI:
    """OpenAI's SDK with `secret` as the key of administration; it validates what it gets and tries once."""
    return openai.AsyncOpenAI(
        base_url=service.openai_base_url,
        api_key="unused",
        admin_api_key=secret,
        max_retries=0,
        _strict_response_validation=True,
    )


async def call(
    service: Service, secret: str, method: str, path: str, *, json: object = None, params: Query = ()
) -> tuple[int, Any]:
    """A plain request under `/v1/organization`; the answer's status and body."""
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT) as session,
        session.request(
            method,
            f"{service.url}/v1/organization{path}",
            headers={"authorization": f"Bearer {secret}"},
            json=json,
            params=list(params),
        ) as response,
    ):
        return response.status, await response.json(content_type=None)


def code_of(answer: tuple[int, Any]) -> tuple[int, str | None]:
    """An answer's status and its error's code; None where it is none."""
    status, body = answer
    return status, body.get("error", {}).get("code")


def audited(tenant: Tenant) -> list[tuple[Any, ...]]:
    """What the audit record has of the organization, oldest first: action, actor's kind, target, detail."""
    with psycopg.connect(tenant.dsn) as connection:
        return connection.execute(
            "select action, actor_kind, target_id, detail from ali.audit_event where organization_id = %s order by id",
            (tenant.organization_id,),
        ).fetchall()
