"""Numbers of lists and headings, as word processors and browsers show them without their standing in the text."""

from collections.abc import Callable, Mapping
from typing import Final

_ROMAN = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"))
_ROMAN_UNITS = ((9, "ix"), (5, "v"), (4, "iv"), (1, "i"))
_HIGHEST_ROMAN = 3999


def roman(number: int) -> str:
    """A small Roman numeral, up to 3999."""
    text = ""
    for value, letters in (*_ROMAN, *_ROMAN_UNITS):
        text += letters * (number // value)
        number %= value
    return text


def letters(number: int) -> str:
    """A to z, then aa to zz, as word processors count."""
    return chr(ord("a") + (number - 1) % 26) * min((number - 1) // 26 + 1, 10)


_FORMATS: Final[Mapping[str, Callable[[int], str]]] = {
    "decimalZero": lambda number: f"{number:02}",
    "lowerLetter": letters,
    "upperLetter": lambda number: letters(number).upper(),
    "lowerRoman": roman,
    "upperRoman": lambda number: roman(number).upper(),
    "ordinal": lambda number: f"{number}º",
}


def numeral(number: int, form: str) -> str:
    """A number in a form of WordprocessingML (ISO/IEC 29500-1, ST_NumberFormat); others count in digits."""
    if form == "none":
        return ""
    return _FORMATS.get(form, str)(number) if 0 < number <= _HIGHEST_ROMAN else str(number)
