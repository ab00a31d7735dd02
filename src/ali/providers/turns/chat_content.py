"""What stands in a Responses message or in a tool's output, as the content of chat messages."""

from typing import Any, Final

from ali.kernel.errors import InvalidRequest
from ali.providers.translate.media import text_part
from ali.providers.translate.shapes import caller_name, caller_object, caller_objects, caller_text

_BASE64_OF_PDF_MAGIC: Final = "JVBERi"  # "%PDF-"
_TEXTS: Final = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
_AUDIO_FORMATS: Final = ("mp3", "wav")


def chat_content(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Chat parts as content: a lone text as a string, which every compatible server takes; else the parts."""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        text: str = parts[0]["text"]
        return text
    return parts


def text_of(content: object, *, param: str) -> str:
    """Content that can only be text, a string or text parts, joined; a refusal is text as well."""
    if isinstance(content, str):
        return content
    texts = []
    for position, part in enumerate(caller_objects(content, param=param)):
        kind = part.get("type")
        if not isinstance(kind, str) or kind not in _TEXTS:
            raise InvalidRequest(
                f"{param}[{position}]: only text can stand here for this model.", param=f"{param}[{position}].type"
            )
        texts.append(caller_text(part.get(_TEXTS[kind]), param=f"{param}[{position}].{_TEXTS[kind]}"))
    return "".join(texts)


def chat_parts(content: object, *, param: str, dropped: set[str]) -> list[dict[str, Any]]:
    """Content that may hold text, images, files and audio, as chat parts. Raises `InvalidRequest`."""
    if isinstance(content, str):
        return [text_part(content)]
    return [
        _part(part, param=f"{param}[{position}]", dropped=dropped)
        for position, part in enumerate(caller_objects(content, param=param))
    ]


def _part(part: dict[str, Any], *, param: str, dropped: set[str]) -> dict[str, Any]:
    match part.get("type"):
        case "input_text" | "output_text" | "text":
            said = text_part(caller_text(part.get("text"), param=f"{param}.text"))
        case "input_image":
            said = _image(part, param=param)
        case "input_file":
            said = _file(part, param=param, dropped=dropped)
        case "input_audio":
            said = _audio(part, param=param)
        case _:
            raise InvalidRequest(
                f"{param}.type must be input_text, input_image, input_file or input_audio for this model.",
                param=f"{param}.type",
            )
    mark = part.get("prompt_cache_breakpoint")
    if isinstance(mark, dict):
        said["prompt_cache_breakpoint"] = mark
    return said


def _image(part: dict[str, Any], *, param: str) -> dict[str, Any]:
    if part.get("image_url") is None and part.get("file_id") is not None:
        raise InvalidRequest(
            f"{param}.file_id: this model's provider takes no image by file id. Send it in image_url, as a data URL "
            "or an https URL.",
            param=f"{param}.file_id",
        )
    image = {"url": caller_name(part.get("image_url"), param=f"{param}.image_url")}
    if part.get("detail") is not None:
        image["detail"] = caller_name(part["detail"], param=f"{param}.detail")
    return {"type": "image_url", "image_url": image}


def _file(part: dict[str, Any], *, param: str, dropped: set[str]) -> dict[str, Any]:
    """A file with its data inside; what only names one elsewhere is refused, for the provider could not fetch it."""
    if part.get("file_data") is None:
        named = next((name for name in ("file_url", "file_id") if part.get(name) is not None), "file_data")
        raise InvalidRequest(
            f"{param}: this model's provider takes a file only with its data. Send file_data, as "
            "data:application/pdf;base64,…",
            param=f"{param}.{named}",
        )
    data = caller_name(part["file_data"], param=f"{param}.file_data")
    if data.startswith(_BASE64_OF_PDF_MAGIC):
        data = f"data:application/pdf;base64,{data}"
    elif not data.startswith("data:"):
        raise InvalidRequest(
            f"{param}.file_data must be a data URL: data:<media type>;base64,<data>.", param=f"{param}.file_data"
        )
    if part.get("detail") not in (None, "auto"):
        dropped.add("input_file.detail")
    name = part.get("filename")
    filename = name if isinstance(name, str) and name else "document.pdf"
    return {"type": "file", "file": {"filename": filename, "file_data": data}}


def _audio(part: dict[str, Any], *, param: str) -> dict[str, Any]:
    where = f"{param}.input_audio"
    audio = caller_object(part.get("input_audio"), param=where)
    written = audio.get("format")
    if written not in _AUDIO_FORMATS:
        raise InvalidRequest(f"{where}.format must be mp3 or wav.", param=f"{where}.format")
    return {
        "type": "input_audio",
        "input_audio": {"data": caller_name(audio.get("data"), param=f"{where}.data"), "format": written},
    }
