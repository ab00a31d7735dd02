"""Every route names its permission in its signature; those that need none are listed here, one by one.

Missing ownership checks were the peers' worst holes: what nobody may call by accident begins with its signature.
"""

from collections.abc import Iterator

from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from ali.app import create_app
from ali.features.identity.http.access import Requires, _authenticated
from ali.features.identity.http.desk import _person
from ali.kernel.settings import Settings
from tests.rules.tree import DOCS

AUTH = "/v1/ali/auth"

PUBLIC = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/.well-known/jwks.json"),
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


def test_every_route_names_its_permission_or_is_listed_as_one_that_needs_none() -> None:
    public, of_oneself = set(), set()
    for method, path, calls in _routes():
        if any(isinstance(call, Requires) for call in calls):
            continue
        if _person in calls:
            of_oneself.add((method, path))
        else:
            public.add((method, path))
    assert public == PUBLIC
    assert of_oneself == OF_ONESELF


def test_what_names_a_permission_authenticates() -> None:
    """The marker is worth what its dependency does."""
    for method, path, calls in _routes():
        if any(isinstance(call, Requires) for call in calls) or _person in calls:
            assert _authenticated in calls, (method, path)


def _routes() -> Iterator[tuple[str, str, list[object]]]:
    """Method, path and everything that is called before each of FastAPI's routes."""
    settings = Settings.model_validate({"home": DOCS})
    for route in iter_route_contexts(create_app(settings, hmac_secret=b"").api.routes):
        dependant = getattr(route, "dependant", None)
        if isinstance(dependant, Dependant):
            calls = list(_calls(dependant))
            yield from ((method, str(route.path_format), calls) for method in sorted(route.methods or ()))


def _calls(dependant: Dependant) -> Iterator[object]:
    yield dependant.call
    for dependency in dependant.dependencies:
        yield from _calls(dependency)
