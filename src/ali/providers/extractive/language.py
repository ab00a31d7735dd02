"""Which of the two languages a text is in, and the words of each that say nothing about what it is about."""

import re
import unicodedata
from enum import StrEnum
from functools import lru_cache


class Language(StrEnum):
    """The languages that are analysed and answered in."""

    PORTUGUESE = "pt"
    ENGLISH = "en"


@lru_cache(maxsize=1 << 16)
def fold(word: str) -> str:
    """`word` without case, accents, compatibility forms and marks of word division: "Informação" is "informacao"."""
    if word.isascii():
        return word.lower()
    plain = unicodedata.normalize("NFKC", word).casefold().replace("\u00ad", "")
    return "".join(char for char in unicodedata.normalize("NFD", plain) if not unicodedata.combining(char))


def word_set(words: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(words.split())


_PORTUGUESE = word_set(
    """a ao aos aquela aquelas aquele aqueles aquilo as ate cada com como da daquele das de dela delas dele deles desde
    desta deste destas destes dessa desse dessas desses disso disto do dos e ela elas ele eles em entre era eram essa
    essas esse esses esta estas este estes estao estar estava estavam foi foram ha havia isso isto ja lhe lhes mais mas
    me mesmo meu minha muito na nao nas nem no nos nossa nosso num numa o os ou para pela pelas pelo pelos per por
    porque pra qual quais quando quanto quantos quanta quantas que quem se sem ser sera serao seu seus sob sobre
    sua suas tal
    tambem tao te tem tinha tinham toda todas todo todos tu um uma umas uns voce voces onde sao seja sejam sido
    sendo pode podem poder deve devem dever ter tenha teve cujo cuja cujos cujas aonde entao assim ainda apenas eu
    nela nele nelas neles nesta neste nessa nesse naquela naquele dum duma la lo las los si sim"""
)
_ENGLISH = word_set(
    """a about after all also am an and any are aren as at be because been before being between both but by can cannot
    could couldn did didn do does doesn doing don down during each either else few for from further had has have having
    he her here hers herself him himself his how i if in into is isn it its itself just let me more most my myself no
    nor not now of off on once only or other our ours out over own s same she should shouldn so some such t than that
    the their theirs them themselves then there these they this those through to too under until up upon us very was
    wasn we were weren what when where whether which while who whom whose why will with within without would wouldn
    you your yours ll re ve may might must shall"""
)
STOP_WORDS = {Language.PORTUGUESE: _PORTUGUESE, Language.ENGLISH: _ENGLISH}

GENERIC_WORDS = word_set(
    """pergunta perguntas responda resposta respostas
    diga dizer diz disse dizem explique explica explicar descreva
    descreve cite citar liste listar listam resuma resumo informe indique segundo acordo texto documento
    documentos arquivo
    arquivos ficheiro anexo contexto trecho favor gostaria saber quero preciso consta fala significa significado
    definido definicao conceito nome chama chamado tipo tipos existe existem
    caso forma vez parte exemplo acontece ocorre serve usado usada utilizado utilizada
    prazo data ano dia tempo numero quantidade motivo razao lugar pessoa percentual
    date year day time number amount reason place person percentage deadline
    question answer answers tell say says said explain describe list summarize summary name named according
    text document
    documents file files attached context passage please would like know want need mean means meaning definition defined
    called kind kinds type types exist exists case way happen happens used use using work works get make give given
    following based below above"""
)
"""Words that a question is made with rather than about; folded. They count, a little."""


def languages_of(text: str) -> dict[Language, int]:
    """How many stop words of each language stand in `text`; those that both share count for neither."""
    portuguese = english = 0
    for word in re.findall(r"[^\W\d_]+", text):
        folded = fold(word)
        if folded in _PORTUGUESE:
            portuguese += folded not in _ENGLISH
        elif folded in _ENGLISH:
            english += 1
        elif not word.isascii() and any(char in "ãõçÃÕÇ" for char in word):
            portuguese += 1
    return {Language.PORTUGUESE: portuguese, Language.ENGLISH: english}


def language_of(text: str, *, default: Language = Language.ENGLISH) -> Language:
    """The language of `text`; `default` where nothing in it tells."""
    counts = languages_of(text)
    if counts[Language.PORTUGUESE] == counts[Language.ENGLISH]:
        return default
    return max(counts, key=lambda language: counts[language])
