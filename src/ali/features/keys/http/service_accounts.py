"""`/v1/organization/projects/{project_id}/service_accounts`: programs of a project, and their keys."""

from typing import Annotated

from fastapi import APIRouter, Request

from ali.features.identity.http.access import Transaction
from ali.features.identity.http.answers import Json, deleted, listing
from ali.features.identity.http.authority import Id, in_project
from ali.features.identity.http.inputs import place_of
from ali.features.identity.naming import Kind, named, read
from ali.features.identity.paging import Place
from ali.features.identity.reach import Reached
from ali.features.identity.roles import Permission
from ali.features.keys import service_accounts
from ali.features.keys.http.answers import account, account_key
from ali.features.keys.http.bodies import AccountChange, NewAccount, NewAccountKey, restrictions

router = APIRouter(prefix="/v1/organization/projects/{project_id}/service_accounts", tags=["administration"])

Reader = Annotated[Reached, in_project(Permission.PROJECTS_READ)]
Keeper = Annotated[Reached, in_project(Permission.KEYS_WRITE)]


@router.get("", summary="List a project's service accounts")
async def list_service_accounts(
    reached: Reader, transaction: Transaction, place: Annotated[Place, place_of(Kind.SERVICE_ACCOUNT)]
) -> Json:
    """The project's service accounts."""
    return listing(await service_accounts.listed(transaction, reached, place=place), account)


@router.post("", summary="Create a service account")
async def create_service_account(reached: Keeper, transaction: Transaction, request: Request, body: NewAccount) -> Json:
    """A new service account and, unless `create_service_account_only`, its first key with its secret, this once."""
    made = await service_accounts.create(
        transaction,
        reached,
        name=body.name,
        role=body.role,
        hmac_secret=request.app.state.hmac_secret,
        restrictions=restrictions(body, role=body.role),
        with_key=not body.create_service_account_only,
    )
    return account(made.account) | {"api_key": None if made.issued is None else account_key(made.issued)}


@router.get("/{service_account_id}", summary="Retrieve a service account")
async def retrieve_service_account(reached: Reader, transaction: Transaction, service_account_id: Id) -> Json:
    """One service account."""
    wanted = read(Kind.SERVICE_ACCOUNT, service_account_id)
    return account(await service_accounts.found(transaction, reached, account_id=wanted))


@router.post("/{service_account_id}", summary="Modify a service account")
async def modify_service_account(
    reached: Keeper, transaction: Transaction, service_account_id: Id, body: AccountChange
) -> Json:
    """A service account under another name or with another role, which bounds its keys at once."""
    wanted = read(Kind.SERVICE_ACCOUNT, service_account_id)
    return account(
        await service_accounts.change(transaction, reached, account_id=wanted, name=body.name, role=body.role)
    )


@router.delete("/{service_account_id}", summary="Delete a service account")
async def delete_service_account(reached: Keeper, transaction: Transaction, service_account_id: Id) -> Json:
    """The service account ends, and its keys with it."""
    wanted = read(Kind.SERVICE_ACCOUNT, service_account_id)
    gone = await service_accounts.remove(transaction, reached, account_id=wanted)
    return deleted("organization.project.service_account", named(Kind.SERVICE_ACCOUNT, gone))


@router.post("/{service_account_id}/api_keys", summary="Create a service account's API key")
async def create_service_account_api_key(
    reached: Keeper, transaction: Transaction, request: Request, service_account_id: Id, body: NewAccountKey
) -> Json:
    """A further key of the account, with its secret, this once."""
    wanted = read(Kind.SERVICE_ACCOUNT, service_account_id)
    found = await service_accounts.found(transaction, reached, account_id=wanted)
    issued = await service_accounts.issue_key(
        transaction,
        reached,
        found,
        name=body.name,
        hmac_secret=request.app.state.hmac_secret,
        restrictions=restrictions(body, role=found.role),
    )
    return account_key(issued)
