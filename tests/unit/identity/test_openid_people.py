"""Who is admitted, as what, and under which address; and how an operator says so."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ali.features.identity.mail import mail_server
from ali.features.identity.openid.person import NotAdmitted, groups_of, person_of, role_for
from ali.kernel.openid_provider import OpenIdProvider
from ali.kernel.settings import Settings
from tests.unit.identity.issuer import provider_of


@pytest.mark.parametrize(
    ("email", "verified", "admitted"),
    [
        ("ana@example.com", True, True),
        ("ANA@EXAMPLE.COM", True, True),
        ("ana@example.com", False, False),
        ("ana@example.com", None, False),
        ("ana@example.com", "true", False),
        ("ana@example.com.evil.example", True, False),
        ("ana@evil.example", True, False),
        ("ana@evil.example@example.com", True, False),
        ("ana@sub.example.com", True, False),
        ("example.com", True, False),
        ("ana@e\u017cample.com", True, False),
        ("\u212aana@example.com", True, False),
        (None, True, False),
    ],
)
def test_only_verified_addresses_of_allowed_domains_are_admitted(
    email: object, verified: object, *, admitted: bool
) -> None:
    provider = provider_of("http://127.0.0.1", allowed_email_domains=("Example.com",), default_role="member")
    claims = {"sub": "1", "email": email, "email_verified": verified}
    if admitted:
        assert person_of(claims, provider=provider).email == "ana@example.com"
    else:
        with pytest.raises(NotAdmitted):
            person_of(claims, provider=provider)


def test_an_issuer_that_never_says_verified_can_be_trusted_by_the_operator() -> None:
    claims = {"sub": "1", "email": "ana@example.com", "groups": ["assistants"]}
    trusting = provider_of("http://127.0.0.1", trusts_email=True)
    assert person_of(claims, provider=trusting).email == "ana@example.com"
    assert person_of({**claims, "email_verified": False}, provider=trusting).email is None
    assert person_of(claims, provider=provider_of("http://127.0.0.1")).email is None


def test_the_first_entry_whose_group_the_person_is_in_gives_the_role() -> None:
    provider = provider_of("http://127.0.0.1", group_roles={"boss": "owner", "staff": "member"}, default_role=None)
    assert role_for(frozenset({"staff", "boss"}), provider=provider) == "owner"
    assert role_for(frozenset({"staff"}), provider=provider) == "member"
    assert role_for(frozenset({"Boss", "boss "}), provider=provider) is None
    with pytest.raises(NotAdmitted, match="groups"):
        person_of({"sub": "1", "groups": ["others"]}, provider=provider)
    assert role_for(frozenset(), provider=provider_of("http://127.0.0.1", default_role="member")) == "member"


@pytest.mark.parametrize(
    ("claims", "claim", "groups"),
    [
        ({"groups": ["a", "b", 1, None]}, "groups", {"a", "b"}),
        ({"groups": "a"}, "groups", {"a"}),
        ({"groups": {"a": 1}}, "groups", set()),
        ({}, "groups", set()),
        ({"realm_access": {"roles": ["a"]}}, "realm_access.roles", {"a"}),
        ({"realm_access": ["roles"]}, "realm_access.roles", set()),
        ({"https://ali.example/groups": ["a"]}, "https://ali.example/groups", {"a"}),
    ],
)
def test_groups_are_found_where_issuers_put_them(claims: dict[str, Any], claim: str, groups: set[str]) -> None:
    assert groups_of(claims, claim=claim) == groups


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "http://issuer.example"},
        {"issuer": "issuer.example"},
        {"issuer": "https://user:password@issuer.example"},
        {"issuer": "https://issuer.example?x=1"},
        {"issuer": "https://issuer.example#x"},
        {"scopes": ("email",)},
        {"name": "Not a name"},
        {"unknown": 1},
        {"client_id": ""},
    ],
)
def test_a_provider_that_is_set_wrongly_stops_the_start(change: dict[str, Any]) -> None:
    good = {"name": "corp", "issuer": "https://issuer.example/tenant/v2.0", "client_id": "x", "client_secret": "s3cret"}
    assert "s3cret" not in repr(OpenIdProvider.model_validate(good))
    with pytest.raises(ValidationError):
        OpenIdProvider.model_validate({**good, **change})


def test_providers_and_mail_are_set_as_operators_set_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret, mail = tmp_path / "secret", tmp_path / "smtp"
    secret.write_text("s3cret\n", encoding="utf-8")
    mail.write_text("smtps://user:pa55@mail.example\n", encoding="utf-8")
    providers = (
        f'[{{"name":"corp","issuer":"https://issuer.example","client_id":"x","client_secret":"file://{secret}"}}]'
    )
    monkeypatch.setenv("ALI_OPENID_PROVIDERS", providers)
    monkeypatch.setenv("ALI_SMTP_URL", f"file://{mail}")
    settings = Settings()
    (provider,) = settings.openid_providers
    assert provider.client_secret is not None
    assert provider.client_secret.get_secret_value() == "s3cret"
    assert settings.smtp_url is not None
    assert mail_server(settings.smtp_url.get_secret_value()).host == "mail.example"
    assert not {"s3cret", "pa55"} & set(re.findall(r"\w+", repr(settings)))
