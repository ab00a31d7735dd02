"""What one process remembers of credentials it has recognised, until the access epoch moves."""

from collections import OrderedDict
from datetime import UTC, datetime
from uuid import UUID

from ali.features.identity.principal import Principal
from ali.kernel.epoch import EpochWatch


class PrincipalMemory:
    """Principals by credential and project, at most `capacity` of them, the longest unused forgotten first."""

    def __init__(self, epoch: EpochWatch, *, capacity: int) -> None:
        self._epoch = epoch
        self._capacity = capacity
        self._known: OrderedDict[tuple[bytes, UUID | None], Principal] = OrderedDict()
        epoch.on_change(self._known.clear)

    def find(self, fingerprint: bytes, project: UUID | None) -> Principal | None:
        """The principal, if it is remembered and has not expired. No await."""
        key = fingerprint, project
        principal = self._known.get(key)
        if principal is None:
            return None
        if principal.expires_at is not None and principal.expires_at <= datetime.now(UTC):
            del self._known[key]
            return None
        self._known.move_to_end(key)
        return principal

    def keep(self, fingerprint: bytes, project: UUID | None, principal: Principal, *, epoch: int) -> None:
        """Remember what was true at `epoch`, unless the epoch has moved since."""
        if epoch != self._epoch.value:
            return
        self._known[fingerprint, project] = principal
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)
