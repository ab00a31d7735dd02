"""The inbound edge: what holds for every request and answer, whoever sends it and whatever serves it.

Who the caller's machine is, which hosts and origins are served, how large and deep a body may be, and the headers that
tell a browser to keep out. docs/explanation/edge.md has the rules.
"""

from ali.kernel.edge.doorway import Doorway, EdgeRules
from ali.kernel.edge.errors import (
    HeadersTooLarge,
    HostNotServed,
    JsonTooDeep,
    MalformedRequest,
    MediaTypeRefused,
    OriginRefused,
    RequestTooSlow,
    SocketVersionRefused,
)
from ali.kernel.edge.proxies import Hop, Proxies
from ali.kernel.edge.refusal import answered, refusal

__all__ = [
    "Doorway",
    "EdgeRules",
    "HeadersTooLarge",
    "Hop",
    "HostNotServed",
    "JsonTooDeep",
    "MalformedRequest",
    "MediaTypeRefused",
    "OriginRefused",
    "Proxies",
    "RequestTooSlow",
    "SocketVersionRefused",
    "answered",
    "refusal",
]
