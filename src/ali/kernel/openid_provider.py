"""The setting of one issuer of OpenID Connect."""

from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from ali.kernel.references import resolved


class OpenIdProvider(BaseModel):
    """An issuer of OpenID Connect whose people may sign in: Google, Entra, Keycloak, or any other."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    """In the sign-in page's address, and in what people choose from."""
    issuer: str
    """Exactly as the issuer writes it; `/.well-known/openid-configuration` is read below it."""
    client_id: Annotated[str, Field(min_length=1)]
    client_secret: SecretStr | None = None
    """None: a public client, by PKCE alone."""
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    group_claim: str = "groups"
    """The claim that lists a person's groups; `realm_access.roles` reaches into objects."""
    group_roles: dict[str, str] = Field(default_factory=dict)
    """Group to role; the first entry whose group the person is in decides."""
    default_role: str | None = None
    """The role of people in none of those groups; None: they may not sign in."""
    allowed_email_domains: tuple[str, ...] = ()
    """Set: only people with a verified address in one of these domains."""
    trusts_email: bool = False
    """Take an address as verified though the issuer does not say so. Entra never says; a tenant's own addresses are."""
    allow_http: bool = False
    """For an issuer on this machine or inside a private network."""
    organization: UUID | None = None
    """Where new people of this issuer get their accounts; None: in the only organization there is."""

    @field_validator("client_secret", mode="before")
    @classmethod
    def _read_reference(cls, value: object) -> object:
        return resolved(value) or None

    @field_validator("scopes")
    @classmethod
    def _asks_for_openid(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in value:
            raise ValueError("the scopes must include openid")
        return value

    @model_validator(mode="after")
    def _check_issuer(self) -> "OpenIdProvider":
        parts = urlsplit(self.issuer)
        if parts.scheme not in ({"https", "http"} if self.allow_http else {"https"}) or not parts.hostname:
            raise ValueError("an issuer looks like https://host/path; http needs allow_http")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("an issuer has no credentials, query or fragment")
        return self
