"""A chat model asked about a search: one short question, one short answer, or none in time."""

import asyncio
from dataclasses import dataclass
from typing import Final

import orjson

from ali.features.knowledge.account import Account, ModelCalls
from ali.kernel import log
from ali.kernel.errors import AliError
from ali.kernel.telemetry import Metrics

_MOST_TOKENS: Final = 2_000
"""Of an answer; a model that thinks spends most of it on that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consultant:
    """`part`: what the model is for, as metrics and log call it. `deadline_s`: how long a search waits for it."""

    model: str
    part: str
    deadline_s: float
    calls: ModelCalls
    metrics: Metrics

    async def ask(self, instructions: str, text: str, *, account: Account) -> str | None:
        """What the model says, or None: late, refused, failed. Never raises."""
        body = {
            "model": self.model,
            "messages": [{"role": "system", "content": instructions}, {"role": "user", "content": text}],
            "max_completion_tokens": _MOST_TOKENS,
        }
        try:
            async with asyncio.timeout(self.deadline_s):
                answer = await self.calls.completion(
                    orjson.dumps(body), account=account, deadline_s=self.deadline_s * 2
                )
            said = orjson.loads(answer)["choices"][0]["message"]["content"]
        except (AliError, TimeoutError) as error:
            self.missed(error.error_code if isinstance(error, AliError) else "timeout")
            return None
        except (ValueError, LookupError, TypeError):
            self.missed("malformed")
            return None
        if not isinstance(said, str):
            self.missed("malformed")
            return None
        return said

    def missed(self, why: str) -> None:
        """The search goes on without it."""
        self.metrics.search_degraded.labels(self.part).inc()
        log.warning("search.without_model", part=self.part, model=self.model, error=why)
