"""Routes of identity, and what every slice's routes ask of it: see `access` and `authority`."""

from ali.features.identity.http import (
    approvals,
    audit_logs,
    invites,
    members,
    openid,
    pages,
    passwords,
    people,
    projects,
    second_factor,
    sign_in,
    users,
)

ROUTERS = (
    projects.router,
    members.router,
    users.router,
    invites.router,
    audit_logs.router,
    approvals.router,
    sign_in.routes,
    passwords.routes,
    second_factor.routes,
    openid.routes,
    people.routes,
    people.published,
    pages.router,
)
"""What the composition root includes."""
