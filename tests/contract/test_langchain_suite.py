"""LangChain's standard suite for chat models, through this service, by its own OpenAI and Anthropic integrations.

The suite's blocking and async tests run in the test's thread, the service and the simulated providers in another. What
a model must do by itself to pass (call a tool, fill a schema) `obliging_model` does; all else is the service's.
"""

import asyncio
import base64
import gc
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import httpx
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

from ali.ops.simulator import Answer, Simulator
from ali.providers.contract import Usage
from tests.contract.obliging_model import TEXT, oblige
from tests.fixtures.database import Tenant, make_tenant
from tests.fixtures.service import Service, providers, running
from tests.unit.extractive.pdf_bytes import make_pdf

GPT: Final = "gpt-4.1"
CLAUDE: Final = "claude-haiku-4-5"
"""The suite forces tool calls, which the newest Claude models refuse."""
NEWER_CLAUDE: Final = "claude-sonnet-5-5"
PIXEL: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
USAGE: Final = Usage(
    input_tokens=100,
    cached_input_tokens=64,
    cache_write_tokens=16,
    output_tokens=30,
    reasoning_tokens=12,
    reported=True,
)
UNPOOLED: Final = {"connection": "close"}
"""LangChain shares HTTP clients across tests, whose event loops differ: no connection may outlive its loop."""
_STARTED_S: Final = 20.0

pytestmark = [  # what LangChain's own client code warns of, whichever server it talks to
    # It dumps the SDK's object with the parsed answer inside, for which the SDK's type has no field type.
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    # The suite itself hands over a schema of Pydantic 1, and says that a fallback will do.
    pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema:UserWarning"),
    # The suite itself sends a PDF without a name.
    pytest.mark.filterwarnings("ignore:OpenAI may require a filename for file uploads:UserWarning"),
]

UsageDetail = Literal["audio_input", "audio_output", "reasoning_output", "cache_read_input", "cache_creation_input"]


@contextmanager
def _running_in_a_thread(tenant: Tenant, home: Path) -> Iterator[tuple[Service, Simulator]]:
    """The service in front of obliging providers, in a thread and event loop of their own."""
    started: Future[tuple[Service, Simulator]] = Future()
    stops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stopped = asyncio.Event()
        stops.append((asyncio.get_running_loop(), stopped))
        async with (
            Simulator(default=oblige) as simulator,
            running(tenant, home, **providers(simulator), drain_s=2) as service,
        ):
            started.set_result((service, simulator))
            await stopped.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="service-of-the-suite")
    thread.start()
    try:
        yield started.result(_STARTED_S)
    finally:
        for loop, stopped in stops:
            if not loop.is_closed():
                loop.call_soon_threadsafe(stopped.set)
        thread.join(_STARTED_S)


@pytest.fixture(scope="module")
def served(worker_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Simulator]]:
    """One service for the module: no test of the suite leaves anything behind that another could see."""
    gc.collect()
    gc.freeze()  # LangChain's classes are many: walking them on the service's loop would look like our blocking it
    with _running_in_a_thread(make_tenant(worker_dsn), tmp_path_factory.mktemp("langchain")) as served:
        yield served
    gc.unfreeze()


def _sample(url: str, **_options: object) -> httpx.Response:
    """What the suite would download to send on: a picture or a PDF."""
    content = make_pdf([["A dummy PDF."]]) if url.endswith(".pdf") else PIXEL
    return httpx.Response(200, content=content, request=httpx.Request("GET", url))


