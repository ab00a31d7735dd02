"""On whose behalf a verb acts, and the one rule of giving: nobody gives, changes or takes what they do not have."""

from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from uuid import UUID

from ali.features.audit import Actor
from ali.features.identity.roles import ROLES, Permission, may_give, permissions_of
from ali.kernel.errors import InvalidRequest, PermissionRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """What somebody may do in one organization, or in one project of it.

    The operator at the command line has all permissions and none of the bounds, which are a key's own: what it makes
    can reach no further and live no longer than itself.
    """

    organization_id: UUID
    actor: Actor
    permissions: frozenset[Permission]
    user_id: UUID | None = None
    """The person who acts, or whose key does: what they make is theirs and ends with them."""
    service_account_id: UUID | None = None
    allowed_models: frozenset[str] | None = None
    allowed_networks: tuple[IPv4Network | IPv6Network, ...] | None = None
    expires_at: datetime | None = None

    def require_may_give(self, role: str) -> None:
        """Raises `InvalidRequest` for an unknown role, `PermissionRefused` for one beyond this authority."""
        require_known(role)
        if not may_give(self.permissions, role):
            raise PermissionRefused(
                f"Nobody gives what they do not have: the role {role} carries more than this credential. Ask somebody "
                "who has it.",
                code="role_beyond_yours",
            )

    def require_carries(self, permissions: frozenset[Permission]) -> None:
        """Raises `PermissionRefused` where somebody with `permissions` may do more than this authority."""
        if not permissions <= self.permissions:
            raise PermissionRefused(
                "What you would change or remove may do more than this credential. Ask somebody who may do as much.",
                code="target_beyond_yours",
            )

    def require_above(self, role: str) -> None:
        """As `require_carries`, for somebody of `role`."""
        self.require_carries(permissions_of(role))


def operator(organization_id: UUID) -> Authority:
    """Who sits at the installation's command line."""
    return Authority(organization_id=organization_id, actor=Actor(kind="operator"), permissions=frozenset(Permission))


def require_known(role: str) -> None:
    """Raises `InvalidRequest` for a role that this release does not know."""
    if role not in ROLES:
        raise InvalidRequest(f"There is no such role. The roles are: {', '.join(ROLES)}.", param="role")
