"""Compaction: facts survive it, over every upstream, and any model goes on from it."""

from typing import Any

import openai
import pytest
from openai.types.responses import ResponseCompletedEvent

from ali.ops.simulator import Answer, Fault, Simulator, ToolCall
from tests.contract.judges import CLAUDE, EXTRACTIVE, openai_client
from tests.fixtures.service import Service

NATIVE = "gpt-4.1"
LOCAL = "local/gpt-4.1"
MODELS = [NATIVE, LOCAL, CLAUDE]
EVERY_MODEL = pytest.mark.parametrize("model", MODELS)
SUMMARY = "The pump weighs 85 kilograms. The user wants it by Friday."
LONG = "The guarantee lasts for 24 months. " + "All of this was said at length. " * 200
MANAGED: Any = [{"type": "compaction", "compact_threshold": 1000}]
SAID: list[Any] = [
    {"role": "user", "content": "The pump weighs 85 kilograms."},
    {"role": "assistant", "content": "Noted: 85 kilograms."},
    {"type": "function_call", "call_id": "call_1", "name": "stock", "arguments": '{"part": "pump"}'},
    {"type": "function_call_output", "call_id": "call_1", "output": "17 in Recife"},
    {"role": "user", "content": "I need it by Friday."},
]


def lenient(service: Service) -> openai.AsyncOpenAI:
    """A compacted window holds user messages, which the SDK's strict types do not know among outputs."""
    return openai_client(service, _strict_response_validation=False)


def window(compacted: Any) -> list[Any]:  # noqa: ANN401 - the SDK's object
    return [item.to_dict(warnings=False) for item in compacted.output]


@EVERY_MODEL
async def test_a_compacted_window_is_the_users_messages_and_one_sealed_item(
    service: Service, simulator: Simulator, model: str
) -> None:
    simulator.default = Answer(text=SUMMARY)  # also where the service has to ask a second time
    async with lenient(service) as client:
        compacted = await client.responses.compact(model=model, input=SAID)
        asked = simulator.last.body
        assert b"17 in Recife" in asked, "the model is told what tools returned"
        assert compacted.object == "response.compaction"
        assert compacted.usage.output_tokens > 0
        items = window(compacted)
        assert [item["type"] for item in items] == ["message", "message", "compaction"]
        texts = [item["content"][0]["text"] for item in items[:2]]
        assert texts == ["The pump weighs 85 kilograms.", "I need it by Friday."], "word for word"
        assert "Friday" not in items[2]["encrypted_content"]
        for other in MODELS:
            made = await client.responses.create(
                model=other, input=[*items, {"role": "user", "content": "What does it weigh?"}]
            )
            assert made.status == "completed"
            shown = simulator.last.body
            assert SUMMARY.encode() in shown, "any model of the project reads the summary"
            assert b"I need it by Friday." in shown
            assert b"17 in Recife" not in shown
    records = await service.records()
    assert [record["operation"] for record in records] == ["responses.compact", *["responses"] * 3]
    assert records[0]["output_tokens"] > 0


async def test_the_model_that_only_quotes_compacts_by_quoting(service: Service, simulator: Simulator) -> None:
    async with lenient(service) as client:
        compacted = await client.responses.compact(model=EXTRACTIVE, input=SAID)
        again = await client.responses.compact(model=EXTRACTIVE, input=SAID)
        assert compacted.usage.total_tokens == 0
        assert [item["type"] for item in window(again)] == [item["type"] for item in window(compacted)]
        made = await client.responses.create(
            model=EXTRACTIVE,
            input=[*window(compacted), {"role": "user", "content": "How many are in stock in Recife?"}],
        )
        assert "17" in made.output_text
        made = await client.responses.create(
            model=CLAUDE, input=[*window(compacted), {"role": "user", "content": "How many are there?"}]
        )
        assert b"17 in Recife" in simulator.last.body
    assert len(simulator.requests) == 1


@EVERY_MODEL
async def test_what_is_compacted_can_be_a_chain_and_be_compacted_again(
    service: Service, simulator: Simulator, model: str
) -> None:
    async with lenient(service) as client:
        first = await client.responses.create(model=model, input="The pump weighs 85 kilograms.")
        simulator.answer(SUMMARY)
        compacted = await client.responses.compact(
            model=model, previous_response_id=first.id, input="I need it by Friday."
        )
        assert b"85 kilograms" in simulator.last.body
        assert [item["type"] for item in window(compacted)] == ["message", "message", "compaction"]
        simulator.answer("Second summary.")
        again = await client.responses.compact(
            model=model, input=[*window(compacted), {"role": "user", "content": "And two of them."}]
        )
        assert SUMMARY.encode() in simulator.last.body, "an earlier summary is carried over"
        assert [item["type"] for item in window(again)] == ["message", "message", "message", "compaction"]


