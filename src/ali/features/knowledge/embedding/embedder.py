"""Texts to vectors by the configured embedding model: in batches, tried again, paid once for the same text."""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson

from ali.features.knowledge.account import Account, ModelCalls
from ali.features.knowledge.embedding.batching import batches
from ali.features.knowledge.embedding.cache import EmbeddingCache
from ali.features.knowledge.embedding.vector import MOST_DIMENSIONS, NotAVector, Vector, dimensions_of, read_embedding
from ali.kernel import log
from ali.kernel.errors import AliError, RateLimited
from ali.kernel.telemetry import Metrics
from ali.providers.contract import UpstreamError, UpstreamMalformed

_PASSAGES_S: Final = 60.0
"""What one call for a batch of passages gets."""
_MOST_TRIES: Final = 5
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_AT_ONCE: Final = 4
"""Batches under way at the model, of the whole process."""
_SHORT_CHARACTERS: Final = 2_000
"""A text so short that it is refused for something else than its length."""
_QUERIES_KEPT: Final = 2_048
_FAILURES_IN_A_ROW: Final = 3
_REST_S: Final = 10.0
_NOT_WAITED_FOR: Final = frozenset({"insufficient_quota", "upstream_credential_refused", "upstream_circuit_open"})
"""Codes of what does not pass in seconds, or has been waited for enough: the backfill comes back to it."""
_TOO_LARGE: Final = frozenset({400, 413, 422})


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingModel:
    """The model as the operator set it. `dimensions` None: as many as it gives.

    The prefixes go before each text, for models that were trained with some (E5's `query: ` and `passage: `).
    `query_s`: how long a search waits for the vector of its question.
    """

    name: str
    dimensions: int | None = None
    query_prefix: str = ""
    passage_prefix: str = ""
    query_s: float = 2.0

    @property
    def identity(self) -> str:
        """Equal for two whose vectors of passages may be compared, and only for those."""
        return orjson.dumps([self.name, self.dimensions, self.passage_prefix]).decode()


class _Postponed(Exception):
    """The model gives no vectors now."""


