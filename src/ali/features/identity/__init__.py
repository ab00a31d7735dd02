"""Organizations and the projects in them: who owns what."""

from ali.features.identity.models import Organization, Project

__all__ = ["Organization", "Project"]
