"""Routes of identity, and what every slice's routes ask of it: see `access` and `authority`."""

from ali.features.identity.http import approvals, audit_logs, invites, members, projects, users

ROUTERS = (projects.router, members.router, users.router, invites.router, audit_logs.router, approvals.router)
"""What the composition root includes."""
