"""Background responses that a worker runs: the service that took them only keeps them, and reads their events out."""

import json
import time
from contextlib import ExitStack
from typing import Any

from tests.end_to_end.service import Service, clean_environment, serving, started, wait_for
from tests.end_to_end.test_batches import installation


def fetched(service: Service, name: str) -> dict[str, Any]:
    status, response = service.request("GET", f"/v1/responses/{name}")
    assert status == 200, response
    found: dict[str, Any] = response
    return found


def test_a_worker_runs_the_responses_that_the_service_took(empty_database_dsn: str) -> None:
    with ExitStack() as stack:
        home, variables = stack.enter_context(installation(empty_database_dsn, ALI_BACKGROUND="worker"))
        service = stack.enter_context(serving(home, variables=variables))
        asked = {"model": "gpt-4.1", "input": "[[text:Good morning.]] Hello", "background": True}
        status, first = service.request("POST", "/v1/responses", asked)
        assert (status, first["status"]) == (200, "queued")
        streamed = service.send("POST", "/v1/responses", {**asked, "stream": True})
        time.sleep(1.5)
        assert fetched(service, first["id"])["status"] == "queued", "nobody runs it yet"
        with started("worker", environment=clean_environment(ALI_HOME=str(home), **variables)) as worker:
            worker.wait_until_printed(r"(worker runs)")
            wait_for(lambda: fetched(service, first["id"])["status"] == "completed", what="the response's end")
            body = streamed.getresponse().read().decode()
            assert worker.end() == 0, worker.said
        streamed.close()
    events = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: ")]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["type"] == "response.completed"
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "Good morning."
