"""Files of the project as inputs: named by id, shown to the model, whichever it is."""

import base64

import openai
import pytest

from ali.ops.simulator import Simulator
from tests.contract.judges import CLAUDE, EXTRACTIVE, PIXEL, openai_client
from tests.fixtures.service import Service
from tests.unit.extractive.pdf_bytes import MANUAL

EVERY_UPSTREAM = pytest.mark.parametrize("model", ["gpt-4.1", "local/gpt-4.1", CLAUDE])


@EVERY_UPSTREAM
async def test_a_file_and_an_image_are_shown_by_their_ids(service: Service, simulator: Simulator, model: str) -> None:
    async with openai_client(service) as client:
        manual = await client.files.create(file=("manual.pdf", MANUAL), purpose="user_data")
        picture = await client.files.create(file=("dot.png", PIXEL), purpose="vision")
        made = await client.responses.create(
            model=model,
            input=[
                {
                    "role": "user",
                    "content": [
                        {"type": "input_file", "file_id": manual.id},
                        {"type": "input_image", "file_id": picture.id, "detail": "auto"},
                        {"type": "input_text", "text": "What is it?"},
                    ],
                }
            ],
        )
        assert made.status == "completed"
        asked = simulator.requests[-1].body
        assert base64.b64encode(MANUAL)[:60] in asked
        assert base64.b64encode(PIXEL)[:60] in asked
        assert manual.id.encode() not in asked, "identifiers of ours mean nothing to a provider"
        kept = await client.responses.input_items.list(made.id)
        assert manual.id in kept.to_json(), "what is kept names the file, and does not repeat it"
        again = await client.responses.create(model=model, previous_response_id=made.id, input="And now?")
        assert again.status == "completed"
        assert base64.b64encode(MANUAL)[:60] in simulator.requests[-1].body


async def test_the_model_that_quotes_reads_a_file(service: Service) -> None:
    async with openai_client(service) as client:
        note = await client.files.create(file=("note.txt", b"The pump weighs 85 kilograms."), purpose="user_data")
        made = await client.responses.create(
            model=EXTRACTIVE,
            input=[
                {
                    "role": "user",
                    "content": [
                        {"type": "input_file", "file_id": note.id},
                        {"type": "input_text", "text": "What does the pump weigh?"},
                    ],
                }
            ],
        )
    assert "85 kilograms" in made.output_text


async def test_a_file_that_is_not_there_is_refused_and_nothing_is_kept(service: Service, simulator: Simulator) -> None:
    async with openai_client(service) as client:
        with pytest.raises(openai.NotFoundError) as refused:
            await client.responses.create(
                model=CLAUDE,
                input=[{"role": "user", "content": [{"type": "input_file", "file_id": "file-" + "0" * 32}]}],
            )
    assert refused.value.code == "file_not_found"
    assert not simulator.requests
