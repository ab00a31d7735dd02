"""The limits that people set, whole in memory: from who asks and for what, to the claims of a request.

A rule limits an organization, a project, a key or a user, on all models or on those that match its pattern. All rules
that match are claimed, so the tightest decides. Where one rule names a key (or another one of its kind) and another
says the same for each, the named one's numbers count; what it leaves open is as for each.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final
from uuid import UUID

import msgspec

from ali.features.metering import queries
from ali.features.metering.limiting.claims import Claim, Kind, Scope, claim
from ali.kernel.db import Pool

_MOST_REMEMBERED: Final = 20_000
_FIELDS: Final[tuple[tuple[Kind, str], ...]] = (
    ("requests", "requests_per_minute"),
    ("tokens", "tokens_per_minute"),
    ("streams", "concurrent_streams"),
)

Combination = tuple[UUID, UUID, UUID | None, UUID | None, tuple[str, ...]]


class Rule(msgspec.Struct, frozen=True):
    """A row of `rate_limit`. `scope_id` None: each one of its kind; `model` None: all, else a name or `prefix*`."""

    organization_id: UUID
    scope: Scope
    scope_id: UUID | None = None
    model: str | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_streams: int | None = None

    def covers(self, models: tuple[str, ...]) -> bool:
        """Whether it is about a model of any of these names; a request without one is only under rules for all."""
        if self.model is None:
            return True
        if self.model.endswith("*"):
            beginning = self.model[:-1]
            return any(model.startswith(beginning) for model in models)
        return self.model in models


class RuleBook:
    """All rules. `requests_per_key`: what the operator lets each API key send a minute, unless a rule says otherwise.

    `reload` must be called at the start and whenever rules have changed; until then only `requests_per_key` holds.
    """

    def __init__(self, *, requests_per_key: int | None) -> None:
        self._requests_per_key = requests_per_key
        self._rules: dict[tuple[UUID, Scope, UUID | None], list[Rule]] = {}
        self._remembered: dict[Combination, tuple[Claim, ...]] = {}

    async def reload(self, pool: Pool) -> None:
        """Read all rules: one round trip. Raises `psycopg.Error` or `psycopg_pool.PoolTimeout`, and keeps the old."""
        async with pool.connection() as connection:
            cursor = await connection.execute(queries.LIMIT_RULES)
            rows = await cursor.fetchall()
        self.replace(Rule(*row) for row in rows)

    def replace(self, rules: Iterable[Rule]) -> None:
        """Let `rules` hold, and no others."""
        by_owner: dict[tuple[UUID, Scope, UUID | None], list[Rule]] = defaultdict(list)
        for rule in rules:
            by_owner[rule.organization_id, rule.scope, rule.scope_id].append(rule)
        self._rules = dict(by_owner)
        self._remembered.clear()

    def rules_for(
        self,
        *,
        organization_id: UUID,
        project_id: UUID,
        key_id: UUID | None,
        user_id: UUID | None,
        models: tuple[str, ...],
    ) -> tuple[Claim, ...]:
        """What such a request must claim; tell `counting` its size. `models`: every name of what may serve it.

        0.3 µs where remembered (measured).
        """
        combination = (organization_id, project_id, key_id, user_id, models)
        claims = self._remembered.get(combination)
        if claims is None:
            if len(self._remembered) >= _MOST_REMEMBERED:  # callers choose models, so their number has no bound
                self._remembered.clear()
            claims = self._remembered[combination] = tuple(self._claims(combination))
        return claims

    def _claims(self, combination: Combination) -> Iterator[Claim]:
        organization_id, project_id, key_id, user_id, models = combination
        scopes: tuple[tuple[Scope, UUID | None], ...] = (
            *(("organization", organization_id), ("project", project_id)),
            *(("key", key_id), ("user", user_id)),
        )
        for scope, scope_id in scopes:
            if scope_id is None:
                continue
            candidates = (
                *self._rules.get((organization_id, scope, scope_id), ()),
                *self._rules.get((organization_id, scope, None), ()),
            )
            own = [rule for rule in candidates if rule.covers(models)]
            patterns = dict.fromkeys(rule.model for rule in own)
            if scope == "key" and self._requests_per_key is not None:
                patterns |= {None: None}
            for pattern in patterns:
                yield from self._one(scope, scope_id, pattern, [rule for rule in own if rule.model == pattern])

    def _one(self, scope: Scope, scope_id: UUID, pattern: str | None, rules: list[Rule]) -> Iterator[Claim]:
        """The claims of one owner on one pattern: by the rule that names the owner, then by the one for each."""
        rules.sort(key=lambda rule: rule.scope_id is None)
        for kind, field in _FIELDS:
            limit = next((value for rule in rules if (value := getattr(rule, field)) is not None), None)
            if limit is None and kind == "requests" and scope == "key" and pattern is None:
                limit = self._requests_per_key
            if limit is not None:
                yield claim(scope=scope, identity=scope_id.bytes, kind=kind, limit=limit, model=pattern)
