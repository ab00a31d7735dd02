"""Whatever people can delete of what they said leaves its mark in the audit record: who, what, and when."""

import psycopg

from tests.contract.judges import CLAUDE, openai_client
from tests.fixtures.service import Service


async def test_every_deletion_is_on_record(service: Service) -> None:
    async with openai_client(service) as client:
        said = [{"type": "message", "role": "user", "content": "Hello"}]
        conversation = await client.conversations.create(items=said)  # type: ignore[arg-type] # dicts are what it takes
        [item] = (await client.conversations.items.list(conversation.id)).data
        response = await client.responses.create(model=CLAUDE, input="Hello")
        file = await client.files.create(file=("note.txt", b"Hello"), purpose="user_data")
        completion = await client.chat.completions.create(
            model="gpt-4.1", store=True, messages=[{"role": "user", "content": "Hello"}]
        )
        await client.conversations.items.delete(str(item.id), conversation_id=conversation.id)
        await client.conversations.delete(conversation.id)
        await client.responses.delete(response.id)
        await client.files.delete(file.id)
        await client.chat.completions.delete(completion.id)
    async with (
        await psycopg.AsyncConnection.connect(service.tenant.dsn) as connection,
        await connection.execute(
            "select action, target_id, actor_kind from ali.audit_event where project_id = %s order by id",
            (service.tenant.project_id,),
        ) as cursor,
    ):
        events = await cursor.fetchall()
    assert [event for event in events if event[0].endswith(".deleted")] == [
        ("conversation_item.deleted", conversation.id, "api_key"),
        ("conversation.deleted", conversation.id, "api_key"),
        ("response.deleted", response.id, "api_key"),
        ("file.deleted", file.id, "api_key"),
        ("chat_completion.deleted", completion.id, "api_key"),
    ]
