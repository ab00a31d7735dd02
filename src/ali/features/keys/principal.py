"""Who is asking: the principal behind a credential, and the permissions that its role carries."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from ali.kernel.errors import PermissionRefused


class Permission(StrEnum):
    """What a route can ask for. Named in each route's signature; a test walks all routes."""

    MODELS_READ = "models.read"
    INFERENCE = "inference"
    USAGE_READ = "usage.read"
    METRICS_READ = "metrics.read"


ROLES: dict[str, frozenset[Permission]] = {
    "owner": frozenset(Permission),
    "member": frozenset({Permission.MODELS_READ, Permission.INFERENCE}),
}
"""Roles as data: what each may do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """An authenticated caller: a key, the project it belongs to, and what it may do."""

    key_id: UUID
    organization_id: UUID
    project_id: UUID
    role: str
    permissions: frozenset[Permission]
    expires_at: datetime | None = None

    def require(self, permission: Permission) -> None:
        """Raises `PermissionRefused` unless the role carries `permission`."""
        if permission not in self.permissions:
            raise PermissionRefused(
                f"This API key's role, {self.role}, does not carry the permission {permission.value}. "
                "Use a key whose role does, or ask an owner of the project."
            )
