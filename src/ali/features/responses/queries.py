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
EVENTS: Final = "select status, first_number, last_number, body from ali.read_events(%s, %s, %s, %s)"
