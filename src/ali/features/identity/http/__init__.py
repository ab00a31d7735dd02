"""Routes of identity, and what every slice's routes ask of it: see `access`."""

from ali.features.identity.http import openid, passwords, people, second_factor, sign_in

SIGN_IN_ROUTERS = (
    sign_in.routes,
    passwords.routes,
    second_factor.routes,
    openid.routes,
    people.routes,
    people.published,
)
"""Everything of sign-in."""
