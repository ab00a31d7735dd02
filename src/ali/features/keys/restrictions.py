"""What narrows a key beyond its role, and the rule that no key opens more than what made it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_network
from typing import Final

from ali.features.identity.authority import Authority
from ali.features.identity.roles import Permission, permissions_of
from ali.kernel.errors import InvalidRequest, PermissionRefused

MOST_ENTRIES: Final = 100
"""Of models or networks in one key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restrictions:
    """None where the key is not narrowed in that way."""

    permissions: tuple[Permission, ...] | None = None
    allowed_models: tuple[str, ...] | None = None
    allowed_networks: tuple[str, ...] | None = None
    expires_at: datetime | None = None


NONE: Final = Restrictions()
"""A key that is narrowed by its role alone."""


def read_permissions(names: Sequence[str] | None, *, role: str) -> tuple[Permission, ...] | None:
    """`names` as permissions in one order. Raises `InvalidRequest` for one that is unknown or that `role` lacks."""
    if names is None:
        return None
    known = {permission.value: permission for permission in permissions_of(role)}
    if any(name not in known for name in names):
        raise InvalidRequest(
            "A permission is named that the key's role does not carry. `ali roles` lists what it carries.",
            param="permissions",
        )
    wanted = {known[name] for name in names}
    return tuple(permission for permission in Permission if permission in wanted)


def read_networks(texts: Sequence[str] | None) -> tuple[str, ...] | None:
    """`texts` as CIDR in its one form. Raises `InvalidRequest`."""
    if texts is None:
        return None
    try:
        return tuple(str(ip_network(text)) for text in texts)
    except ValueError as error:
        raise InvalidRequest(
            "A network is written like 192.0.2.0/24, 2001:db8::/32 or 192.0.2.7, with no bits set after the prefix.",
            param="allowed_networks",
        ) from error


def require_within(authority: Authority, wanted: Restrictions) -> None:
    """Raises `PermissionRefused` where a key narrowed by `wanted` would open more than what makes it."""
    if authority.allowed_models is not None and not (
        wanted.allowed_models is not None and set(wanted.allowed_models) <= authority.allowed_models
    ):
        raise _beyond("allowed_models", "models")
    if authority.allowed_networks is not None and not (
        wanted.allowed_networks is not None
        and all(_covered(network, authority.allowed_networks) for network in wanted.allowed_networks)
    ):
        raise _beyond("allowed_networks", "networks")
    if authority.expires_at is not None and (wanted.expires_at is None or wanted.expires_at > authority.expires_at):
        raise _beyond("expires_at", "life")


def _covered(network: str, by: Sequence[object]) -> bool:
    inner = ip_network(network)
    # `subnet_of` is typed, and works, for two networks of one version.
    return any(type(inner) is type(outer) and inner.subnet_of(outer) for outer in by)  # type: ignore[arg-type] # as above


def _beyond(param: str, what: str) -> PermissionRefused:
    return PermissionRefused(
        f"Nobody gives what they do not have: this credential's own {what} are narrower. Name {param} within them.",
        param=param,
        code="restriction_beyond_yours",
    )
