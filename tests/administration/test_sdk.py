"""OpenAI's SDK, in strict mode, as the judge of what administration answers."""

from collections.abc import AsyncIterator

import openai
import pytest
from openai.types.admin.organization import AuditLogListResponse

from tests.administration.callers import add_key, add_person, audited, sdk
from tests.fixtures.database import Tenant
from tests.fixtures.service import Serve, Service


@pytest.fixture
async def running(serve: Serve) -> AsyncIterator[Service]:
    async with serve(drain_s=1) as service:
        yield service


@pytest.fixture
async def client(running: Service, tenant: Tenant) -> AsyncIterator[openai.AsyncOpenAI]:
    """The SDK with an owner's key of the organization."""
    async with sdk(running, add_key(tenant)) as client:
        yield client


async def test_projects_are_made_listed_renamed_and_archived(client: openai.AsyncOpenAI, tenant: Tenant) -> None:
    projects = client.admin.organization.projects
    made = [await projects.create(name=f"Project {n}") for n in range(3)]
    assert made[0].id.startswith("proj_")
    assert made[0].status == "active"
    assert (await projects.retrieve(made[1].id)).name == "Project 1"
    assert (await projects.update(made[1].id, name="Other")).name == "Other"
    archived = await projects.archive(made[2].id)
    assert (archived.status, archived.archived_at is not None) == ("archived", True)
    assert (await projects.archive(made[2].id)).archived_at == archived.archived_at
    listed = [project.id async for project in projects.list(limit=1)]
    assert listed == [f"proj_{tenant.project_id.hex}", made[0].id, made[1].id]
    everything = [project.id async for project in projects.list(limit=2, include_archived=True)]
    assert everything == [*listed, made[2].id]
    with pytest.raises(openai.ConflictError) as refused:
        await projects.update(made[2].id, name="No")
    assert refused.value.code == "project_archived"
    assert [row[0] for row in audited(tenant)] == [*["project.created"] * 3, "project.updated", "project.archived"]


async def test_members_are_added_changed_and_removed(client: openai.AsyncOpenAI, tenant: Tenant) -> None:
    users = client.admin.organization.projects.users
    project = f"proj_{tenant.project_id.hex}"
    one, other = add_person(tenant, role="member"), add_person(tenant, role="member")
    added = await users.create(project, role="member", user_id=one.name)
    assert (added.id, added.role, added.email) == (one.name, "member", one.email)
    assert (await users.create(project, role="owner", email=other.email.upper())).id == other.name
    with pytest.raises(openai.ConflictError) as refused:
        await users.create(project, role="member", user_id=one.name)
    assert refused.value.code == "member_exists"
    assert (await users.update(one.name, project_id=project, role="developer")).role == "developer"
    assert (await users.retrieve(one.name, project_id=project)).role == "developer"
    assert [user.id async for user in users.list(project, limit=1)] == [one.name, other.name]
    gone = await users.delete(one.name, project_id=project)
    assert gone.deleted
    for again in (users.delete, users.retrieve):
        with pytest.raises(openai.NotFoundError):
            await again(one.name, project_id=project)
    assert [user.id async for user in users.list(project)] == [other.name]


async def test_people_are_listed_changed_and_removed(client: openai.AsyncOpenAI, tenant: Tenant) -> None:
    users = client.admin.organization.users
    people = [add_person(tenant, role=role) for role in ("owner", "member", "developer")]
    assert [user.id async for user in users.list(limit=2)] == [person.name for person in people]
    assert [user.role async for user in users.list()] == ["owner", "reader", "developer"]
    assert [user.id async for user in users.list(emails=[people[1].email])] == [people[1].name]
    assert (await users.update(people[1].name, role="owner")).role == "owner"
    assert (await users.update(people[1].name, role="reader")).role == "reader"
    assert (await users.delete(people[2].name)).deleted
    with pytest.raises(openai.NotFoundError):
        await users.retrieve(people[2].name)
    with pytest.raises(openai.ConflictError) as refused:
        await users.delete(people[0].name)
    assert refused.value.code == "last_owner"


