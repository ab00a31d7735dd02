"""The statements that recognise, list and change API keys."""

from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, select

from ali.features.identity.models import ProjectMember, ServiceAccount, User
from ali.features.identity.roles import ORGANIZATION_WIDE, Permission
from ali.features.keys.models import ApiKey
from ali.features.keys.restrictions import Restrictions
from ali.kernel import epoch

RECOGNISE: Final = "select * from ali.recognise_credential(%s, %s)"
"""One row always: the key that has this digest, or NULLs; what bounds it; and the epoch at which that was true."""

RECOGNISE_ID: Final = "select * from ali.recognise_key(%s, %s)"
"""As `RECOGNISE`, by the key's identifier; no row where there is none."""

MARK_USED: Final = "select ali.mark_keys_used(%s)"

ADVANCE_EPOCH: Final = epoch.ADVANCE_EPOCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose keys: those of a project, those of the whole organization (`project_id` None), or (`any_project`) all."""

    organization_id: UUID
    project_id: UUID | None
    any_project: bool = False
    with_revoked: bool = False


class Owned(NamedTuple):
    """A key, whose it is, and their part in its project."""

    key: ApiKey
    user: User | None
    account: ServiceAccount | None
    member: ProjectMember | None

    @property
    def reaches(self) -> bool:
        """Whether whoever the key belongs to still has a part in its project; always so for nobody's."""
        if self.user is None:
            return True
        return self.user.disabled_at is None and (
            self.key.project_id is None or self.member is not None or self.user.role in ORGANIZATION_WIDE
        )


def within(scope: Scope) -> ColumnElement[bool]:
    """The keys of `scope`."""
    clause = ApiKey.organization_id == scope.organization_id
    if not scope.any_project:
        clause &= ApiKey.project_id.is_not_distinct_from(scope.project_id)
    return clause if scope.with_revoked else clause & ApiKey.revoked_at.is_(None)


def owned(scope: Scope) -> Select[ApiKey, User, ServiceAccount, ProjectMember]:
    """The keys of `scope`, each with whose it is."""
    part = and_(ProjectMember.user_id == ApiKey.user_id, ProjectMember.project_id == ApiKey.project_id)
    return (
        select(ApiKey, User, ServiceAccount, ProjectMember)
        .outerjoin(User, User.id == ApiKey.user_id)
        .outerjoin(ServiceAccount, ServiceAccount.id == ApiKey.service_account_id)
        .outerjoin(ProjectMember, part)
        .where(within(scope))
    )


def restrictions_of(key: ApiKey) -> Restrictions:
    """What narrows `key`; a permission that this release does not know is none."""
    return Restrictions(
        permissions=None if key.permissions is None else tuple(p for p in Permission if p in key.permissions),
        allowed_models=None if key.allowed_models is None else tuple(key.allowed_models),
        allowed_networks=None if key.allowed_networks is None else tuple(key.allowed_networks),
        expires_at=key.expires_at,
    )
