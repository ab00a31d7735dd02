"""The parts of a message's content, and of a tool's output, as the Responses API takes them.

Source: OpenAI API reference, "Create a response", `input`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from ali.features.conversations.refusals import missing, not_among, wrong_type, wrong_value
from ali.kernel.errors import InvalidRequest

Json = dict[str, Any]

_PLACE: Final = re.compile(r"https?://.|data:.", re.DOTALL | re.IGNORECASE)
_DETAILS: Final = ("low", "high", "auto", "original")
_SOUNDS: Final = ("mp3", "wav")


def read_content(raw: object, *, assistant: bool, where: str) -> list[Json]:
    """A message's `content`: a string becomes the one part that it stands for.

    The assistant's messages are made of `output_text` and `refusal`, everybody else's of `input_…`. `where` is the
    content's own path, as in `input[2].content`. Raises `InvalidRequest`.
    """
    if isinstance(raw, str):
        return [_said(raw) if assistant else {"type": "input_text", "text": raw}]
    return _read_parts(raw, _SPOKEN if assistant else _SENT, where=where)


def read_output(raw: object, *, where: str) -> str | list[Json]:
    """The output of a tool that the caller ran: text, or parts as in a user's message. Raises `InvalidRequest`."""
    return raw if isinstance(raw, str) else _read_parts(raw, _RETURNED, where=where)


def read_thoughts(raw: object, *, kind: str, where: str) -> list[Json]:
    """Pieces of reasoning, each of type `kind` with its text; null counts as none. Raises `InvalidRequest`."""
    return [] if raw is None else _read_parts(raw, {kind: _text}, where=where)


_Reader = Callable[[Json, str], Json]


def _read_parts(raw: object, readers: Mapping[str, _Reader], *, where: str) -> list[Json]:
    if not isinstance(raw, list):
        raise wrong_type(where, raw, expected="one of a string or an array of objects")
    return [_read_part(part, readers, where=f"{where}[{place}]") for place, part in enumerate(raw)]


def _read_part(raw: object, readers: Mapping[str, _Reader], *, where: str) -> Json:
    if not isinstance(raw, dict):
        raise wrong_type(where, raw, expected="an object")
    kind = raw.get("type")
    if kind is None:
        raise missing(f"{where}.type")
    if not isinstance(kind, str):
        raise wrong_type(f"{where}.type", kind, expected="a string")
    reader = readers.get(kind)
    if reader is None:
        raise not_among(f"{where}.type", readers)
    return reader(raw, where)


def _said(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _required_text(raw: Json, field: str, *, where: str) -> None:
    value = raw.get(field)
    if not isinstance(value, str):
        raise (
            missing(f"{where}.{field}") if value is None else wrong_type(f"{where}.{field}", value, expected="a string")
        )


def _text(raw: Json, where: str) -> Json:
    _required_text(raw, "text", where=where)
    return raw


def _refusal(raw: Json, where: str) -> Json:
    _required_text(raw, "refusal", where=where)
    return raw


def _output_text(raw: Json, where: str) -> Json:
    _required_text(raw, "text", where=where)
    part = dict(raw)
    for field in ("annotations", "logprobs"):
        value = part.get(field)
        if value is None:
            part[field] = []
        elif not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise wrong_type(f"{where}.{field}", value, expected="an array of objects")
    return part


def _image(raw: Json, where: str) -> Json:
    source = _only(raw, ("image_url", "file_id"), where=where)
    if source == "image_url":
        _check_place(raw["image_url"], param=f"{where}.image_url")
    detail = raw.get("detail")
    if detail is None:
        return {**raw, "detail": "auto"}
    if detail not in _DETAILS:
        raise not_among(f"{where}.detail", _DETAILS)
    return raw


def _file(raw: Json, where: str) -> Json:
    source = _only(raw, ("file_id", "file_url", "file_data"), where=where)
    if source == "file_url":
        _check_place(raw["file_url"], param=f"{where}.file_url")
    filename = raw.get("filename")
    if filename is not None and not isinstance(filename, str):
        raise wrong_type(f"{where}.filename", filename, expected="a string")
    return raw


def _sound(raw: Json, where: str) -> Json:
    sound = raw.get("input_audio")
    if not isinstance(sound, dict):
        raise wrong_type(f"{where}.input_audio", sound, expected="an object")
    _required_text(sound, "data", where=f"{where}.input_audio")
    if sound.get("format") not in _SOUNDS:
        raise not_among(f"{where}.input_audio.format", _SOUNDS)
    return raw


def _only(raw: Json, fields: tuple[str, ...], *, where: str) -> str:
    """The one of `fields` that is given, as a string that is not empty."""
    given = [field for field in fields if raw.get(field) is not None]
    if len(given) != 1:
        names = " or ".join(repr(field) for field in fields)
        if not given:
            raise InvalidRequest(
                f"Missing required parameter: '{where}.{fields[0]}'. Give one of {names}.",
                param=f"{where}.{fields[0]}",
                code="missing_required_parameter",
            )
        raise InvalidRequest(
            f"Mutually exclusive parameters in '{where}'. Give only one of {names}.",
            param=where,
            code="mutually_exclusive_parameters",
        )
    value = raw[given[0]]
    if not isinstance(value, str):
        raise wrong_type(f"{where}.{given[0]}", value, expected="a string")
    if not value:
        raise wrong_value(f"{where}.{given[0]}", expected="Give a string that is not empty.")
    return given[0]


def _check_place(address: str, *, param: str) -> None:
    if _PLACE.match(address) is None:
        raise wrong_value(param, expected="Give a URL that begins with https://, http:// or data:.")


_RETURNED: Final[Mapping[str, _Reader]] = {"input_text": _text, "input_image": _image, "input_file": _file}
_SENT: Final[Mapping[str, _Reader]] = {**_RETURNED, "input_audio": _sound}
_SPOKEN: Final[Mapping[str, _Reader]] = {"output_text": _output_text, "refusal": _refusal}
