"""One door for every kind of credential: API keys, and (for people) access tokens."""

from typing import Protocol
from uuid import UUID

from ali.features.identity import Principal
from ali.features.identity.recognise_session import SessionRing, looks_like_token
from ali.features.keys.recognise import KeyRing
from ali.kernel.errors import AuthenticationFailed


class CredentialReader(Protocol):
    """What the hot path and ordinary routes ask who is calling."""

    def remembered(self, secret: str, project: UUID | None = None) -> Principal | None:
        """The principal, where it costs no await to know; None says nothing."""
        ...

    async def authenticate(self, secret: str | None, *, project: UUID | None = None) -> Principal:
        """The principal. Raises `AuthenticationFailed`, or `Unavailable` when nobody can be asked."""
        ...


class Authenticator:
    """Sends each credential to whoever knows its kind."""

    def __init__(self, keys: KeyRing, sessions: SessionRing) -> None:
        self._keys = keys
        self._sessions = sessions

    def remembered(self, secret: str, project: UUID | None = None) -> Principal | None:
        """As `CredentialReader` has it."""
        if looks_like_token(secret):
            return self._sessions.remembered(secret, project)
        return self._keys.remembered(secret, project)

    async def again(self, *, key_id: UUID | None, user_id: UUID | None, project: UUID) -> Principal:
        """Whoever asked for something a while ago, by their key or (without one) as a person, as they are now.

        Raises `AuthenticationFailed` where they may nothing any more, or `Unavailable` when nobody can be asked.
        """
        if key_id is not None:
            return await self._keys.by_id(key_id, project=project)
        if user_id is not None:
            return await self._sessions.person(user_id, project=project)
        raise AuthenticationFailed("It is not known who asked for this, so it is not done.")

    async def authenticate(self, secret: str | None, *, project: UUID | None = None) -> Principal:
        """As `CredentialReader` has it."""
        if secret is not None and looks_like_token(secret):
            return await self._sessions.authenticate(secret, project=project)
        return await self._keys.authenticate(secret, project=project)