class Embedder:
    """Makes vectors of passages and of questions. Where it cannot, the vector is None and nothing fails: what has no
    vector is found by its words, and gets one later (`backfill.Backfill`).
    """

    def __init__(
        self, model: EmbeddingModel, calls: ModelCalls, cache: EmbeddingCache, *, metrics: Metrics, rng: random.Random
    ) -> None:
        self.model = model
        self._calls = calls
        self._cache = cache
        self._metrics = metrics
        self._rng = rng
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._queries: OrderedDict[tuple[UUID, bytes], Vector] = OrderedDict()
        self._failures = 0
        self._rests_until_s = 0.0

    async def embed(self, texts: Sequence[str], *, account: Account) -> list[Vector | None]:
        """The vectors of passages, in their order; None for those that the model gave none for.

        Waits as the provider and the account's limits ask, up to about two minutes a batch.
        """
        texts = [self.model.passage_prefix + text for text in texts]
        digests = self._cache.digests(account.project_id, self.model.identity, texts)
        known = await self._cache.find(account, list(dict.fromkeys(digests)))
        self._count("cached", sum(digest in known for digest in digests))
        missing = {digest: text for digest, text in zip(digests, texts, strict=True) if digest not in known}
        stop = asyncio.Event()
        made = await asyncio.gather(
            *(self._batch(batch, account, stop) for batch in batches(list(missing.values()))),
        )
        vectors = [vector for batch in made for vector in batch]
        fresh = {digest: vector for digest, vector in zip(missing, vectors, strict=True) if vector is not None}
        self._count("embedded", len(fresh))
        self._count("postponed", len(missing) - len(fresh))
        await self._cache.keep(account, fresh)
        return [known.get(digest) or fresh.get(digest) for digest in digests]

    async def embed_query(self, text: str, *, account: Account) -> Vector | None:
        """The vector of a question, or None within `query_s` where the model is away; then the search goes by words.

        Questions are kept in memory only.
        """
        text = self.model.query_prefix + text
        key = (account.project_id, self._cache.digests(account.project_id, self.model.identity, [text])[0])
        if (vector := self._queries.get(key)) is not None:
            self._queries.move_to_end(key)
            return vector
        now_s = asyncio.get_running_loop().time()
        if now_s < self._rests_until_s:
            self._metrics.search_degraded.labels("vectors").inc()
            return None
        try:
            async with asyncio.timeout(self.model.query_s):
                (vector,) = await self._ask([text], account, deadline_s=self.model.query_s * 2)
        except (AliError, TimeoutError) as error:
            self._failed(error, now_s=now_s)
            return None
        self._failures = 0
        self._queries[key] = vector
        if len(self._queries) > _QUERIES_KEPT:
            self._queries.popitem(last=False)
        return vector

    async def tidy(self) -> None:
        """Keep the kept vectors within their bounds. Raises `psycopg.Error`, `PoolTimeout`."""
        await self._cache.tidy()

    def _failed(self, error: Exception, *, now_s: float) -> None:
        """A question got no vector. After several in a row the model is not asked for a moment, so no search waits."""
        self._failures += 1
        if self._failures >= _FAILURES_IN_A_ROW:
            self._rests_until_s = now_s + _REST_S
        self._metrics.search_degraded.labels("vectors").inc()
        log.warning("search.without_vectors", model=self.model.name, error=_word_for(error))

    async def _batch(self, texts: list[str], account: Account, stop: asyncio.Event) -> list[Vector | None]:
        """Vectors of a batch, halved where the model finds it too large. Once `stop` is set, nothing more is asked."""
        try:
            async with self._at_once:
                if stop.is_set():
                    return [None] * len(texts)
                return list(await self._patiently(texts, account))
        except _Postponed:
            stop.set()
            return [None] * len(texts)
        except AliError as error:
            if len(texts) == 1 and len(texts[0]) <= _SHORT_CHARACTERS:
                log.error("embeddings.refused", model=self.model.name, error=_word_for(error))  # noqa: TRY400 - expected
                stop.set()
                return [None]
        if len(texts) == 1:
            return await self._batch([texts[0][: len(texts[0]) // 2]], account, stop)
        half = len(texts) // 2
        return [*await self._batch(texts[:half], account, stop), *await self._batch(texts[half:], account, stop)]

    async def _patiently(self, texts: list[str], account: Account) -> list[Vector]:
        """Vectors of texts, however often it takes.

        Raises `_Postponed` where waiting does not help, and the `AliError` of a batch that is too large.
        """
        pause_s = _FIRST_PAUSE_S
        for tries in range(1, _MOST_TRIES + 1):
            try:
                return await self._ask(texts, account, deadline_s=_PASSAGES_S)
            except AliError as error:
                if error.http_status in _TOO_LARGE:
                    raise
                wait_s = _wait_s(error)
                if tries == _MOST_TRIES or wait_s is None or wait_s > _LONGEST_PAUSE_S:
                    log.warning("embeddings.postponed", model=self.model.name, error=_word_for(error))
                    raise _Postponed from error
                await asyncio.sleep(max(wait_s, pause_s) * self._rng.uniform(1.0, 1.25))
                pause_s *= 2
        raise AssertionError("unreachable")

    async def _ask(self, texts: list[str], account: Account, *, deadline_s: float) -> list[Vector]:
        """One call. Raises `AliError`."""
        body: dict[str, Any] = {"model": self.model.name, "input": texts, "encoding_format": "base64"}
        if self.model.dimensions is not None:
            body["dimensions"] = self.model.dimensions
        answer = await self._calls.embeddings(orjson.dumps(body), account=account, deadline_s=deadline_s)
        return _read(answer, count=len(texts), dimensions=self.model.dimensions, model=self.model.name)

    def _count(self, result: str, texts: int) -> None:
        if texts:
            self._metrics.embeddings.labels(result).inc(texts)


def _read(answer: bytes, *, count: int, dimensions: int | None, model: str) -> list[Vector]:
    """The vectors of an answer, in the order of their texts. Raises `UpstreamMalformed`."""
    try:
        data = sorted(orjson.loads(answer)["data"], key=lambda element: element["index"])
        if [element["index"] for element in data] != list(range(count)):
            raise NotAVector("not one embedding for each text")
        vectors = [read_embedding(element["embedding"]) for element in data]
        if {dimensions_of(vector) for vector in vectors} - {dimensions or dimensions_of(vectors[0])}:
            raise NotAVector("vectors of other lengths than asked for")
    except (ValueError, KeyError, TypeError) as error:
        malformed = UpstreamMalformed(
            f"The embedding model {model} did not answer with one vector for each text, of the dimensions asked for "
            f"and of at most {MOST_DIMENSIONS}. Set ALI_EMBEDDING_MODEL or ALI_EMBEDDING_DIMENSIONS to what it does."
        )
        malformed.retryable = False
        raise malformed from error
    return vectors


def _wait_s(error: AliError) -> float | None:
    """How long to wait before the same call may pass; None where waiting does not help."""
    if error.error_code in _NOT_WAITED_FOR:
        return None
    if isinstance(error, RateLimited):
        return error.retry_after_s
    if isinstance(error, UpstreamError):
        return (error.retry_after_s or 0.0) if error.retryable else None
    return 0.0 if error.http_status >= 500 else None


def _word_for(error: Exception) -> str:
    return error.error_code if isinstance(error, AliError) else type(error).__name__
