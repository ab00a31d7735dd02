"""Tokens that were never issued: what has got past verifiers elsewhere, each made from a good one."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ali.features.identity.signing_keys import SigningKey

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def encoded(value: bytes | dict[str, Any]) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def joined(header: bytes | dict[str, Any], claims: bytes | dict[str, Any], signature: bytes) -> str:
    return f"{encoded(header)}.{encoded(claims)}.{encoded(signature)}"


def signed(header: bytes | dict[str, Any], claims: bytes | dict[str, Any], *, key: SigningKey) -> str:
    """A token truly signed by `key`, whatever it says."""
    unsigned = f"{encoded(header)}.{encoded(claims)}"
    return f"{unsigned}.{encoded(signature_of(unsigned.encode(), key=key))}"


def signature_of(message: bytes, *, key: SigningKey) -> bytes:
    if isinstance(key.private_key, Ed25519PrivateKey):
        return key.private_key.sign(message)
    r, s = decode_dss_signature(key.private_key.sign(message, ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


def hostile_tokens(
    header: dict[str, Any], claims: dict[str, Any], *, key: SigningKey, other: SigningKey, p256: SigningKey
) -> Iterator[tuple[str, str]]:
    """Names and tokens. `key` and `p256` are published and could sign `claims`; `other` is not published."""
    yield from _without_signature(header, claims)
    yield from _with_a_public_key_as_secret(header, claims, key=key)
    yield from _other_algorithms(header, claims, key=key, p256=p256)
    yield from _named_keys(header, claims, key=key, other=other)
    yield from _header_parameters(header, claims, key=key, other=other)
    yield from _claims(header, claims, key=key)
    yield from _signatures(header, claims, key=key, p256=p256)
    yield from _spellings(signed(header, claims, key=key))
    yield from _raw_json(header, claims, key=key)


def _without_signature(header: dict[str, Any], claims: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for spelling in ("none", "None", "NONE", "nOnE", "none ", " none", "", "null", "HS0"):
        yield f"alg {spelling!r}", f"{encoded({**header, 'alg': spelling})}.{encoded(claims)}."
        yield f"alg {spelling!r} with a signature", joined({**header, "alg": spelling}, claims, b"\0" * 64)
    for value in (None, True, 0, [], ["none"], ["EdDSA"], {"EdDSA": 1}):
        yield f"alg {value!r}", joined({**header, "alg": value}, claims, b"\0" * 64)
    yield "no alg", joined(without(header, "alg"), claims, b"\0" * 64)


def _with_a_public_key_as_secret(
    header: dict[str, Any], claims: dict[str, Any], *, key: SigningKey
) -> Iterator[tuple[str, str]]:
    public = key.private_key.public_key()
    assert isinstance(public, Ed25519PublicKey)
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secrets = {
        "PEM": pem,
        "stripped PEM": pem.strip(),
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "raw key": raw,
        "JWK": json.dumps({"kty": "OKP", "crv": "Ed25519", "x": encoded(raw)}).encode(),
        "kid": key.kid.encode(),
        "nothing": b"",
    }
    for algorithm, name in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
        for what, secret in secrets.items():
            unsigned = f"{encoded({**header, 'alg': algorithm})}.{encoded(claims)}"
            mac = hmac.digest(secret, unsigned.encode(), name)
            yield f"{algorithm} under the {what}", f"{unsigned}.{encoded(mac)}"


def _other_algorithms(
    header: dict[str, Any], claims: dict[str, Any], *, key: SigningKey, p256: SigningKey
) -> Iterator[tuple[str, str]]:
    rsa = generate_rsa(public_exponent=65537, key_size=2048)
    unsigned = f"{encoded({**header, 'alg': 'RS256'})}.{encoded(claims)}"
    yield "RS256 by a stranger", f"{unsigned}.{encoded(rsa.sign(unsigned.encode(), PKCS1v15(), SHA256()))}"
    for algorithm in ("RS256", "RS384", "RS512", "PS256", "PS512", "ES256", "ES384", "ES256K", "Ed25519", "eddsa"):
        yield f"{algorithm} named, EdDSA made", signed({**header, "alg": algorithm}, claims, key=key)
    yield "ES256 under an EdDSA key's name", signed({**header, "alg": "ES256"}, claims, key=p256)
    yield "EdDSA under a P-256 key's name", signed({**header, "kid": p256.kid}, claims, key=key)


def _named_keys(
    header: dict[str, Any], claims: dict[str, Any], *, key: SigningKey, other: SigningKey
) -> Iterator[tuple[str, str]]:
    for kid in (
        other.kid,
        "",
        "../../../../dev/null",
        "/dev/null",
        "..\\..\\windows\\win.ini",
        "' OR '1'='1",
        "x' UNION SELECT 'secret' --",
        "$(id)",
        "| sleep 5",
        "http://127.0.0.1/key",
        key.kid + "\0",
        key.kid + " ",
        key.kid.swapcase(),
        key.kid[:-1],
        None,
        0,
        True,
        [key.kid],
        {"kid": key.kid},
    ):
        yield f"kid {kid!r}", signed({**header, "kid": kid}, claims, key=key)
    yield "no kid", signed(without(header, "kid"), claims, key=key)
    yield "an unpublished key", signed({**header, "kid": other.kid}, claims, key=other)
    yield "an unpublished key under a published name", signed(header, claims, key=other)


def _header_parameters(
    header: dict[str, Any], claims: dict[str, Any], *, key: SigningKey, other: SigningKey
) -> Iterator[tuple[str, str]]:
    public = other.private_key.public_key()
    assert isinstance(public, Ed25519PublicKey)
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": encoded(raw), "kid": header["kid"]}
    extras: tuple[dict[str, Any], ...] = (
        {"jku": "http://127.0.0.1:9/jwks.json"},
        {"jku": "https://example.com/.well-known/jwks.json#/../x"},
        {"jwk": jwk},
        {"x5u": "http://127.0.0.1:9/cert.pem"},
        {"x5c": ["MIIB"]},
        {"crit": ["exp"]},
        {"crit": ["b64"], "b64": False},
        {"crit": []},
        {"b64": False},
        {"b64": True},
        {"zip": "DEF"},
        {"enc": "A256GCM"},
    )
    for extra in extras:
        yield f"{sorted(extra)} {next(iter(extra.values()))!r}", signed({**header, **extra}, claims, key=key)
        yield (
            f"{sorted(extra)} {next(iter(extra.values()))!r} by its own key",
            signed({**header, **extra}, claims, key=other),
        )
    for typ in ("JWT", "jwt", "at+JWT ", "AT+JWT", "application/at+jwt", "id+jwt", "", None, 1, ["at+jwt"]):
        yield f"typ {typ!r}", signed({**header, "typ": typ}, claims, key=key)
    yield "no typ", signed(without(header, "typ"), claims, key=key)


def _claims(header: dict[str, Any], claims: dict[str, Any], *, key: SigningKey) -> Iterator[tuple[str, str]]:
    now = claims["iat"]
    wrong: dict[str, tuple[Any, ...]] = {
        "iss": ("https://other.example", claims["iss"] + "/", claims["iss"].upper(), "", None, 1, [claims["iss"]]),
        "aud": ("other", claims["aud"] + "/", "", None, 1, [], [claims["aud"]], [claims["aud"], "other"], {}),
        "sub": ("", "root", "*", None, 1, ["x"], claims["sub"] + "0"),
        "sid": ("", None, 7, "' or 1=1", True),
        "org": ("", None, 7, "../other", [claims["org"]]),
        "role": (None, 1, True, ["owner"], {}),
        "jti": (None, 1, []),
        "exp": (now - 3600, now - 6, 0, -1, now, now + 100_000, 1e300, "x", str(now + 60), None, True, [], 2**70),
        "iat": (now + 3600, now + 6, now - 3600, "x", str(now), None, True, 2**70, -(2**70)),
        "nbf": (now + 3600, now + 6, "x", str(now), True, 2**70),
    }
    for name, values in wrong.items():
        for value in values:
            yield f"{name} {value!r}", signed(header, {**claims, name: value}, key=key)
        if name != "nbf":
            yield f"no {name}", signed(header, without(claims, name), key=key)
    yield "expired by a second past the leeway", signed(header, {**claims, "iat": now - 606, "exp": now - 6}, key=key)


def _signatures(
    header: dict[str, Any], claims: dict[str, Any], *, key: SigningKey, p256: SigningKey
) -> Iterator[tuple[str, str]]:
    good = signed(header, claims, key=key)
    unsigned, _, _ = good.rpartition(".")
    signature = signature_of(unsigned.encode(), key=key)
    for what, changed in {
        "of nothing": b"",
        "of zeros": b"\0" * 64,
        "cut by one byte": signature[:-1],
        "cut to half": signature[:32],
        "longer by one byte": signature + b"\0",
        "twice": signature + signature,
        "reversed": signature[::-1],
        "of another message": signature_of(b"x", key=key),
        "that is a hash": hashlib.sha512(unsigned.encode()).digest(),
    }.items():
        yield f"a signature {what}", f"{unsigned}.{encoded(changed)}"
    es256 = f"{encoded({**header, 'alg': 'ES256', 'kid': p256.kid})}.{encoded(claims)}"
    true_r, true_s = (signature_of(es256.encode(), key=p256)[part] for part in (slice(32), slice(32, 64)))
    order = P256_ORDER.to_bytes(32, "big")
    for what, changed in {
        "zero r and s (CVE-2022-21449)": b"\0" * 64,
        "zero r": b"\0" * 32 + true_s,
        "zero s": true_r + b"\0" * 32,
        "r of the order": order + true_s,
        "s of the order": true_r + order,
        "both of the order": order + order,
        "as DER of zeros": bytes.fromhex("3006020100020100"),
        "as DER": encode_dss_signature(int.from_bytes(true_r, "big"), int.from_bytes(true_s, "big")),
        "cut": true_r + true_s[:-1],
        "extended": true_r + true_s + b"\0",
    }.items():
        yield f"ES256 with {what}", f"{es256}.{encoded(changed)}"
    stranger = generate_private_key(SECP256R1()).sign(es256.encode(), ECDSA(SHA256()))
    yield "ES256 by a stranger", f"{es256}.{encoded(stranger)}"


def _spellings(good: str) -> Iterator[tuple[str, str]]:
    header, claims, signature = good.split(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    slack = alphabet[(alphabet.index(signature[-1]) & ~0xF) | 0xF]
    slack = slack if slack != signature[-1] else alphabet[(alphabet.index(signature[-1]) & ~0xF) | 0x7]
    yield "a last character with other slack bits", f"{header}.{claims}.{signature[:-1]}{slack}"
    yield from {
        "padded signature": f"{good}==",
        "padded header": f"{header}=.{claims}.{signature}",
        "padded claims": f"{header}.{claims}=.{signature}",
        "leading space": f" {good}",
        "trailing space": f"{good} ",
        "trailing line end": f"{good}\n",
        "trailing return": f"{good}\r\n",
        "trailing NUL": f"{good}\0",
        "space within": f"{header}. {claims}.{signature}",
        "line end within": f"{header}.{claims[:9]}\n{claims[9:]}.{signature}",
        "standard base64": good[:-4] + "+/+/",
        "another script's full stop": good.replace(".", "\u3002"),
        "full-width letter": good.replace("e", "\uff45", 1),
        "lone surrogate": f"{good}\ud800",
        "Bearer before it": f"Bearer {good}",
        "one segment": header,
        "two segments": f"{header}.{claims}",
        "four segments": f"{good}.{signature}",
        "five segments": f"{good}.{signature}.{signature}",
        "empty header": f".{claims}.{signature}",
        "empty claims": f"{header}..{signature}",
        "only stops": "..",
        "nothing": "",
        "a leading stop": f".{good}",
        "JSON serialization": json.dumps({"protected": header, "payload": claims, "signature": signature}),
        "twice, with a comma": f"{good},{good}",
        "swapped segments": f"{claims}.{header}.{signature}",
        "huge": good + "A" * 100_000,
        "a million stops": "." * 1_000_000,
    }.items()


def _raw_json(header: dict[str, Any], claims: dict[str, Any], *, key: SigningKey) -> Iterator[tuple[str, str]]:
    """Truly signed, and ambiguous or malformed as JSON."""
    head, body = (json.dumps(value, separators=(",", ":")) for value in (header, claims))
    for what, text in {
        "sub twice": body[:-1] + ',"sub":"00000000-0000-0000-0000-000000000000"}',
        "exp twice": '{"exp":1,' + body[1:],
        "role twice, once escaped": body[:-1] + ',"r\\u006fle":"owner"}',
        "NaN": body[:-1] + ',"exp":NaN}',
        "Infinity": body.replace(f'"exp":{claims["exp"]}', '"exp":Infinity'),
        "an array": f"[{body}]",
        "a string": json.dumps(body),
        "null": "null",
        "a number": "1",
        "an empty object": "{}",
        "trailing text": body + "x",
        "two objects": body + body,
        "cut": body[:-1],
        "a byte order mark": "\ufeff" + body,
        "a comment": "/**/" + body,
        "single quotes": body.replace('"', "'"),
        "deep nesting": '{"a":' * 500 + "1" + "}" * 500,
        "digits without end": body[:-1] + ',"x":' + "9" * 1500 + "x}",
    }.items():
        yield f"claims: {what}", signed(header, text.encode(), key=key)
    yield "claims: UTF-16", signed(header, body.encode("utf-16"), key=key)
    yield "claims: not UTF-8", signed(header, body.encode() + b"\xff", key=key)
    for what, text in {
        "alg twice": head[:-1] + ',"alg":"none"}',
        "alg twice, none first": '{"alg":"none",' + head[1:],
        "kid twice": head[:-1] + ',"kid":"x"}',
        "an array": f"[{head}]",
        "null": "null",
        "cut": head[:-1],
        "trailing text": head + "x",
        "deep nesting": '{"a":' * 500 + "1" + "}" * 500,
    }.items():
        yield f"header: {what}", signed(text.encode(), claims, key=key)
