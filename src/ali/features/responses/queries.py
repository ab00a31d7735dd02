"""The statements of responses: each one call of a function, one round trip (migrations/response_functions.py)."""

from typing import Final

BEGIN: Final = (
    "select verdict, first, second from "
    "ali.begin_response(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, make_interval(secs => %s))"
)
SETTLE: Final = "select ali.settle_response(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
CHECKPOINT: Final = "select ali.checkpoint_response(%s, %s, %s, %s, %s, %s, %s, %s)"
DISCARD: Final = "select ali.discard_response(%s, %s, %s, %s)"
TAKE: Final = "select * from ali.take_responses(%s, %s, make_interval(secs => %s), %s)"
CANCEL: Final = "select verdict, instance_id from ali.cancel_response(%s, %s, %s)"
REQUEUE: Final = "select ali.requeue_response(%s, %s, %s, %s)"
FIND_ITEMS: Final = "select * from ali.find_items(%s, %s, %s, %s)"
READ_CHAIN: Final = "select verdict, link, input, output from ali.read_chain(%s, %s, %s, %s)"
READ_CONVERSATION: Final = "select verdict, body from ali.read_conversation(%s, %s, %s, %s)"
_TENANT: Final = "select set_config('ali.organization', %s, true), set_config('ali.project', %s, true)"
EVENTS: Final = (
    _TENANT,
    (
        "select first_number, last_number, body from ali.response_event "
        "where response_id = %s and last_number >= %s order by first_number"
    ),
)
HAS_CONVERSATION: Final = (_TENANT, "select 1 from ali.conversation where id = %s")
STATUS: Final = (_TENANT, "select status from ali.response where id = %s")
