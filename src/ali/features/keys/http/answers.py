"""Keys and service accounts as OpenAI's Administration API prints them, with Ali's own fields beside."""

from ali.features.identity.http.answers import Json, maybe_unix, unix
from ali.features.identity.models import ServiceAccount
from ali.features.identity.naming import Kind, named
from ali.features.keys.lifecycle import IssuedKey
from ali.features.keys.models import ApiKey
from ali.features.keys.queries import Owned


def project_key(owned: Owned) -> Json:
    """`organization.project.api_key`."""
    return {
        "object": "organization.project.api_key",
        **_key(owned.key),
        "owner": _owner(owned),
        "owner_project_access": "active" if owned.reaches else "inactive",
    }


def admin_key(owned: Owned) -> Json:
    """`organization.admin_api_key`."""
    owner: Json = {"type": None, "id": None, "name": None, "role": owned.key.role}
    if owned.user is not None:
        owner = {
            "type": "user",
            "object": "organization.user",
            "id": named(Kind.USER, owned.user.id),
            "name": owned.user.name,
            "created_at": unix(owned.user.created_at),
            "role": owned.user.role,
        }
    return {"object": "organization.admin_api_key", **_key(owned.key), "owner": owner}


def account(row: ServiceAccount) -> Json:
    """`organization.project.service_account`."""
    return {
        "object": "organization.project.service_account",
        "id": named(Kind.SERVICE_ACCOUNT, row.id),
        "name": row.name,
        "role": row.role,
        "created_at": unix(row.created_at),
    }


def account_key(issued: IssuedKey) -> Json:
    """`organization.project.service_account.api_key`, with its secret, this once."""
    key = issued.key
    return {
        "object": "organization.project.service_account.api_key",
        "id": named(Kind.API_KEY, key.id),
        "name": key.name,
        "created_at": unix(key.created_at),
        "expires_at": maybe_unix(key.expires_at),
        "value": issued.secret,
    }


def _key(key: ApiKey) -> Json:
    return {
        "id": named(Kind.API_KEY, key.id),
        "name": key.name,
        "redacted_value": f"ali_***{key.hint}",
        "created_at": unix(key.created_at),
        "last_used_at": maybe_unix(key.last_used_at),
        "expires_at": maybe_unix(key.expires_at),
        "role": key.role,
        "permissions": key.permissions,
        "allowed_models": key.allowed_models,
        "allowed_networks": key.allowed_networks,
    }


def _owner(owned: Owned) -> Json:
    """Whose key it is; all null for one that belongs to nobody in particular."""
    if owned.user is not None:
        role = owned.member.role if owned.member is not None else owned.user.role
        person = {
            "id": named(Kind.USER, owned.user.id),
            "name": owned.user.name,
            "email": owned.user.email,
            "role": role,
            "created_at": unix(owned.user.created_at),
        }
        return {"type": "user", "user": person, "service_account": None}
    if owned.account is not None:
        program = {
            "id": named(Kind.SERVICE_ACCOUNT, owned.account.id),
            "name": owned.account.name,
            "role": owned.account.role,
            "created_at": unix(owned.account.created_at),
        }
        return {"type": "service_account", "user": None, "service_account": program}
    return {"type": None, "user": None, "service_account": None}