async def test_a_compaction_of_another_project_or_changed_is_refused(service: Service, simulator: Simulator) -> None:
    async with lenient(service) as client:
        simulator.answer(SUMMARY)
        items = window(await client.responses.compact(model=LOCAL, input=SAID))
        sealed = items[-1]["encrypted_content"]
        items[-1]["encrypted_content"] = sealed[:-8] + "AAAAAAAA"
        for model in MODELS:
            with pytest.raises(openai.BadRequestError) as refused:
                await client.responses.create(model=model, input=[*items, {"role": "user", "content": "So?"}])
            assert "input" in str(refused.value.param)


async def test_nothing_cannot_be_compacted(service: Service) -> None:
    async with lenient(service) as client:
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.compact(model=LOCAL, input=[])
        assert refused.value.code == "missing_required_parameter"
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(model=LOCAL, input=[{"type": "compaction_trigger"}])
        assert refused.value.code == "nothing_to_compact"


async def test_a_provider_that_fails_leaves_no_summary_and_one_record(service: Service, simulator: Simulator) -> None:
    simulator.script(Fault.HTTP_500, Fault.HTTP_500)
    async with lenient(service) as client:
        with pytest.raises(openai.InternalServerError):
            await client.responses.compact(model=LOCAL, input=SAID)
        simulator.answer(Answer(text=""))
        with pytest.raises(openai.InternalServerError) as silent:
            await client.responses.compact(model=LOCAL, input=SAID)
        assert "wrote none" in silent.value.message
    assert [record["outcome"] for record in await service.records()] == ["error", "ok"]


@EVERY_MODEL
async def test_a_long_chain_is_compacted_before_the_answer(service: Service, simulator: Simulator, model: str) -> None:
    async with openai_client(service) as client:
        first = await client.responses.create(model=model, input=LONG, context_management=MANAGED)
        assert [item.type for item in first.output] == ["message"], "what is not answered yet is never compacted"
        simulator.script(Answer(text=SUMMARY), Answer(text="By Friday."))
        events = [
            event
            async for event in await client.responses.create(
                model=model,
                input="When do I get it?",
                previous_response_id=first.id,
                context_management=MANAGED,
                stream=True,
            )
        ]
        kinds = [event.type for event in events]
        assert kinds[:5] == [
            *("response.created", "response.in_progress", "response.output_item.added"),
            *("response.compaction.compacting", "response.output_item.done"),
        ]
        assert [event.sequence_number for event in events] == list(range(len(events)))
        last = events[-1]
        assert isinstance(last, ResponseCompletedEvent)
        second = last.response
        assert [item.type for item in second.output] == ["compaction", "message"]
        assert second.output_text == "By Friday."
        asked_for_summary, asked = list(simulator.requests)[-2:]
        assert b"24 months" in asked_for_summary.body
        assert SUMMARY.encode() in asked.body
        assert b"When do I get it?" in asked.body
        assert b"24 months" not in asked.body
        third = await client.responses.create(
            model=model, input="Sure?", previous_response_id=second.id, context_management=MANAGED
        )
        assert [item.type for item in third.output] == ["message"]
        shown = simulator.last.body
        for said in (SUMMARY.encode(), b"When do I get it?", b"By Friday.", b"Sure?"):
            assert said in shown
        assert b"24 months" not in shown
    records = await service.records()
    assert len(records) == 3
    assert records[1]["input_tokens"] > 1000, "both turns are counted"


async def test_a_conversation_is_compacted_and_goes_on(service: Service, simulator: Simulator) -> None:
    async with openai_client(service) as client:
        conversation = await client.conversations.create()
        await client.responses.create(model=LOCAL, input=LONG, conversation=conversation.id)
        simulator.answer(SUMMARY)
        await client.responses.create(
            model=LOCAL, input="When?", conversation=conversation.id, context_management=MANAGED
        )
        await client.responses.create(
            model=CLAUDE, input="Sure?", conversation=conversation.id, context_management=MANAGED
        )
        assert SUMMARY.encode() in simulator.last.body
        assert b"When?" in simulator.last.body
        assert b"24 months" not in simulator.last.body
        listed = await client.conversations.items.list(conversation.id, order="asc")
        assert [item.type for item in listed.data] == [
            *("message", "message", "message", "compaction", "message", "message", "message")
        ], "nothing that was said is lost"


@EVERY_MODEL
async def test_a_call_stays_with_its_output(service: Service, simulator: Simulator, model: str) -> None:
    tools: Any = [{"type": "function", "name": "stock", "parameters": {"type": "object", "properties": {}}}]
    call = ToolCall(name="stock", id="call_a", arguments={"part": "pump"})
    async with openai_client(service) as client:
        simulator.answer(Answer(tool_calls=(call,)))
        first = await client.responses.create(model=model, input=LONG, tools=tools)
        simulator.script(Answer(text=SUMMARY), Answer(text="There are 17."))
        second = await client.responses.create(
            model=model,
            previous_response_id=first.id,
            input=[{"type": "function_call_output", "call_id": "call_a", "output": "17"}],
            tools=tools,
            context_management=MANAGED,
        )
        assert second.output_text == "There are 17."
        assert b"call_a" in simulator.last.body
        assert b"24 months" not in simulator.last.body


