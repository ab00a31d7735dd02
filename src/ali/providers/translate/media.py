"""Images and documents: OpenAI's content parts and Anthropic's content blocks."""

import base64
import binascii
from typing import Any

from ali.kernel.errors import InvalidRequest
from ali.providers.translate.shapes import caller_name, caller_object, caller_objects, caller_text

_IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_PDF = "application/pdf"
_BASE64_OF_PDF_MAGIC = "JVBERi"  # "%PDF-"


def image_block(part: dict[str, Any], *, param: str, dropped: set[str]) -> dict[str, Any]:
    """OpenAI's `image_url` part as an `image` block: a data URL as base64, an https URL as it is."""
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if isinstance(image, dict) and image.get("detail") not in (None, "auto"):
        dropped.add("image_url.detail")
    return image_of_url(url, param=f"{param}.image_url.url")


def image_of_url(url: object, *, param: str) -> dict[str, Any]:
    """An `image` block: a data URL as base64, an https URL as it is."""
    url = caller_name(url, param=param)
    if url.startswith("data:"):
        media_type, data = _data_url(url, param=param)
        if media_type not in _IMAGE_TYPES:
            raise InvalidRequest(
                f"{param}: this model's provider takes JPEG, PNG, GIF and WebP images, in base64.", param=param
            )
        return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
    if not url.lower().startswith("https://"):
        raise InvalidRequest(f"{param} must be an https URL or a data URL.", param=param)
    return {"type": "image", "source": {"type": "url", "url": url}}


def document_block(part: dict[str, Any], *, param: str) -> dict[str, Any]:
    """OpenAI's `file` part with its data inside as a `document` block: PDF, or plain text."""
    where = f"{param}.file"
    file = caller_object(part.get("file"), param=where)
    data = file.get("file_data")
    if data is None:
        raise InvalidRequest(
            f"{where}: a file_id is only known to its own provider. Send the file itself in file_data, "
            "as data:application/pdf;base64,…",
            param=f"{where}.file_id",
        )
    return document_of_data(data, name=file.get("filename"), param=f"{where}.file_data")


def document_of_data(data: object, *, name: object, param: str) -> dict[str, Any]:
    """A `document` block with `name` as its title: PDF, or plain text, as a data URL (a PDF as bare base64, too)."""
    data = caller_name(data, param=param)
    if data.startswith(_BASE64_OF_PDF_MAGIC):
        media_type = _PDF
    else:
        media_type, data = _data_url(data, param=param)
    block: dict[str, Any] = {"type": "document"}
    if media_type == _PDF:
        block["source"] = {"type": "base64", "media_type": _PDF, "data": data}
    elif media_type.startswith("text/"):
        block["source"] = {"type": "text", "media_type": "text/plain", "data": _decoded_text(data, param=param)}
    else:
        raise InvalidRequest(f"{param}: this model's provider takes PDF and plain text files.", param=param)
    return titled(block, name)


def document_of_url(url: object, *, name: object, param: str) -> dict[str, Any]:
    """A `document` block that the provider fetches: a PDF behind an https URL."""
    url = caller_name(url, param=param)
    if not url.lower().startswith("https://"):
        raise InvalidRequest(f"{param} must be an https URL of a PDF.", param=param)
    return titled({"type": "document", "source": {"type": "url", "url": url}}, name)


def titled(block: dict[str, Any], name: object) -> dict[str, Any]:
    """`block` with a file's name as its title, where there is one."""
    if isinstance(name, str) and name:
        block["title"] = name
    return block


def image_part(block: dict[str, Any], *, param: str) -> dict[str, Any]:
    """An `image` block as OpenAI's `image_url` part."""
    source = caller_object(block.get("source"), param=f"{param}.source")
    match source.get("type"):
        case "base64":
            media_type = caller_name(source.get("media_type"), param=f"{param}.source.media_type")
            data = caller_name(source.get("data"), param=f"{param}.source.data")
            return {"type": "image_url", "image_url": {"url": f"data:{media_type};base64,{data}"}}
        case "url":
            url = caller_name(source.get("url"), param=f"{param}.source.url")
            return {"type": "image_url", "image_url": {"url": url}}
        case _:
            raise InvalidRequest(
                f"{param}.source: an uploaded file is only known to its own provider. Send the image as base64 or url.",
                param=f"{param}.source",
            )


def document_parts(block: dict[str, Any], *, param: str, dropped: set[str]) -> list[dict[str, Any]]:
    """A `document` block as OpenAI's parts: a PDF as a `file`, text as text under its title, images as images."""
    source = caller_object(block.get("source"), param=f"{param}.source")
    citations = block.get("citations")
    if isinstance(citations, dict) and citations.get("enabled"):
        dropped.add("citations")
    title, context = (value if isinstance(value := block.get(name), str) else "" for name in ("title", "context"))
    match source.get("type"):
        case "base64":
            media_type = caller_name(source.get("media_type"), param=f"{param}.source.media_type")
            data = caller_name(source.get("data"), param=f"{param}.source.data")
            name = title or "document.pdf"
            file = {"type": "file", "file": {"filename": name, "file_data": f"data:{media_type};base64,{data}"}}
            return [text_part(context), file] if context else [file]
        case "text":
            text = caller_text(source.get("data"), param=f"{param}.source.data")
            return [text_part(_under(title, context, text))]
        case "content":
            return _content_parts(source.get("content"), title=title, context=context, param=f"{param}.source.content")
        case _:
            raise InvalidRequest(
                f"{param}.source: this model's provider takes no document by URL or file id; send base64 or text.",
                param=f"{param}.source",
            )


def search_result_part(block: dict[str, Any], *, param: str, dropped: set[str]) -> dict[str, Any]:
    """A `search_result` block as text under its title and source."""
    citations = block.get("citations")
    if isinstance(citations, dict) and citations.get("enabled"):
        dropped.add("citations")
    title = caller_text(block.get("title"), param=f"{param}.title")
    source = caller_text(block.get("source"), param=f"{param}.source")
    texts = [
        caller_text(item.get("text"), param=f"{param}.content[{position}].text")
        for position, item in enumerate(caller_objects(block.get("content"), param=f"{param}.content"))
    ]
    return text_part(_under(title, source, "\n".join(texts)))


def text_part(text: str) -> dict[str, Any]:
    """A text part, which is a text block as well."""
    return {"type": "text", "text": text}


def _content_parts(content: object, *, title: str, context: str, param: str) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [text_part(_under(title, context, content))]
    parts = [text_part(heading)] if (heading := _under(title, context)) else []
    for position, item in enumerate(caller_objects(content, param=param)):
        where = f"{param}[{position}]"
        if item.get("type") == "image":
            parts.append(image_part(item, param=where))
        else:
            parts.append(text_part(caller_text(item.get("text"), param=f"{where}.text")))
    return parts


def _under(*lines: str) -> str:
    return "\n".join(line for line in lines if line)


def _data_url(url: str, *, param: str) -> tuple[str, str]:
    """Media type and base64 data of a data URL (RFC 2397)."""
    head, comma, data = url.removeprefix("data:").partition(",")
    media_type, *options = head.split(";")
    if not comma or not url.startswith("data:") or "base64" not in options or not data:
        raise InvalidRequest(f"{param} must be a data URL in base64: data:<media type>;base64,<data>.", param=param)
    return media_type.strip().lower(), data


def _decoded_text(data: str, *, param: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"{param} must be UTF-8 text in base64.", param=param) from error
