"""The requests of a message batch, cut out of its JSON body as it comes, without ever having the whole of it. Pure.

    {"requests": [{…}, {…}, …]}

Only brackets and strings are looked at here; whether what lies between is JSON is judged for each request by itself.
"""

import re
from typing import Final, Literal

from ali.kernel.errors import InvalidRequest

_HEAD: Final = re.compile(rb'\s*\{\s*"requests"\s*:\s*\[')
_TAIL: Final = re.compile(rb"\s*\}\s*")
_BETWEEN: Final = re.compile(rb"[ \t\r\n]*")
_OUTSIDE: Final = re.compile(rb'["\[\]{}]')
_INSIDE: Final = re.compile(rb'["\\]')
_MOST_AROUND: Final = 4096


class Elements:
    """Feed it the body; it gives each request as soon as it is whole, on one line. Raises `InvalidRequest`."""

    def __init__(self, *, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._rest = b""
        self._at: Literal["head", "between", "element", "tail"] = "head"
        self._first = True
        self._position = 0
        self._depth = 0
        self._in_string = False

    def feed(self, data: bytes) -> list[bytes]:
        """The requests that `data` completes."""
        self._rest += data
        found: list[bytes] = []
        while self._step(found):
            pass
        return found

    def finish(self) -> None:
        """The body has ended. Raises `InvalidRequest` where its JSON has not."""
        if self._at != "tail" or not _TAIL.fullmatch(self._rest):
            raise _malformed()

    def _step(self, found: list[bytes]) -> bool:
        """Take one thing from what is there; False where more must come first."""
        match self._at:
            case "head":
                begun = _HEAD.match(self._rest)
                if begun is None:
                    self._refuse_long()
                    return False
                self._rest, self._at = self._rest[begun.end() :], "between"
                return True
            case "between":
                return self._begin_next()
            case "element":
                return self._end_element(found)
            case "tail":
                self._refuse_long()
                return False

    def _begin_next(self) -> bool:
        self._rest = self._rest[_BETWEEN.match(self._rest).end() :]  # type: ignore[union-attr] # it matches nothing too
        if not self._rest:
            return False
        mark = self._rest[:1]
        if mark == b"]":
            self._rest, self._at = self._rest[1:], "tail"
            return True
        if not self._first:
            if mark != b",":
                raise _malformed()
            after = self._rest[1:].lstrip(b" \t\r\n")
            if not after:
                return False
            self._rest, mark = after, after[:1]
        if mark != b"{":
            raise InvalidRequest("Each of `requests` is an object with custom_id and params.", param="requests")
        self._first, self._at, self._position, self._depth = False, "element", 0, 0
        return True

    def _end_element(self, found: list[bytes]) -> bool:
        """Look on for the bracket that closes the element; cost: one step for each bracket and quote."""
        rest, position, depth, in_string = self._rest, self._position, self._depth, self._in_string
        while (mark := (_INSIDE if in_string else _OUTSIDE).search(rest, position)) is not None:
            character, position = mark[0], mark.end()
            if character == b'"':
                in_string = not in_string
            elif character == b"\\":
                if position == len(rest):  # what is escaped is still to come
                    position -= 1
                    break
                position += 1
            elif character in b"[{":
                depth += 1
            else:
                depth -= 1
                if depth == 0:
                    found.append(rest[:position].replace(b"\n", b" ").replace(b"\r", b" "))
                    self._rest, self._at, self._in_string = rest[position:], "between", False
                    return True
        else:
            position = len(rest)
        self._position, self._depth, self._in_string = position, depth, in_string
        if len(rest) > self._most_bytes:
            raise InvalidRequest(f"A request has more than {self._most_bytes} bytes.", param="requests")
        return False

    def _refuse_long(self) -> None:
        if len(self._rest) > _MOST_AROUND:
            raise _malformed()


def _malformed() -> InvalidRequest:
    return InvalidRequest('Send JSON: {"requests": [{"custom_id": …, "params": {…}}, …]}, and no other field.')
