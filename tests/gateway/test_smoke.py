"""The main paths, end to end, with the official SDKs."""

import anthropic
import openai

from tests.fixtures.service import Service


async def test_a_chat_completion_reaches_the_caller_and_leaves_one_record(service: Service) -> None:
    async with openai.AsyncOpenAI(base_url=service.openai_base_url, api_key=service.tenant.secret) as client:
        answer = await client.chat.completions.create(
            model="gpt-4.1", messages=[{"role": "user", "content": "Hello there"}]
        )
        stream = await client.chat.completions.create(
            model="gpt-4.1", messages=[{"role": "user", "content": "Hello there"}], stream=True
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == answer.choices[0].message.content
    records = await service.records()
    assert [record["outcome"] for record in records] == ["ok", "ok"]
    assert records[0]["output_tokens"] == records[1]["output_tokens"] > 0
    assert records[0]["cost_microusd"] > 0


async def test_each_sdk_reaches_the_other_providers_models(service: Service) -> None:
    async with openai.AsyncOpenAI(base_url=service.openai_base_url, api_key=service.tenant.secret) as client:
        stream = await client.chat.completions.create(
            model="claude-sonnet-5-5", messages=[{"role": "user", "content": "Hello there"}], stream=True
        )
        assert "Hello" in "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    async with anthropic.AsyncAnthropic(base_url=service.url, api_key=service.tenant.secret) as other:
        message = await other.messages.create(
            model="gpt-4.1", max_tokens=100, messages=[{"role": "user", "content": "Hello there"}]
        )
        assert message.content[0].type == "text"
        async with other.messages.stream(
            model="gpt-4.1", max_tokens=100, messages=[{"role": "user", "content": "Hello there"}]
        ) as events:
            assert "Hello" in await events.get_final_text()
    assert {record["provider"] for record in await service.records()} == {"openai", "anthropic"}
