"""Organizations, projects, people and their roles: who is asking, and who owns what."""

from ali.features.identity.models import Organization, Project
from ali.features.identity.principal import Principal
from ali.features.identity.roles import ROLES, Permission

__all__ = ["ROLES", "Organization", "Permission", "Principal", "Project"]
