"""What people ask for when they make or change a budget, checked: the same for HTTP and the command line."""

from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ali.features.metering.budgets.period import Period
from ali.features.metering.scopes import ScopeKind

MOST_MICROUSD: Final = 10**15
"""A thousand million dollars."""

Mode = Literal["hard", "soft"]


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.username or parts.fragment:
        raise ValueError("a webhook's URL looks like https://host/path, without credentials or fragment")
    return url


def _in_order(percents: list[int]) -> list[int]:
    return sorted(set(percents))


Limit = Annotated[int, Field(ge=1, le=MOST_MICROUSD, strict=True, description="Millionths of a US dollar a period.")]
Percents = Annotated[
    list[Annotated[int, Field(ge=1, le=1000, strict=True)]],
    Field(max_length=10, description="Per cents of the limit whose crossing is told, once a period."),
    AfterValidator(_in_order),
]
WebhookUrl = Annotated[
    str,
    Field(max_length=2000, pattern=r"^[!-~]+$", description="Where crossings are posted, signed; null: only logged."),
    AfterValidator(_checked_url),
]


class ScopeDraft(BaseModel):
    """What a budget is of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ScopeKind
    id: Annotated[str, Field(max_length=100, description="Of an organization, project, API key or person.")]


class BudgetDraft(BaseModel):
    """A new budget."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scope: ScopeDraft
    period: Annotated[Period, Field(description="Renews at 00:00 UTC, each day or on the first of the month.")]
    limit_microusd: Limit
    mode: Annotated[Mode, Field(description="hard: requests that do not fit are refused. soft: only told.")] = "hard"
    warn_percents: Percents = [80, 100]
    webhook_url: WebhookUrl | None = None


class BudgetChange(BaseModel):
    """What is to be different; a field that is left out stays. ScopeKind and period stay always."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit_microusd: Limit | None = None
    mode: Mode | None = None
    warn_percents: Percents | None = None
    webhook_url: WebhookUrl | None = None

    def fields(self) -> dict[str, object]:
        """What was given; null says nothing, but for `webhook_url`, which it takes away."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return {name: value for name, value in given.items() if value is not None or name == "webhook_url"}
