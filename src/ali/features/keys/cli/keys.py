"""`ali keys`: issue, list, show, change and revoke API keys."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.identity.authority import Authority, operator
from ali.features.identity.cli.terminal import (
    OrganizationOption,
    ProjectOption,
    identifier,
    in_transaction,
    print_table,
    project_name,
    the_organization,
    the_project,
)
from ali.features.identity.naming import Kind, named
from ali.features.identity.paging import Place
from ali.features.identity.roles import ROLES
from ali.features.keys import lifecycle, service_accounts
from ali.features.keys.models import ApiKey
from ali.features.keys.queries import Owned, Scope
from ali.features.keys.restrictions import Restrictions, read_networks, read_permissions
from ali.kernel.errors import InvalidRequest
from ali.kernel.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Issue, list, show, change and revoke API keys.")

KeyArgument = Annotated[str, typer.Argument(help="The key's id, as `ali keys list` shows it.")]
Days = Annotated[int | None, typer.Option("--expires-in-days", min=1, max=3650, help="Unset: never.")]
Permissions = Annotated[
    list[str] | None, typer.Option("--permission", help="Narrow the role to this permission; may be repeated.")
]
Models = Annotated[list[str] | None, typer.Option("--model", help="Allow this model alone; may be repeated.")]
Networks = Annotated[
    list[str] | None, typer.Option("--network", help="Allow this network alone, such as 192.0.2.0/24; may be repeated.")
]
AccountOption = Annotated[
    str | None, typer.Option("--service-account", help="The service account whose key it is, and whose role it has.")
]
WholeOrganization = Annotated[
    bool, typer.Option("--organization-wide", help="A key of the whole organization, not of a project.")
]


@app.command("issue")
def issue(
    *,
    name: Annotated[str, typer.Option(help="What the key is for.")] = "Unnamed key",
    role: Annotated[str, typer.Option(help=f"One of: {', '.join(ROLES)}.")] = "member",
    expires_in_days: Days = None,
    permission: Permissions = None,
    model: Models = None,
    network: Networks = None,
    service_account: AccountOption = None,
    organization_wide: WholeOrganization = False,
    project: ProjectOption = None,
    organization: OrganizationOption = None,
) -> None:
    """Issue an API key and print it. It is shown this once."""
    if organization_wide and (service_account or project):
        raise InvalidRequest("A key of the whole organization is of no project and no service account.")

    async def act(session: AsyncSession, settings: Settings) -> lifecycle.IssuedKey:
        hmac_secret = settings.hmac_secret()
        if organization_wide:
            authority, project_id = operator(await the_organization(session, organization)), None
        else:
            reached = await the_project(session, project)
            reached.require_active()
            authority, project_id = reached.authority, reached.project.id
            if service_account is not None:
                account_id = identifier(Kind.SERVICE_ACCOUNT, service_account)
                account = await service_accounts.found(session, reached, account_id=account_id)
                narrowed = _restrictions(expires_in_days, permission, model, network, role=account.role)
                return await service_accounts.issue_key(
                    session, reached, account, name=name, hmac_secret=hmac_secret, restrictions=narrowed
                )
        return await lifecycle.issue(
            session,
            authority,
            project_id=project_id,
            name=name,
            role=role,
            hmac_secret=hmac_secret,
            restrictions=_restrictions(expires_in_days, permission, model, network, role=role),
        )

    print(in_transaction(act).secret)


@app.command("list")
def list_keys(
    *,
    project: ProjectOption = None,
    organization_wide: WholeOrganization = False,
    organization: OrganizationOption = None,
) -> None:
    """List a project's API keys, or the organization's own, newest first; revoked ones too."""

    async def act(session: AsyncSession, _settings: Settings) -> list[list[object]]:
        if organization_wide:
            scope = Scope(
                organization_id=await the_organization(session, organization), project_id=None, with_revoked=True
            )
        else:
            found = (await the_project(session, project)).project
            scope = Scope(organization_id=found.organization_id, project_id=found.id, with_revoked=True)
        page = await lifecycle.listed(session, scope=scope, place=Place(limit=10_000, descending=True))
        return [_line(owned) for owned in page.rows]

    print_table(in_transaction(act))


@app.command("show")
def show(key: KeyArgument) -> None:
    """Show an API key, without its secret."""

    async def act(session: AsyncSession, _settings: Settings) -> Owned:
        authority = await _authority_over(session, key)
        return await lifecycle.found(
            session, scope=_anywhere(authority, with_revoked=True), key_id=identifier(Kind.API_KEY, key)
        )

    owned = in_transaction(act)
    found = owned.key
    print_table(
        [
            ["id", named(Kind.API_KEY, found.id)],
            ["name", found.name],
            ["project", project_name(found.project_id)],
            ["owner", _owner(owned)],
            ["role", found.role],
            ["permissions", _all_or(found.permissions)],
            ["models", _all_or(found.allowed_models)],
            ["networks", _all_or(found.allowed_networks)],
            ["state", _state(found)],
            ["created", _day(found.created_at)],
            ["last used", _day(found.last_used_at)],
            ["expires", _day(found.expires_at)],
        ]
    )


@app.command("change")
def change(
    key: KeyArgument,
    *,
    name: Annotated[str | None, typer.Option(help="A new name.")] = None,
    role: Annotated[str | None, typer.Option(help=f"One of: {', '.join(ROLES)}.")] = None,
    expires_in_days: Days = None,
    permission: Permissions = None,
    model: Models = None,
    network: Networks = None,
    lift: Annotated[
        list[str] | None,
        typer.Option(help="Narrow no more by this: permissions, models, networks or expiry; may be repeated."),
    ] = None,
) -> None:
    """Change what an API key may do, in every process within a second. Its secret stays."""
    lifted = set(lift or ())
    columns = {
        "permissions": ("permissions", permission),
        "models": ("allowed_models", model),
        "networks": ("allowed_networks", network),
        "expiry": ("expires_at", expires_in_days),
    }
    if not lifted <= set(columns):
        raise InvalidRequest(f"--lift takes one of: {', '.join(columns)}.", param="lift")
    if contradicted := [word for word in columns if word in lifted and columns[word][1] is not None]:
        raise InvalidRequest(f"Give a new value of the {contradicted[0]}, or lift them, not both.", param="lift")
    fields = frozenset(column for word, (column, value) in columns.items() if word in lifted or value is not None)

    async def act(session: AsyncSession, _settings: Settings) -> None:
        authority = await _authority_over(session, key)
        scope, key_id = _anywhere(authority), identifier(Kind.API_KEY, key)
        present = await lifecycle.found(session, scope=scope, key_id=key_id)
        narrowed = _restrictions(expires_in_days, permission, model, network, role=role or present.key.role)
        wanted = lifecycle.Change(name=name, role=role, restrictions=narrowed, fields=fields)
        await lifecycle.change(session, authority, scope=scope, key_id=key_id, wanted=wanted)

    in_transaction(act)
    print("Changed.")


@app.command("revoke")
def revoke(key: KeyArgument) -> None:
    """Revoke an API key, in every process within a second."""

    async def act(session: AsyncSession, _settings: Settings) -> None:
        authority = await _authority_over(session, key)
        await lifecycle.revoke(session, authority, scope=_anywhere(authority), key_id=identifier(Kind.API_KEY, key))

    in_transaction(act)
    print("Revoked.")


async def _authority_over(session: AsyncSession, key: str) -> Authority:
    """The operator's authority over the organization of a key. Raises `KeyNotFound`."""
    wanted = identifier(Kind.API_KEY, key)
    organization = await session.scalar(select(ApiKey.organization_id).where(ApiKey.id == wanted))
    if organization is None:
        raise lifecycle.KeyNotFound("There is no such API key. `ali keys list` shows them.", param="key")
    return operator(organization)