async def test_a_caller_who_keeps_the_items_may_drop_what_is_before_the_compaction(
    service: Service, simulator: Simulator
) -> None:
    async with openai_client(service) as client:
        said: list[Any] = [{"role": "user", "content": LONG}, {"role": "assistant", "content": "I see."}]
        question: Any = {"role": "user", "content": "When do I get it?"}
        simulator.script(Answer(text=SUMMARY), Answer(text="By Friday."))
        made = await client.responses.create(
            model=LOCAL, input=[*said, question], store=False, context_management=MANAGED
        )
        output: list[Any] = [item.to_dict() for item in made.output]
        for kept in ([*said, question, *output], output):
            sure: Any = {"role": "user", "content": "Sure?"}
            await client.responses.create(model=CLAUDE, input=[*kept, sure], store=False)
            shown = simulator.last.body
            assert b"24 months" not in shown
            for text in (SUMMARY.encode(), b"When do I get it?", b"By Friday.", b"Sure?"):
                assert text in shown


async def test_a_trigger_compacts_and_answers_nothing(service: Service, simulator: Simulator) -> None:
    async with openai_client(service) as client:
        first = await client.responses.create(model=LOCAL, input="The pump weighs 85 kilograms.")
        simulator.answer(SUMMARY)
        made = await client.responses.create(
            model=LOCAL, previous_response_id=first.id, input=[{"type": "compaction_trigger"}]
        )
        assert [item.type for item in made.output] == ["compaction"]
        await client.responses.create(model=CLAUDE, previous_response_id=made.id, input="What does it weigh?")
        assert SUMMARY.encode() in simulator.last.body
        misplaced: Any = [{"type": "compaction_trigger"}, {"role": "user", "content": "Hello"}]
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(model=LOCAL, input=misplaced)
        assert refused.value.param == "input[0]"


async def test_a_summary_that_fails_fails_the_response(service: Service, simulator: Simulator) -> None:
    async with openai_client(service) as client:
        first = await client.responses.create(model=LOCAL, input=LONG)
        simulator.script(Fault.HTTP_500, Fault.HTTP_500)
        with pytest.raises(openai.InternalServerError):
            await client.responses.create(
                model=LOCAL, input="When?", previous_response_id=first.id, context_management=MANAGED
            )
        simulator.answer(Fault.MISSING_END)
        events = [
            event
            async for event in await client.responses.create(
                model=LOCAL, input="When?", previous_response_id=first.id, context_management=MANAGED, stream=True
            )
        ]
        assert events[-1].type == "response.failed"


@pytest.mark.parametrize(
    ("management", "param"),
    [
        ({"type": "compaction"}, "context_management"),
        ([{"type": "forgetting"}], "context_management[0].type"),
        ([{"type": "compaction", "compact_threshold": 999}], "context_management[0].compact_threshold"),
        (["compaction"], "context_management[0]"),
    ],
)
async def test_what_is_no_context_management_is_refused(service: Service, management: Any, param: str) -> None:  # noqa: ANN401 - wrong on purpose
    async with openai_client(service) as client:
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(model=LOCAL, input="Hello", context_management=management)
        assert refused.value.param == param


async def test_a_background_response_compacts_too(service: Service, simulator: Simulator) -> None:
    async with openai_client(service) as client:
        first = await client.responses.create(model=LOCAL, input=LONG)
        simulator.script(Answer(text=SUMMARY), Answer(text="By Friday."))
        made = await client.responses.create(
            model=LOCAL,
            input="When?",
            previous_response_id=first.id,
            context_management=MANAGED,
            background=True,
            stream=True,
        )
        events = [event async for event in made]
        assert [event.sequence_number for event in events] == list(range(len(events)))
        last = events[-1]
        assert isinstance(last, ResponseCompletedEvent)
        assert [item.type for item in last.response.output] == ["compaction", "message"]
        fetched = await client.responses.retrieve(last.response.id)
        assert [item.type for item in fetched.output] == ["compaction", "message"]


async def test_a_summary_that_was_cut_off_hides_nothing(service: Service, simulator: Simulator) -> None:
    """A response that failed while it compacted leaves its item without content: what was said is shown as before."""
    async with openai_client(service) as client:
        conversation = await client.conversations.create()
        await client.responses.create(model=LOCAL, input=LONG, conversation=conversation.id)
        cut: Any = {"type": "compaction", "id": "cmp_cut", "encrypted_content": ""}
        await client.conversations.items.create(conversation.id, items=[cut])
        await client.responses.create(model=LOCAL, input="When?", conversation=conversation.id)
        assert b"24 months" in simulator.last.body
