"""A question as a query: without what people say around it. By rules, for Portuguese and English; no model is asked.

"Olá! Você poderia me dizer qual é o prazo de férias, por favor?"  ─►  "prazo de férias"
"""

import re
from typing import Final

_AROUND: Final = " \t\r\n.,;:!?¿¡…\"'"
_BEFORE: Final = re.compile(
    r"(?:"
    r"ol[áa]|oi|bom dia|boa tarde|boa noite|hi|hello|hey|good (?:morning|afternoon|evening)"
    r"|por favor|por gentileza|please|obrigad[oa]|thanks|thank you"
    r"|(?:voc[êe]s? )?(?:pode(?:ria)?|consegue|sabe)m? (?:me )?(?:dizer|informar|explicar|ajudar a (?:achar|encontrar))"
    r"|(?:eu )?(?:gostaria|queria|quero|preciso)(?: de)? saber"
    r"|me (?:diga|diz|explique|explica|informe|fale)|diga(?:-me)?|explique(?:-me)?"
    r"|(?:could|can|would|will) you (?:please )?(?:tell|explain|show|give)(?: to)?(?: me)?"
    r"|(?:do|does) (?:you|anyone) know|(?:i )?(?:want|need|would like|'d like)(?: to)? know|tell me|explain(?: to me)?"
    r"|what (?:is|are|was|were)|what's|qual (?:é|e|era|foi)|quais (?:são|sao|eram|foram)"
    r"|o que (?:é|e|são|diz)|que (?:é|são)"
    r")(?=[\s,.;:!?]|$)[\s,.;:!?]*(?:(?:se|if|whether|sobre|about)\s+)?",
    re.IGNORECASE,
)
_ARTICLE: Final = re.compile(r"(?:the|an?|os?|as?|ums?|umas?)\s+", re.IGNORECASE)
_AFTER: Final = re.compile(
    r"[\s,.;:!?]+(?:por favor|por gentileza|please|obrigad[oa]|thanks|thank you)$", re.IGNORECASE
)


def rewritten(question: str) -> str:
    """The query in a question; the question itself where nothing would be left of it. Pure; a few microseconds."""
    text = question.strip(_AROUND)
    while (after := _AFTER.search(text)) is not None:
        text = text[: after.start()].strip(_AROUND)
    opened = False
    while (before := _BEFORE.match(text)) is not None:
        text, opened = text[before.end() :].lstrip(_AROUND), True
    if opened and (article := _ARTICLE.match(text)) is not None:
        text = text[article.end() :]
    return text or question