class _ThroughTheService(ChatModelIntegrationTests):
    """What holds for every integration: the service carries whatever its provider's models can do."""

    service: ClassVar[Service]
    simulator: ClassVar[Simulator]

    @pytest.fixture(autouse=True)
    def _service(self, served: tuple[Service, Simulator], monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the models are; no trace goes to LangSmith, and no sample comes from the network."""
        type(self).service, type(self).simulator = served
        for name in ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2"):
            monkeypatch.setenv(name, "false")
        monkeypatch.setattr(httpx, "get", _sample)

    @property
    def supports_image_inputs(self) -> bool:
        """The providers' models see, and the service carries images in both dialects."""
        return True

    @property
    def supports_image_urls(self) -> bool:
        """As above; the URL travels, nobody fetches it."""
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        """The providers' models read PDF."""
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        """Anthropic's integration sends its own blocks, OpenAI's rewrites them first."""
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        """None of these models hears."""
        return False

    @property
    def enable_vcr_tests(self) -> bool:
        """No recordings: the simulated providers answer, and the one such test times the client."""
        return False

    def _spent(self, *, stream: bool) -> AIMessage:
        """An answer for which the provider counted `USAGE`."""
        self.simulator.answer(Answer(text=TEXT, usage=USAGE))
        model: BaseChatModel = self.chat_model_class(**self.chat_model_params)
        message: Any = None
        if stream:
            for chunk in model.stream("Hello"):
                message = chunk if message is None else message + chunk
        else:
            message = model.invoke("Hello")
        assert isinstance(message, AIMessage)
        spent: Any = message.usage_metadata
        assert (spent["input_tokens"], spent["output_tokens"]) == (USAGE.input_tokens, USAGE.output_tokens)
        return message

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        """A prompt of which the provider had a part in its cache."""
        message = self._spent(stream=stream)
        assert message.usage_metadata is not None
        details: Any = message.usage_metadata["input_token_details"]
        assert details["cache_read"] == USAGE.cached_input_tokens
        return message


class TestGptByOpenAI(_ThroughTheService):
    """OpenAI's dialect to OpenAI's model: bytes pass through."""

    model_name: ClassVar[str] = GPT
    other_model: ClassVar[str] = "gpt-4o-mini"

    @property
    def chat_model_class(self) -> type[ChatOpenAI]:
        """LangChain's integration of OpenAI."""
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """Another base URL. LangChain then leaves `stream_usage` off, as many servers do not know it; this one does."""
        return {
            "model": self.model_name,
            "base_url": self.service.openai_base_url,
            "api_key": self.service.tenant.secret,
            "max_retries": 0,
            "stream_usage": True,
            "default_headers": UNPOOLED,
        }

    @property
    def model_override_value(self) -> str:
        """Another model of the same provider."""
        return self.other_model

    @property
    def supports_json_mode(self) -> bool:
        """`response_format: json_object`."""
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        """Chat Completions take text alone as a tool's result."""
        return False

    @property
    def supports_pdf_tool_message(self) -> bool:
        """As above."""
        return False

    @property
    def supported_usage_metadata_details(self) -> dict[Literal["invoke", "stream"], list[UsageDetail]]:
        """What this dialect's usage has. LangChain reads no cache writes from it, and the models make no sound."""
        details: list[UsageDetail] = ["reasoning_output", "cache_read_input"]
        return {"invoke": details, "stream": details}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        """An answer that the model thought about."""
        message = self._spent(stream=stream)
        assert message.usage_metadata is not None
        details: Any = message.usage_metadata["output_token_details"]
        assert details["reasoning"] == USAGE.reasoning_tokens
        return message


class TestClaudeByOpenAI(TestGptByOpenAI):
    """OpenAI's dialect to Anthropic's model: everything is translated, there and back."""

    model_name: ClassVar[str] = CLAUDE
    other_model: ClassVar[str] = NEWER_CLAUDE


class TestClaudeByAnthropic(_ThroughTheService):
    """Anthropic's dialect to Anthropic's model: bytes pass through."""

    model_name: ClassVar[str] = CLAUDE
    other_model: ClassVar[str] = NEWER_CLAUDE

    @property
    def chat_model_class(self) -> type[ChatAnthropic]:
        """LangChain's integration of Anthropic."""
        return ChatAnthropic

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """Another base URL."""
        return {
            "model": self.model_name,
            "base_url": self.service.url,
            "api_key": self.service.tenant.secret,
            "max_retries": 0,
            "default_headers": UNPOOLED,
        }

    @property
    def model_override_value(self) -> str:
        """Another model of the same provider."""
        return self.other_model

    @property
    def supports_json_mode(self) -> bool:
        """Anthropic has schemas, and no mode without one."""
        return False

    @property
    def supports_image_tool_message(self) -> bool:
        """A `tool_result` holds images."""
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        """A `tool_result` holds documents."""
        return True

    @property
    def supported_usage_metadata_details(self) -> dict[Literal["invoke", "stream"], list[UsageDetail]]:
        """What this dialect's usage has and LangChain reads: no count of reasoning."""
        details: list[UsageDetail] = ["cache_read_input", "cache_creation_input"]
        return {"invoke": details, "stream": details}

    def invoke_with_cache_creation_input(self, *, stream: bool = False) -> AIMessage:
        """A prompt of which the provider put a part into its cache."""
        message = self._spent(stream=stream)
        assert message.usage_metadata is not None
        details: Any = message.usage_metadata["input_token_details"]
        written = ("cache_creation", "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")  # by lifetime, or in all
        assert sum(details.get(name) or 0 for name in written) == USAGE.cache_write_tokens
        return message
