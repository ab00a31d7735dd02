"""Who may call: every role behind every kind of credential, and what the documentation says they carry and reach.

Derived from the table of roles alone. The service's own code of reach (`identity.reach`, `keys.recognise`) is what this
is held against, and is not asked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from ali.features.identity.roles import ORGANIZATION_WIDE, PROJECT_PERMISSIONS, ROLES, Permission

Holder = Literal["nobody", "person", "session", "account"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A credential: whose it is, with which role, of the one project or (not `bound`) of the whole organization.

    `role` is the person's or the account's where one stands behind the key, whose own role is then `owner`: a key
    carries no more than they do. `session`: a person who has signed in, without a key. `membership` is the person's
    role in the project.
    """

    role: str
    holder: Holder
    bound: bool
    membership: str | None = None

    def __str__(self) -> str:
        of = "project" if self.bound else "organization"
        part = f", {self.membership} of the project" if self.membership else ""
        credential = "session" if self.holder == "session" else f"key of the {of}"
        return f"{self.role}'s {credential} ({self.holder}{part})"

    @property
    def personal(self) -> bool:
        """Whether a person stands behind it."""
        return self.holder in ("person", "session")

    @property
    def wide(self) -> bool:
        """Whether the role reaches every project."""
        return self.role in ORGANIZATION_WIDE

    @property
    def alive(self) -> bool:
        """Whether the key opens anything: a key of a project that its person has no part in does not."""
        return self.reaches_own or not self.bound

    @property
    def reaches_own(self) -> bool:
        """Whether the project is there for this caller."""
        return not self.personal or self.wide or self.membership is not None

    @property
    def reaches_other(self) -> bool:
        """Whether another project of the same organization is there for this caller, who is a member of none."""
        return not self.bound and (not self.personal or self.wide)

    @property
    def over_organization(self) -> bool:
        """Whether this caller has a word in matters of the whole organization."""
        return not self.bound and self.wide

    @property
    def carried(self) -> frozenset[Permission]:
        """What it may do: its role, and in the project its membership."""
        member = ROLES[self.membership] & PROJECT_PERMISSIONS if self.membership else frozenset[Permission]()
        return ROLES[self.role] | member


def _all() -> Iterator[Standing]:
    for role in ROLES:
        for bound in (True, False):
            yield Standing(role=role, holder="nobody", bound=bound)
            yield Standing(role=role, holder="person", bound=bound, membership=role)
            yield Standing(role=role, holder="person", bound=bound)
        yield Standing(role=role, holder="account", bound=True)
        yield Standing(role=role, holder="session", bound=False, membership=role)
        yield Standing(role=role, holder="session", bound=False)
    for bound in (True, False):
        yield Standing(role="member", holder="person", bound=bound, membership="owner")
    yield Standing(role="member", holder="session", bound=False, membership="owner")


STANDINGS: Final = tuple(_all())
"""Every caller of the matrix."""

OWNER: Final = Standing(role="owner", holder="nobody", bound=False)
"""Who may do everything in the organization."""
