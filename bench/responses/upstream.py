"""The gateway benchmark's cheap provider, which here also streams Anthropic's Messages and OpenAI's Responses."""

import argparse
from typing import Final

import uvloop

from bench.gateway.upstream import PLACE, Script, chunked, serve


def _named(kind: bytes, fields: bytes) -> bytes:
    return chunked(b'event: %b\ndata: {"type":"%b",%b}\n\n' % (kind, kind, fields))


_MESSAGES: Final = Script.of(
    first=_named(
        b"message_start",
        b'"message":{"id":"msg_bench","type":"message","role":"assistant","model":"claude","content":[],'
        b'"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":12,"output_tokens":1}}',
    )
    + _named(b"content_block_start", b'"index":0,"content_block":{"type":"text","text":""}'),
    chunk=_named(b"content_block_delta", b'"index":0,"delta":{"type":"text_delta","text":"%b"}' % PLACE),
    last=_named(b"content_block_stop", b'"index":0')
    + _named(b"message_delta", b'"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":24}')
    + chunked(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
    + b"0\r\n\r\n",
)
_ITEM: Final = b'"id":"msg_bench","type":"message","role":"assistant"'
_WHERE: Final = b'"item_id":"msg_bench","output_index":0,"content_index":0'
_PART: Final = b'{"type":"output_text","annotations":[],"logprobs":[],"text":"%b"}'
_USAGE: Final = (
    b'"usage":{"input_tokens":12,"input_tokens_details":{"cached_tokens":0},"output_tokens":24,'
    b'"output_tokens_details":{"reasoning_tokens":0},"total_tokens":36}'
)
_RESPONSE: Final = b'"response":{"id":"resp_bench","object":"response","created_at":1700000000,"status":"%b",%b}'
_RESPONSES: Final = Script.of(
    first=_named(b"response.created", b'"sequence_number":0,' + _RESPONSE % (b"in_progress", b'"output":[]'))
    + _named(b"response.in_progress", b'"sequence_number":1,' + _RESPONSE % (b"in_progress", b'"output":[]'))
    + _named(
        b"response.output_item.added",
        b'"sequence_number":2,"output_index":0,"item":{%b,"status":"in_progress","content":[]}' % _ITEM,
    )
    + _named(b"response.content_part.added", b'"sequence_number":3,%b,"part":%b' % (_WHERE, _PART % b"")),
    chunk=_named(b"response.output_text.delta", b'"sequence_number":4,%b,"delta":"%b","logprobs":[]' % (_WHERE, PLACE)),
    last=_named(b"response.output_text.done", b'"sequence_number":5,%b,"text":"(as above)","logprobs":[]' % _WHERE)
    + _named(b"response.content_part.done", b'"sequence_number":6,%b,"part":%b' % (_WHERE, _PART % b"(as above)"))
    + _named(
        b"response.output_item.done",
        b'"sequence_number":7,"output_index":0,"item":{%b,"status":"completed","content":[%b]}'
        % (_ITEM, _PART % b"(as above)"),
    )
    + _named(b"response.completed", b'"sequence_number":8,' + _RESPONSE % (b"completed", b'"output":[],' + _USAGE))
    + b"0\r\n\r\n",
)
SCRIPTS: Final = {b"messages": _MESSAGES, b"responses": _RESPONSES}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(serve(parser.parse_args().port, SCRIPTS))