def _anywhere(authority: Authority, *, with_revoked: bool = False) -> Scope:
    return Scope(
        organization_id=authority.organization_id, project_id=None, any_project=True, with_revoked=with_revoked
    )


def _restrictions(
    expires_in_days: int | None,
    permissions: list[str] | None,
    models: list[str] | None,
    networks: list[str] | None,
    *,
    role: str,
) -> Restrictions:
    return Restrictions(
        permissions=read_permissions(permissions, role=role),
        allowed_models=None if models is None else tuple(models),
        allowed_networks=read_networks(networks),
        expires_at=None if expires_in_days is None else datetime.now(UTC) + timedelta(days=expires_in_days),
    )


def _line(owned: Owned) -> list[object]:
    key = owned.key
    return [
        *(named(Kind.API_KEY, key.id), f"…{key.hint}", key.role, _state(key), _day(key.created_at)),
        *(_day(key.last_used_at), _owner(owned), key.name),
    ]


def _owner(owned: Owned) -> str:
    if owned.user is not None:
        return owned.user.email
    return "-" if owned.account is None else named(Kind.SERVICE_ACCOUNT, owned.account.id)


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= datetime.now(UTC) else "active"


def _day(time: datetime | None) -> str:
    return "-" if time is None else f"{time:%Y-%m-%d}"


def _all_or(values: list[str] | None) -> str:
    return "all" if values is None else ", ".join(values) or "none"
