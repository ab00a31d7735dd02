"""Roles and permissions as data: the one table that routes, the command line and the documentation read."""

from enum import StrEnum
from typing import Final


class Permission(StrEnum):
    """What a route can ask for. Named in each route's signature; a test walks all routes."""

    MODELS_READ = "models.read"
    INFERENCE = "inference"
    FILES_READ = "files.read"
    FILES_WRITE = "files.write"
    BATCHES_READ = "batches.read"
    BATCHES_WRITE = "batches.write"
    VECTOR_STORES_READ = "vector_stores.read"
    VECTOR_STORES_WRITE = "vector_stores.write"
    USAGE_READ = "usage.read"
    METRICS_READ = "metrics.read"
    ORGANIZATION_READ = "organization.read"
    ORGANIZATION_WRITE = "organization.write"
    PROJECTS_READ = "projects.read"
    PROJECTS_WRITE = "projects.write"
    USERS_READ = "users.read"
    USERS_WRITE = "users.write"
    KEYS_READ = "keys.read"
    KEYS_WRITE = "keys.write"
    ADMIN_KEYS_WRITE = "admin_keys.write"
    LIMITS_READ = "limits.read"
    LIMITS_WRITE = "limits.write"
    BUDGETS_READ = "budgets.read"
    BUDGETS_WRITE = "budgets.write"
    AUDIT_READ = "audit.read"
    APPROVALS_READ = "approvals.read"
    APPROVALS_REQUEST = "approvals.request"
    APPROVALS_DECIDE = "approvals.decide"
    OWNERS_WRITE = "owners.write"
    SIGN_IN_WRITE = "sign_in.write"


MEANINGS: Final[dict[Permission, str]] = {
    Permission.MODELS_READ: "List the models served.",
    Permission.INFERENCE: "Call models, which costs money; read and write the project's conversations and responses.",
    Permission.FILES_READ: "List the files of a project and read them; read the results of batches.",
    Permission.FILES_WRITE: "Upload and delete files.",
    Permission.BATCHES_READ: "See batches and how far they are, without their results.",
    Permission.BATCHES_WRITE: "Hand in, cancel and delete batches, whose requests cost money.",
    Permission.VECTOR_STORES_READ: "See vector stores, search them, and read what was read of their files.",
    Permission.VECTOR_STORES_WRITE: "Create, change and delete vector stores; add files to them and take files out.",
    Permission.USAGE_READ: "See what was used and what it cost.",
    Permission.METRICS_READ: "Read the service's metrics.",
    Permission.ORGANIZATION_READ: "See the organization's name and settings.",
    Permission.ORGANIZATION_WRITE: "Change the organization's name and settings.",
    Permission.PROJECTS_READ: "List projects, their members and service accounts.",
    Permission.PROJECTS_WRITE: "Create, change and archive projects; change their members.",
    Permission.USERS_READ: "List people and invitations.",
    Permission.USERS_WRITE: "Invite people, change their roles below owner, remove them.",
    Permission.KEYS_READ: "List API keys, without their secrets.",
    Permission.KEYS_WRITE: "Issue, change and revoke API keys and service accounts of a project.",
    Permission.ADMIN_KEYS_WRITE: "Issue and revoke keys of the whole organization.",
    Permission.LIMITS_READ: "See rate limits.",
    Permission.LIMITS_WRITE: "Change rate limits.",
    Permission.BUDGETS_READ: "See budgets and what is left of them.",
    Permission.BUDGETS_WRITE: "Change budgets.",
    Permission.AUDIT_READ: "Read the audit record.",
    Permission.APPROVALS_READ: "See what was asked for a second signature, and how it was decided.",
    Permission.APPROVALS_REQUEST: "Ask for a second signature.",
    Permission.APPROVALS_DECIDE: "Give or refuse the second signature to what another person asked for.",
    Permission.OWNERS_WRITE: "Make and unmake owners.",
    Permission.SIGN_IN_WRITE: "End other people's sessions, reset their second factor, destroy keys of access tokens.",
}

_EVERYTHING: Final = frozenset(Permission)
_CALLS_MODELS: Final = frozenset(
    {
        Permission.MODELS_READ,
        Permission.INFERENCE,
        Permission.FILES_READ,
        Permission.FILES_WRITE,
        Permission.BATCHES_READ,
        Permission.BATCHES_WRITE,
        Permission.VECTOR_STORES_READ,
        Permission.VECTOR_STORES_WRITE,
    }
)
"""Whoever may call models may also do so with files, over vector stores and in batches."""
_READS: Final = frozenset(permission for permission in Permission if permission.value.endswith(".read")) - {
    Permission.METRICS_READ,
    Permission.FILES_READ,
    Permission.VECTOR_STORES_READ,
}
"""The installation's metrics are not an organization's to give, and content is no auditor's to read."""

ROLES: Final[dict[str, frozenset[Permission]]] = {
    "owner": _EVERYTHING,
    "admin": _EVERYTHING - {Permission.OWNERS_WRITE, Permission.METRICS_READ},
    "developer": _CALLS_MODELS
    | frozenset(
        {
            Permission.USAGE_READ,
            Permission.PROJECTS_READ,
            Permission.KEYS_READ,
            Permission.KEYS_WRITE,
            Permission.LIMITS_READ,
            Permission.BUDGETS_READ,
        }
    ),
    "member": _CALLS_MODELS,
    "auditor": _READS,
    "privacy_officer": frozenset(
        {
            Permission.ORGANIZATION_READ,
            Permission.PROJECTS_READ,
            Permission.USERS_READ,
            Permission.AUDIT_READ,
            Permission.APPROVALS_READ,
            Permission.APPROVALS_REQUEST,
            Permission.APPROVALS_DECIDE,
        }
    ),
}
"""What each role may do. A key's or a member's role can never carry more than that of whoever gave it."""

ROLE_MEANINGS: Final[dict[str, str]] = {
    "owner": "Answers for the organization: everything, other owners included.",
    "admin": "Runs it day by day: everything except owners and the installation's metrics.",
    "developer": "Builds on it: models, and the keys of the projects they are members of.",
    "member": "Uses it: models alone.",
    "auditor": "Sees everything but what people wrote, calls no model and changes nothing.",
    "privacy_officer": "Answers for personal data: who is here, what was done, and the second signature.",
}

ORGANIZATION_WIDE: Final = frozenset({"owner", "admin", "auditor", "privacy_officer"})
"""Roles that reach every project of the organization; the others reach those they are members of."""


PROJECT_PERMISSIONS: Final = _CALLS_MODELS | frozenset(
    {
        Permission.USAGE_READ,
        Permission.PROJECTS_READ,
        Permission.PROJECTS_WRITE,
        Permission.KEYS_READ,
        Permission.KEYS_WRITE,
        Permission.LIMITS_READ,
        Permission.BUDGETS_READ,
    }
)
"""What a membership can carry, and in its project alone; the rest of a role is of the whole organization."""


def membership_permissions(role: str | None) -> frozenset[Permission]:
    """What a member of a project with `role` may do there; nothing for None, who is no member."""
    return ROLES.get(role or "", frozenset()) & PROJECT_PERMISSIONS


def permissions_of(role: str) -> frozenset[Permission]:
    """What `role` may do; nothing for a role that this release does not know."""
    return ROLES.get(role, frozenset())


def may_give(giver: frozenset[Permission], role: str) -> bool:
    """Whether one with `giver`'s permissions may give `role` to somebody: nobody gives what they do not have."""
    return role in ROLES and ROLES[role] <= giver
