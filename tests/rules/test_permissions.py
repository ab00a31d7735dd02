"""Every operation names the permission that it takes; roles and permissions are explained and documented.

Missing ownership checks were the peers' worst holes. What nobody may call by accident begins with its signature.
"""

from collections.abc import Iterator

from fastapi import Depends, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from ali.app import create_app
from ali.features.chat.operations import OPERATIONS
from ali.features.identity.http.access import Authenticated, _authenticated, operations_of, requires
from ali.features.identity.http.desk import _person
from ali.features.identity.roles import (
    MEANINGS,
    ORGANIZATION_WIDE,
    PROJECT_PERMISSIONS,
    ROLE_MEANINGS,
    ROLES,
    Permission,
    may_give,
)
from ali.kernel.settings import Settings
from tests.rules.tree import DOCS

AUTH = "/v1/ali/auth"

PUBLIC = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/accept-invitation"),
    ("GET", "/reset-password"),
    ("GET", "/account/link.js"),
    ("GET", "/account/link.css"),
    ("POST", f"{AUTH}/sign-in"),
    ("POST", f"{AUTH}/refresh"),
    ("POST", f"{AUTH}/password/reset"),
    ("POST", f"{AUTH}/password/reset/confirm"),
    ("POST", f"{AUTH}/invitations/accept"),
    ("GET", f"{AUTH}/openid"),
    ("POST", f"{AUTH}/openid/{{provider}}/start"),
    ("GET", f"{AUTH}/openid/{{provider}}/callback"),
}
"""What takes no credential, because it is how one gets one, or tells nothing of anybody's."""

OF_ONESELF = {
    ("GET", f"{AUTH}/me"),
    ("GET", f"{AUTH}/sessions"),
    ("DELETE", f"{AUTH}/sessions/{{session_id}}"),
    ("POST", f"{AUTH}/sign-out"),
    ("POST", f"{AUTH}/sign-out-everywhere"),
    ("POST", f"{AUTH}/password/change"),
    ("POST", f"{AUTH}/second-factor/enrol"),
    ("POST", f"{AUTH}/second-factor/confirm"),
    ("POST", f"{AUTH}/second-factor/disable"),
    ("POST", f"{AUTH}/second-factor/recovery-codes"),
}
"""What every person may do to their own account, and nobody to another's: a signed-in person is asked for."""


def api() -> FastAPI:
    """The shipped application, not started."""
    return create_app(Settings.model_validate({"home": DOCS}), hmac_secret=b"").api


def test_every_operation_but_the_public_ones_names_its_permission() -> None:
    nameless = {(method, path) for method, path, asked in operations_of(api().routes) if not asked}
    assert nameless == PUBLIC | OF_ONESELF


def test_what_is_of_oneself_asks_for_a_person_and_what_is_public_for_nobody() -> None:
    asking: dict[bool, set[tuple[str, str]]] = {True: set(), False: set()}
    for context in iter_route_contexts(api().routes):
        dependant = getattr(context, "dependant", None)
        if isinstance(dependant, Dependant):
            calls = set(_calls(dependant))
            for method in context.methods or ():
                if (method, str(context.path_format)) in PUBLIC | OF_ONESELF:
                    asking[_person in calls and _authenticated in calls].add((method, str(context.path_format)))
    assert asking == {True: OF_ONESELF, False: PUBLIC}


def _calls(dependant: Dependant) -> Iterator[object]:
    yield dependant.call
    for dependency in dependant.dependencies:
        yield from _calls(dependency)


def test_no_operation_is_hidden_from_the_document_and_each_shows_its_permission_there() -> None:
    """What is not in the document is in no matrix of who may call what."""
    application = api()
    document = application.openapi()["paths"]
    shown = {
        (method.upper(), path): operation.get("x-ali-permission")
        for path, methods in document.items()
        for method, operation in methods.items()
    }
    served = {(method, path): asked for method, path, asked in operations_of(application.routes)}
    served |= {("POST", operation.path): frozenset({operation.permission}) for operation in OPERATIONS}
    assert shown == {
        key: ", ".join(sorted(permission.value for permission in asked)) or None for key, asked in served.items()
    }


def test_a_route_without_a_permission_is_found_wherever_it_hides() -> None:
    """This very rule can fail."""
    application = FastAPI()

    @application.get("/bare", include_in_schema=False)
    async def _bare(_caller: Authenticated) -> None: ...

    async def guard(_caller: object = requires(Permission.USAGE_READ)) -> None: ...

    @application.get("/guarded", dependencies=[Depends(guard)])
    async def _guarded() -> None: ...

    assert {path: asked for _, path, asked in operations_of(application.routes)} == {
        "/bare": frozenset(),
        "/guarded": frozenset({Permission.USAGE_READ}),
    }


def test_every_role_and_permission_is_explained_and_none_is_unreachable() -> None:
    assert set(MEANINGS) == set(Permission)
    assert set(ROLE_MEANINGS) == set(ROLES)
    assert set(ROLES) > ORGANIZATION_WIDE
    assert frozenset[Permission]().union(*ROLES.values()) == set(Permission)
    assert all(text.endswith(".") for text in (*MEANINGS.values(), *ROLE_MEANINGS.values()))


def test_nobody_may_give_a_role_that_carries_more_than_theirs() -> None:
    given = {giver: {role for role in ROLES if may_give(ROLES[giver], role)} for giver in ROLES}
    assert given == {
        "owner": set(ROLES),
        "admin": set(ROLES) - {"owner"},
        "developer": {"developer", "member"},
        "member": {"member"},
        "auditor": {"auditor"},
        "privacy_officer": {"privacy_officer"},
    }
    assert not may_give(frozenset(Permission), "emperor")


def test_a_membership_carries_nothing_of_the_organization() -> None:
    of_the_organization = {
        Permission.ORGANIZATION_READ,
        Permission.USERS_READ,
        Permission.USERS_WRITE,
        Permission.ADMIN_KEYS_WRITE,
        Permission.OWNERS_WRITE,
        Permission.AUDIT_READ,
        Permission.METRICS_READ,
        Permission.SIGN_IN_WRITE,
        Permission.APPROVALS_DECIDE,
    }
    assert not PROJECT_PERMISSIONS & of_the_organization


def test_the_page_of_permissions_lists_every_operation_that_takes_one() -> None:
    page = (DOCS / "reference" / "permissions.md").read_text(encoding="utf-8")
    for path, methods in api().openapi()["paths"].items():
        for method, operation in methods.items():
            if "x-ali-permission" in operation:
                assert f"| `{method.upper()} {path}` | `{operation['x-ali-permission']}` |" in page
