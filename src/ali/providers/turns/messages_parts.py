"""Parts of the content of a response's items as Anthropic's content blocks."""

from typing import Any

from ali.kernel.errors import InvalidRequest
from ali.providers.translate.media import document_of_data, document_of_url, image_of_url, text_part
from ali.providers.translate.messages_turns import text_block, with_cache_mark
from ali.providers.translate.shapes import caller_objects


def text_blocks(content: object, *, param: str) -> list[dict[str, Any]]:
    """Content that may be text alone (of the system, of the assistant); blank text, which Anthropic refuses, goes."""
    return _blocks(content, param=param, dropped=None)


def content_blocks(content: object, *, param: str, dropped: set[str]) -> list[dict[str, Any]]:
    """Content of a user or of a tool: text, images and files."""
    return _blocks(content, param=param, dropped=dropped)


def _blocks(content: object, *, param: str, dropped: set[str] | None) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [text_part(content)] if content.strip() else []
    if not isinstance(content, list):
        raise InvalidRequest(f"{param} must be a string or a list of parts.", param=param)
    blocks: list[dict[str, Any]] = []
    for position, part in enumerate(caller_objects(content, param=param)):
        where = f"{param}[{position}]"
        match part.get("type"):
            case "input_text" | "output_text" | "text":
                blocks += text_block(part, param=where)
            case "refusal":
                blocks += text_block(part, param=where, field="refusal")
            case _ if dropped is None:
                raise InvalidRequest(f"{where}: only text can stand here.", param=f"{where}.type")
            case "input_image":
                blocks.append(with_cache_mark(part, _image(part, param=where, dropped=dropped)))
            case "input_file":
                blocks.append(with_cache_mark(part, _file(part, param=where, dropped=dropped)))
            case "search_result":  # this service's own: callers have no such part
                blocks.append(part)
            case "input_audio":
                raise InvalidRequest(
                    f"{where}: this model does not take audio; send its transcript.", param=f"{where}.type"
                )
            case _:
                raise InvalidRequest(
                    f"{where}.type must be input_text, input_image or input_file.", param=f"{where}.type"
                )
        if dropped is not None and part.get("prompt_cache_breakpoint"):
            dropped.add("prompt_cache_breakpoint")
    return blocks


def _image(part: dict[str, Any], *, param: str, dropped: set[str]) -> dict[str, Any]:
    if part.get("image_url") is None and part.get("file_id") is not None:
        raise InvalidRequest(
            f"{param}: a file_id is only known to its own provider. Send the image in image_url, as a data URL or an "
            "https URL.",
            param=f"{param}.file_id",
        )
    if part.get("detail") not in (None, "auto"):
        dropped.add("input_image.detail")
    return image_of_url(part.get("image_url"), param=f"{param}.image_url")


def _file(part: dict[str, Any], *, param: str, dropped: set[str]) -> dict[str, Any]:
    if part.get("detail") not in (None, "auto"):
        dropped.add("input_file.detail")
    name = part.get("filename")
    if part.get("file_data") is not None:
        return document_of_data(part["file_data"], name=name, param=f"{param}.file_data")
    if part.get("file_url") is not None:
        return document_of_url(part["file_url"], name=name, param=f"{param}.file_url")
    raise InvalidRequest(
        f"{param}: a file_id is only known to its own provider. Send the file itself in file_data, as "
        "data:application/pdf;base64,…, or a PDF's https URL in file_url.",
        param=f"{param}.file_id",
    )
