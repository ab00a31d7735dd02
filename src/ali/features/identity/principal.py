"""Who is asking: the principal behind a credential, and what it may do."""

from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address
from uuid import UUID

from ali.features.audit import Actor
from ali.features.identity.roles import Permission
from ali.kernel.errors import AuthenticationFailed, InvalidRequest, PermissionRefused

PROJECT_HEADER = "openai-project"
"""As OpenAI's SDK sends it."""


class ProjectMismatch(AuthenticationFailed):
    """401: the OpenAI-Project header names a project that this credential is not of, or that is not there."""

    code = "mismatched_project"


class SessionEnded(AuthenticationFailed):
    """401: the session of this access token has ended, or its person has left."""

    code = "session_ended"


class PersonRequired(PermissionRefused):
    """403: this is for people who have signed in, and the credential is a program's key."""

    code = "person_required"


def project_named(header: str | None) -> UUID | None:
    """The project of an `OpenAI-Project` header, as `proj_…` or a plain UUID. Raises `InvalidRequest`."""
    if not header:
        return None
    try:
        return UUID(header.removeprefix("proj_"))
    except ValueError as error:
        raise InvalidRequest(
            "The OpenAI-Project header names no project. Send an id such as proj_0199…, or leave it out.",
            param="OpenAI-Project",
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """An authenticated caller: a key or a person's session, where it may act, and what it may do there.

    `project_id` None: no project was chosen; a caller that is bound to none sees the whole organization.
    `bound`: the credential is of that one project, and can be of no other.
    """

    organization_id: UUID
    project_id: UUID | None
    role: str
    permissions: frozenset[Permission]
    bound: bool = True
    key_id: UUID | None = None
    user_id: UUID | None = None
    service_account_id: UUID | None = None
    session_id: UUID | None = None
    allowed_models: frozenset[str] | None = None
    """None: every model that is served."""
    allowed_networks: tuple[IPv4Network | IPv6Network, ...] | None = None
    """None: from anywhere."""
    expires_at: datetime | None = None

    def require(self, permission: Permission) -> None:
        """Raises `PermissionRefused` unless the role carries `permission`."""
        if permission not in self.permissions:
            raise PermissionRefused(
                f"This credential's role, {self.role}, does not carry the permission {permission.value}. "
                "Use one whose role does, or ask an owner of the organization."
            )

    def require_project(self) -> UUID:
        """The project that is acted in. Raises `InvalidRequest` where none was chosen."""
        if self.project_id is None:
            raise InvalidRequest(
                "This credential is of the whole organization. Name a project of it in the OpenAI-Project header.",
                param="OpenAI-Project",
                code="project_required",
            )
        return self.project_id

    def require_organization(self) -> None:
        """Raises `PermissionRefused` for a credential of one project: it reaches nothing of the whole organization."""
        if self.bound:
            raise PermissionRefused(
                "This API key is of one project, and this is a matter of the whole organization. Use a key of the "
                "organization (`ali keys issue --organization-wide`, or POST /v1/organization/admin_api_keys).",
                code="organization_credential_required",
            )

    def may_ask_for(self, model: str) -> bool:
        """Whether this credential is allowed `model`, by the name that a request gives it."""
        return self.allowed_models is None or model in self.allowed_models

    def require_person(self) -> tuple[UUID, UUID]:
        """The person and their session. Raises `PersonRequired` for a program's key, whoever's it is."""
        if self.user_id is None or self.session_id is None:
            raise PersonRequired(
                "This is for people who have signed in. Send the access token of POST /v1/ali/auth/sign-in, not an "
                "API key."
            )
        return self.user_id, self.session_id

    def require_model(self, model: str) -> None:
        """Raises `PermissionRefused` for a model that this credential is not allowed."""
        if not self.may_ask_for(model):
            raise PermissionRefused(
                "This API key is not allowed that model. GET /v1/models lists those it is allowed; an admin of the "
                "organization can allow more.",
                code="model_not_allowed",
                param="model",
            )

    def require_network(self, address: str | None) -> None:
        """Raises `PermissionRefused` for a client's address outside the networks that this credential is bound to."""
        if self.allowed_networks is None:
            return
        try:
            client = ip_address(address or "")
        except ValueError:
            client = None
        mapped = getattr(client, "ipv4_mapped", None) or client
        if mapped is None or not any(mapped in network for network in self.allowed_networks):
            raise PermissionRefused(
                "This API key may not be used from this network address. Call from an allowed one, or have an admin of "
                "the organization change the key's networks.",
                code="network_not_allowed",
            )

    @property
    def visible_project(self) -> UUID | None:
        """The one project whose rows this caller sees; None for the whole organization."""
        return self.project_id if self.bound else None

    def actor(self, *, address: str | None, request_id: str | None) -> Actor:
        """This principal as the audit record names it."""
        kind, subject = ("user", self.user_id) if self.key_id is None else ("api_key", self.key_id)
        return Actor(kind="user" if kind == "user" else "api_key", id=subject, address=address, request_id=request_id)