async def test_invitations_are_sent_listed_and_withdrawn(client: openai.AsyncOpenAI, tenant: Tenant) -> None:
    invites = client.admin.organization.invites
    project = f"proj_{tenant.project_id.hex}"
    sent = await invites.create(email="Ana@Example.org", role="reader", projects=[{"id": project, "role": "member"}])
    assert (sent.email, sent.status, sent.role) == ("ana@example.org", "pending", "reader")
    assert sent.projects[0].id == project
    assert sent.model_extra is not None
    assert sent.model_extra["ali_link_token"].startswith("ali_inv_")
    with pytest.raises(openai.ConflictError) as refused:
        await invites.create(email="ana@example.org", role="owner")
    assert refused.value.code == "invite_exists"
    read = await invites.retrieve(sent.id)
    assert (read.model_extra or {}) == {}, "the link is shown once"
    assert [invite.id async for invite in invites.list()] == [sent.id]
    assert (await invites.delete(sent.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await invites.delete(sent.id)
    assert (await invites.create(email="ana@example.org", role="owner")).id != sent.id


async def test_service_accounts_bring_a_key_and_end_with_it(
    client: openai.AsyncOpenAI, running: Service, tenant: Tenant
) -> None:
    accounts = client.admin.organization.projects.service_accounts
    project = f"proj_{tenant.project_id.hex}"
    made = await accounts.create(project, name="CI", expires_in_seconds=3600)
    assert made.api_key is not None
    assert made.api_key.expires_at is not None
    assert made.id.startswith("svc_acct_")
    bare = await accounts.create(project, name="Bare", create_service_account_only=True)
    assert bare.api_key is None
    further = await accounts.api_keys.create(made.id, project_id=project, name="Second")
    assert [account.id async for account in accounts.list(project, limit=1)] == [made.id, bare.id]
    assert (await accounts.update(bare.id, project_id=project, name="Named", role="owner")).role == "owner"
    assert (await accounts.retrieve(bare.id, project_id=project)).name == "Named"
    owners = [key.owner async for key in client.admin.organization.projects.api_keys.list(project)]
    assert {owner.service_account.id for owner in owners if owner.service_account} == {made.id}
    async with openai.AsyncOpenAI(base_url=running.openai_base_url, api_key=further.value, max_retries=0) as program:
        assert (await program.models.list()).data
    assert (await accounts.delete(made.id, project_id=project)).deleted
    with pytest.raises(openai.NotFoundError):
        await accounts.delete(made.id, project_id=project)
    remaining = [key.owner.service_account async for key in client.admin.organization.projects.api_keys.list(project)]
    assert remaining == [None]


async def test_keys_of_a_project_are_listed_narrowed_and_revoked(client: openai.AsyncOpenAI, tenant: Tenant) -> None:
    keys = client.admin.organization.projects.api_keys
    project = f"proj_{tenant.project_id.hex}"
    person = add_person(tenant, role="member", project=tenant.project_id)
    listed = [key async for key in keys.list(project, limit=1)]
    assert [key.owner.type for key in listed] == [None, "user"]
    assert listed[1].owner_project_access == "inactive", "they are no member"
    assert listed[1].owner.user is not None
    assert listed[1].owner.user.email == person.email
    assert listed[0].redacted_value.endswith(tenant.secret[-4:])
    narrowed = await keys.update(listed[0].id, project_id=project, scopes=["inference"], expires_in_seconds=60)
    assert narrowed.expires_at is not None
    assert (narrowed.model_extra or {})["permissions"] == ["inference"]
    widened = await keys.update(listed[0].id, project_id=project, scopes=[])
    assert (widened.model_extra or {})["permissions"] is None
    assert widened.expires_at == narrowed.expires_at
    assert (await keys.retrieve(listed[0].id, project_id=project)).id == listed[0].id
    assert (await keys.delete(listed[0].id, project_id=project)).deleted
    for again in (keys.delete, keys.retrieve):
        with pytest.raises(openai.NotFoundError):
            await again(listed[0].id, project_id=project)


async def test_keys_of_the_organization_are_made_and_revoked(
    client: openai.AsyncOpenAI, running: Service, tenant: Tenant
) -> None:
    keys = client.admin.organization.admin_api_keys
    made = await keys.create(name="Operations", expires_in_seconds=600)
    async with sdk(running, made.value) as admin:
        assert [project.id async for project in admin.admin.organization.projects.list()]
    assert (await keys.retrieve(made.id)).redacted_value.endswith(made.value[-4:])
    assert made.id in [key.id async for key in keys.list(limit=1, order="desc")]
    assert (await keys.delete(made.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await keys.delete(made.id)


async def test_the_audit_log_tells_who_did_what(client: openai.AsyncOpenAI, tenant: Tenant) -> None:
    organization = client.admin.organization
    person = add_person(tenant, role="member")
    project = await organization.projects.create(name="Audited")
    await organization.projects.users.create(project.id, role="member", user_id=person.name)
    await organization.users.update(person.name, role="owner")
    await organization.projects.archive(project.id)
    logs = organization.audit_logs

    async def types(**filters: object) -> list[str]:
        listed: list[AuditLogListResponse] = [entry async for entry in logs.list(limit=2, **filters)]  # type: ignore[arg-type] # any of the SDK's
        return [entry.type for entry in listed]

    everything = ["project.archived", "user.updated", "user.added", "project.created"]
    assert await types() == everything
    assert await types(project_ids=[project.id]) == ["project.archived", "user.added", "project.created"]
    assert await types(event_types=["user.updated", "user.added"]) == ["user.updated", "user.added"]
    assert await types(resource_ids=[person.name]) == ["user.updated", "user.added"]
    assert await types(actor_ids=[f"key_{tenant.key_id.hex}"]) == []
    first = (await logs.list(limit=1, event_types=["project.created"])).data[0]
    assert first.project is not None
    assert first.project.name == "Audited"
    assert first.actor is not None
    assert first.actor.type == "api_key"
    assert first.actor.api_key is not None
    assert await types(actor_ids=[first.actor.api_key.id]) == everything
    assert await types(effective_at={"gte": first.effective_at}) == everything
    assert await types(effective_at={"lt": first.effective_at}) == []
    assert await types(effective_at={"gt": first.effective_at + 60}) == []
    newest = (await logs.list(limit=1)).data[0]
    assert [entry.type for entry in (await logs.list(before=first.id, limit=2)).data] == ["user.updated", "user.added"]
    assert (await logs.list(before=newest.id)).data == []
