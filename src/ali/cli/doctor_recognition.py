"""What `ali doctor` finds of text recognition: whether scanned documents can be read, in both languages."""

from collections.abc import Iterator

from ali.features.knowledge.reading.recognition import Recognition
from ali.kernel.checks import CheckResult, passed, warned

_WANTED = {"por": "Portuguese", "eng": "English"}
_HINT = "Debian, Ubuntu: apt-get install tesseract-ocr tesseract-ocr-por. Without it, scanned documents are refused."


def recognition() -> Iterator[CheckResult]:
    """Whether tesseract is there, and what it reads."""
    name = "text recognition"
    languages = Recognition().languages
    missing = [language for code, language in _WANTED.items() if code not in languages]
    if not languages:
        yield warned(name, "tesseract is not installed, or has neither Portuguese nor English", hint=_HINT)
    elif missing:
        yield warned(name, f"tesseract lacks {missing[0]}", hint=_HINT)
    else:
        yield passed(name, "tesseract reads Portuguese and English")
