"""An issuer of OpenID Connect on loopback that does what a test tells it, right or wrong; and a plain `Fetch`."""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from ali.features.identity.openid import Attempt, Fetch, RelyingParty, Reply, SignerCache
from ali.kernel.openid_provider import OpenIdProvider

NOW: Final = datetime(2026, 11, 24, 12, tzinfo=UTC)
CALLBACK: Final = "https://ali.example/v1/ali/auth/openid/local/callback"
CLIENT: Final = "ali-client"
RSA: Final = generate_rsa(public_exponent=65537, key_size=2048)
KEYS: Final[dict[str, Any]] = {
    "RS256": RSA,
    "PS256": RSA,
    "ES256": generate_ec(SECP256R1()),
    "EdDSA": Ed25519PrivateKey.generate(),
}


def public_jwk(algorithm: str, key: Any, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any kind of key and member
    kind: Any = {"RS256": RSAAlgorithm, "PS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}[algorithm]
    return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": algorithm, "alg": algorithm, "use": "sig", **more}


def s256(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


class Issuer:
    """What it says of itself (`document`, `keys`), of the person (`claims`), and what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.algorithm = "RS256"
        self.document: dict[str, Any] = {
            "issuer": url,
            "authorization_endpoint": f"{url}/authorize",
            "token_endpoint": f"{url}/token",
            "userinfo_endpoint": f"{url}/userinfo",
            "jwks_uri": f"{url}/keys",
            "code_challenge_methods_supported": ["S256"],
        }
        self.keys = [public_jwk(algorithm, key) for algorithm, key in KEYS.items()]
        self.claims: dict[str, Any] = {
            "sub": "subject-1",
            "email": "Ana@Example.com",
            "email_verified": True,
            "name": "Ana Souza",
            "groups": ["assistants"],
        }
        self.header: dict[str, Any] = {}
        self.signing_key: Any = None
        self.userinfo: dict[str, Any] = {"sub": "subject-1"}
        self.tokens: dict[str, Any] = {}
        self.status: dict[str, int] = {}
        self.raw: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()
        self.forms: list[dict[str, str]] = []
        self.headers: list[Mapping[str, str]] = []
        self.granted: dict[str, dict[str, str]] = {}

    def authorize(self, url: str) -> dict[str, str]:
        """The browser's part: the query with which it would come back, signed in."""
        query = dict(parse_qsl(urlsplit(url).query))
        code = f"code-{len(self.granted)}"
        self.granted[code] = query
        return {"code": code, "state": query["state"]}

    def id_token(self, nonce: str) -> str:
        now_s = int(NOW.timestamp())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now_s, "exp": now_s + 300, "nonce": nonce, **self.claims}
        claims = {name: value for name, value in claims.items() if value is not None}
        headers = {"kid": self.algorithm, **self.header}
        return jwt.encode(claims, self.signing_key or KEYS[self.algorithm], algorithm=self.algorithm, headers=headers)

    async def answer(self, request: web.Request) -> web.Response:
        """All paths."""
        path = request.path
        self.asked[path] += 1
        if path in self.raw:
            return web.Response(body=self.raw[path], status=self.status.get(path, 200))
        if path in self.status:
            return web.json_response(
                {"error": "invalid_grant"}, status=self.status[path], headers={"location": "/keys"}
            )
        if path == "/token":
            form = dict(parse_qsl((await request.read()).decode()))
            self.forms.append(form)
            self.headers.append(dict(request.headers))
            granted = self.granted.pop(form["code"], None)
            if granted is None or s256(form["code_verifier"]) != granted["code_challenge"]:
                return web.json_response({"error": "invalid_grant"}, status=400)
            body = {"access_token": "at", "token_type": "Bearer", "id_token": self.id_token(granted["nonce"])}
            return web.json_response({**body, **self.tokens})
        body = {
            "/.well-known/openid-configuration": self.document,
            "/keys": {"keys": self.keys},
            "/userinfo": self.userinfo,
        }[path]
        return web.Response(body=json.dumps(body).encode(), content_type="application/json")


@asynccontextmanager
async def issuing() -> AsyncIterator[Issuer]:
    """An issuer on a free port."""
    application = web.Application()
    runner = web.AppRunner(application)
    holder: list[Issuer] = []

    async def answer(request: web.Request) -> web.Response:
        return await holder[0].answer(request)

    application.router.add_route("*", "/{path:.*}", answer)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    holder.append(Issuer(f"http://{host}:{port}"))
    try:
        yield holder[0]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def fetching() -> AsyncIterator[Fetch]:
    """What the service's guarded client is in production, over aiohttp."""
    async with aiohttp.ClientSession() as session:

        async def fetch(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
            try:
                async with session.request(
                    method, url, headers=headers, data=body or None, allow_redirects=False
                ) as response:
                    names = {name.lower(): value for name, value in response.headers.items()}
                    return Reply(status=response.status, headers=names, body=await response.read())
            except aiohttp.ClientError as error:
                raise OSError(str(error)) from error

        yield fetch


def provider_of(issuer: str, **values: Any) -> OpenIdProvider:  # noqa: ANN401 - any setting
    given = {"name": "local", "issuer": issuer, "client_id": CLIENT, "client_secret": "s3cret", "allow_http": True}
    return OpenIdProvider.model_validate({**given, "group_roles": {"assistants": "member"}, **values})


class SignIn:
    """A relying party before an issuer, and the whole way through it."""

    def __init__(self, issuer: Issuer, fetch: Fetch, *, signers: SignerCache | None = None, **values: Any) -> None:  # noqa: ANN401 - any setting
        self.issuer = issuer
        self.party = RelyingParty(provider_of(issuer.url, **values), fetch=fetch, signers=signers or SignerCache(fetch))

    async def begun(self, now: datetime = NOW) -> tuple[Attempt, dict[str, str]]:
        attempt, url = await self.party.begin(redirect_uri=CALLBACK, now=now)
        return attempt, self.issuer.authorize(url)
