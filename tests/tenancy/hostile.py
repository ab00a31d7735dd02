"""Input that nobody means well with, generated for each place that the OpenAPI document declares."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote, urlencode

from tests.tenancy.wire import Request

INJECTIONS: Final = (
    "'; drop table ali.project; --",
    "' or '1'='1",
    "1) union select digest from ali.api_key --",
    '"; select pg_sleep(20); --',
    "%(organization)s :organization $1 %s {0} ${jndi:x}",
    "\\'; copy ali.project to program 'true'; --",
)
"""SQL in the ways in which it has been smuggled, and what formats of strings would fill in."""

WRONG: Final = (
    *("null", "true", "0", "-1", "1.5", "1e308", "1e999", "9" * 400, '""', "[]", "{}", "[null]", "[[[[[[]]]]]]"),
    *('{"a": {"a": {}}}', '"\\u0000"', '"a\\u0000b"', '"\\ud800"', '"\\u202e"', '"2030-01-01"', '["\\u0000"]'),
    *(json.dumps("x" * 3000), '{"id": "' + "y" * 300 + '"}', '[{"id": 1}]'),
    *(json.dumps(text) for text in INJECTIONS),
    json.dumps([INJECTIONS[0]]),
)
"""Values as JSON that a field of some type does not take, or takes as text and no more."""

IN_A_URL: Final = (
    *("", "%00", "a%00b", "%ff%fe", "%ed%a0%80", "..%2f..%2f", "-1", "null", "9" * 60, "1e999", "%F0%9F%A6%86", "%0a"),
    *(quote(text, safe="") for text in INJECTIONS),
    "x" * 3000,
)
"""Values as they stand in a path or a query."""

HEADERS: Final = (
    *("authorization", "x-api-key", "openai-project", "openai-organization", "idempotency-key", "ali-approval"),
    *("anthropic-version", "anthropic-beta", "x-ali-cache-ttl", "x-request-id", "content-type", "accept", "user-agent"),
    *("cookie", "referer", "origin", "x-forwarded-for", "forwarded", "x-forwarded-host", "traceparent"),
)
"""Headers that something on the way reads, or might."""

_HOLE: Final = "@hole@"


def in_the_path(request: Request, *, template: str) -> Iterator[Request]:
    """`request` with each identifier of its path (whose `template` the document has) replaced by each text."""
    parts, names = request.target.split("/"), template.split("/")
    for place, name in enumerate(names):
        if name.startswith("{"):
            for text in filter(None, IN_A_URL):
                yield replace(request, target="/".join([*parts[:place], text, *parts[place + 1 :]]))


def in_the_query(request: Request, *, operation: Mapping[str, Any]) -> Iterator[Request]:
    """`request` with each query parameter that the document declares set to each text, and given twice."""
    path, _, present = request.target.partition("?")
    kept = [pair for pair in present.split("&") if pair]
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "query":
            name = urlencode({parameter["name"]: ""}).removesuffix("=")
            others = [pair for pair in kept if not pair.startswith(f"{name}=")]
            for text in IN_A_URL:
                yield replace(request, target=f"{path}?{'&'.join([*others, f'{name}={text}'])}")
            yield replace(request, target=f"{path}?{name}=1&{name}=2")


def in_headers(request: Request) -> Iterator[Request]:
    """`request` with each header set to an injection and to what breaks other readers."""
    for index, name in enumerate(HEADERS):
        for text in (INJECTIONS[index % len(INJECTIONS)], "", "\x7f\xff" * 300):
            others = tuple(pair for pair in request.headers if pair[0].lower() != name)
            yield replace(request, headers=(*others, (name, text)))


def in_the_body(request: Request, *, schema: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[Request]:
    """`request` with each field of its body, at any depth, set to each wrong value, and given twice."""
    valid = json.loads(request.body or b"{}")
    for path in fields_of(schema, document=document):
        holed = json.dumps(put(valid, path, _HOLE))
        for value in WRONG:
            yield replace(request, body=holed.replace(f'"{_HOLE}"', value).encode())
    for name, value in valid.items():
        twice = f"{{{json.dumps(name)}: {json.dumps(value)}, {json.dumps(valid)[1:]}"
        yield replace(request, body=twice.encode())
    for body in (b"", b"null", b"[]", b"1", b'"x"', b"{", b"\xff", b"[" * 20_000, b'{"\\u0000": 1}', b'{"a":' * 5_000):
        yield replace(request, body=body)


def in_a_form(request: Request) -> Iterator[Request]:
    """`request` with its multipart body cut off at each place, and with its words replaced."""
    valid = request.body or b""
    for length in range(0, len(valid), 7):
        yield replace(request, body=valid[:length])
    for word in (b"purpose", b"batch", b"file", b"name=", b"form-data", b"A file", b"\r\n", b"--"):
        for text in (b"", b"\x00", b"\xff\xfe", b'"', b"x" * 3000, *map(str.encode, INJECTIONS)):
            yield replace(request, body=valid.replace(word, text))


def fields_of(schema: Mapping[str, Any], *, document: Mapping[str, Any]) -> Iterator[tuple[str | int, ...]]:
    """The paths of all fields of a schema; of an array, of its first item."""
    if reference := schema.get("$ref"):
        schema = document["components"]["schemas"][reference.rpartition("/")[2]]
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from fields_of(choice, document=document)
    if items := schema.get("items"):
        yield from ((0, *path) for path in ((), *fields_of(items, document=document)))
    for name, field in schema.get("properties", {}).items():
        yield from ((name, *path) for path in ((), *fields_of(field, document=document)))


def put(document: Any, path: tuple[str | int, ...], value: object) -> Any:  # noqa: ANN401 - any JSON
    """`document` with `value` at `path`, and whatever must lead there."""
    if not path:
        return value
    first, *rest = path
    if isinstance(first, int):
        return [put(document[0] if isinstance(document, list) and document else None, tuple(rest), value)]
    held = document if isinstance(document, dict) else {}
    return held | {first: put(held.get(first), tuple(rest), value)}
