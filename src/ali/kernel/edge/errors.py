"""What the edge refuses, before anything looks at who is calling."""

from ali.kernel.errors import InvalidRequest


class MalformedRequest(InvalidRequest):
    """400: the request is not well-formed HTTP/1.1; the connection is closed."""

    code = "malformed_request"


class RequestTooSlow(InvalidRequest):
    """408: the request did not arrive in time; the connection is closed."""

    status = 408
    code = "request_too_slow"


class HeadersTooLarge(InvalidRequest):
    """431: the request's head has too many headers, or is too long; the connection is closed."""

    status = 431
    code = "headers_too_large"


class HostNotServed(InvalidRequest):
    """421: the `Host` header names none of the hosts that the operator lists."""

    status = 421
    code = "host_not_served"


class OriginRefused(InvalidRequest):
    """400: a browser's preflight or handshake asks for an origin, method or header that the operator does not allow."""

    code = "origin_refused"


class MediaTypeRefused(InvalidRequest):
    """415: the body is of a kind, or in a coding, that the operation does not take."""

    status = 415
    code = "unsupported_media_type"


class JsonTooDeep(InvalidRequest):
    """400: the JSON body is nested too deeply, or its brackets do not match."""

    code = "json_too_deep"


class SocketVersionRefused(InvalidRequest):
    """426: the handshake asks for a version of the WebSocket protocol that is not spoken here."""

    status = 426
    code = "websocket_version_refused"
