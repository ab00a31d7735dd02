"""API keys: issuing, recognising and revoking the credentials of a project."""

from ali.features.keys.principal import ROLES, Permission, Principal

__all__ = ["ROLES", "Permission", "Principal"]
