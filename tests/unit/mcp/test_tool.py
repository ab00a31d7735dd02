"""The `mcp` tool of a request: what is taken, what is refused and how it is named, and what a response shows of it."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import tool as responses_tool
from pydantic import SecretStr

from ali.features.responses.mcp import McpAllowList, McpServer, McpTool, parse_mcp_tool, refuse_repeated_labels
from ali.kernel.errors import InvalidRequest
from ali.kernel.mcp_server import AllowedMcpServer
from ali.kernel.outbound import read_allowed
from tests.unit.kernel.test_outbound_urls import HOSTILE_URLS

ALLOW_LIST = McpAllowList(
    [
        AllowedMcpServer(url="https://mcp.example.com/", authorization=SecretStr("operators-token")),
        AllowedMcpServer(url="https://docs.example.org/mcp"),
        AllowedMcpServer(url="https://mcp.example.com/team", authorization=SecretStr("teams-token")),
        AllowedMcpServer(url="http://127.0.0.1:9000/mcp"),
    ],
    outbound=read_allowed(["127.0.0.1:9000"]),
)


def mcp(**members: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever a caller may send
    return {"type": "mcp", "server_label": "docs", "server_url": "https://docs.example.org/mcp", **members}


def parsed(**members: Any) -> McpServer:  # noqa: ANN401 - as above
    return parse_mcp_tool(mcp(**members), param="tools[2]", allow_list=ALLOW_LIST)


def offered(name: str, *, read_only: bool = False) -> McpTool:
    return McpTool(
        name=name, description=None, input_schema={"type": "object"}, annotations={"readOnlyHint": read_only}
    )


def test_the_least_tool_asks_for_approval_of_everything_and_allows_all_tools() -> None:
    server = parsed()
    assert server.admits(offered("any"))
    assert server.needs_approval(offered("any", read_only=True))
    assert server.authorization is None
    assert server.headers == {}


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"server_label": None}, "server_label"),
        ({"server_label": ""}, "server_label"),
        ({"server_label": 1}, "server_label"),
        ({"server_label": "a b"}, "server_label"),
        ({"server_label": "a" * 65}, "server_label"),
        ({"server_label": "a\n"}, "server_label"),
        ({"server_url": None}, "server_url"),
        ({"server_url": ["https://docs.example.org/mcp"]}, "server_url"),
        ({"server_url": "https://elsewhere.example.org/mcp"}, "server_url"),
        ({"connector_id": "connector_gmail"}, "connector_id"),
        ({"server_url": None, "connector_id": "connector_gmail"}, "connector_id"),
        ({"tunnel_id": "tunnel_1"}, "tunnel_id"),
        ({"allowed_callers": ["programmatic"]}, "allowed_callers"),
        ({"allowed_callers": "direct"}, "allowed_callers"),
        ({"server_description": 1}, "server_description"),
        ({"server_description": "a" * 4097}, "server_description"),
        ({"defer_loading": "yes"}, "defer_loading"),
        ({"surprise": 1}, "surprise"),
        ({"allowed_tools": "search"}, "allowed_tools"),
        ({"allowed_tools": [1]}, "allowed_tools"),
        ({"allowed_tools": [""]}, "allowed_tools"),
        ({"allowed_tools": ["a"] * 501}, "allowed_tools"),
        ({"allowed_tools": {}}, "allowed_tools"),
        ({"allowed_tools": {"names": ["a"]}}, "allowed_tools"),
        ({"allowed_tools": {"tool_names": "a"}}, "allowed_tools.tool_names"),
        ({"allowed_tools": {"read_only": "yes"}}, "allowed_tools.read_only"),
        ({"require_approval": "sometimes"}, "require_approval"),
        ({"require_approval": True}, "require_approval"),
        ({"require_approval": {}}, "require_approval"),
        ({"require_approval": {"perhaps": {"tool_names": []}}}, "require_approval"),
        ({"require_approval": {"never": []}}, "require_approval.never"),
        ({"require_approval": {"never": {}}}, "require_approval.never"),
        ({"require_approval": {"always": {"tool_names": [None]}}}, "require_approval.always.tool_names"),
        ({"headers": []}, "headers"),
        ({"headers": {"a b": "c"}}, "headers"),
        ({"headers": {"": "c"}}, "headers"),
        ({"headers": {"x": "a\r\nb: c"}}, "headers.x"),
        ({"headers": {"x": ""}}, "headers.x"),
        ({"headers": {"x": "\u00e9"}}, "headers.x"),
        ({"headers": {"x": 1}}, "headers.x"),
        ({"headers": {"Host": "evil"}}, "headers.Host"),
        ({"headers": {"Content-Length": "1"}}, "headers.Content-Length"),
        ({"headers": {"Mcp-Session-Id": "1"}}, "headers.Mcp-Session-Id"),
        ({"headers": {"Proxy-Authorization": "1"}}, "headers.Proxy-Authorization"),
        ({"headers": {"X": "1", "x": "2"}}, "headers.x"),
        ({"headers": {f"x-{n}": "1" for n in range(33)}}, "headers"),
        ({"headers": {"x": "a" * 17_000}}, "headers"),
        ({"authorization": 1}, "authorization"),
        ({"authorization": ""}, "authorization"),
        ({"authorization": "Bearer secret"}, "authorization"),
        ({"authorization": "a\r\nb"}, "authorization"),
        ({"authorization": "a", "headers": {"Authorization": "Bearer b"}}, "authorization"),
    ],
)
def test_what_is_wrong_is_refused_by_its_place_in_the_request(members: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parsed(**members)
    assert refused.value.param == f"tools[2].{param}"
    assert refused.value.http_status == 400


@pytest.mark.parametrize("value", [None, "mcp", [], 1])
def test_what_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_mcp_tool(value, param="tools[0]", allow_list=ALLOW_LIST)
    assert refused.value.param == "tools[0]"


@pytest.mark.parametrize("url", [url for url in HOSTILE_URLS if url])
def test_a_hostile_url_is_no_mcp_server(url: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parsed(server_url=url)
    assert refused.value.param == "tools[2].server_url"


@pytest.mark.parametrize(
    "url",
    [
        "https://mcp.example.com",
        "https://mcp.example.com/",
        "https://MCP.example.com:443/a/b?key=c",
        "https://docs.example.org/mcp",
        "https://docs.example.org/mcp?key=a",
        "https://docs.example.org/mcp/",
        "https://docs.example.org/mcp/v1",
        "http://127.0.0.1:9000/mcp",
    ],
)
def test_a_url_at_or_under_one_of_the_list_is_taken(url: str) -> None:
    assert parsed(server_url=url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "https://mcp.example.com.evil.example/",
        "https://evil.mcp.example.com/",
        "https://mcp.example.com:8443/",
        "https://docs.example.org/",
        "https://docs.example.org/MCP",
        "https://docs.example.org/mcp2",
        "https://docs.example.org/mcp/../admin",
        "https://docs.example.org/mcp/..",
        "https://docs.example.org/mcp/./admin",
        "https://docs.example.org/mcp/%2e%2e/admin",
        "https://docs.example.org/mcp/%252e%252e/admin",
        "https://docs.example.org/mcp/..%2fadmin",
        "https://docs.example.org/mcp/..%5cadmin",
        "https://docs.example.org/mcp/..;/admin",
        "https://docs.example.org//mcp",
        "https://docs.example.org/mcp//admin",
        "https://docs.example.org/mcp%00",
        "http://127.0.0.1:9000/",
        "http://127.0.0.1:9001/mcp",
        "http://localhost:9000/mcp",
    ],
)
def test_a_url_that_only_looks_like_one_of_the_list_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parsed(server_url=url)
    assert refused.value.param == "tools[2].server_url"


def test_without_a_list_no_server_may_be_named() -> None:
    with pytest.raises(InvalidRequest, match="ALI_MCP_SERVERS") as refused:
        parse_mcp_tool(mcp(), param="tools[0]", allow_list=McpAllowList())
    assert refused.value.error_code == "mcp_server_not_allowed"


def test_the_operators_authorization_goes_where_the_request_brings_none() -> None:
    def token(**members: Any) -> str | None:  # noqa: ANN401 - as above
        found = parsed(**members).authorization
        return None if found is None else found.get_secret_value()

    assert token(server_url="https://mcp.example.com/a") == "operators-token"
    assert token(server_url="https://mcp.example.com/team/a") == "teams-token"
    assert token(server_url="https://mcp.example.com/teams") == "operators-token"
    assert token(server_url="https://mcp.example.com/a", authorization="own") == "own"
    assert token(server_url="https://mcp.example.com/a", headers={"Authorization": "Basic own"}) is None
    assert token() is None


def test_no_credential_is_shown_or_echoed() -> None:
    server = parsed(
        server_url="https://mcp.example.com/secret-path?key=secret-query",
        authorization="secret-token",
        headers={"X-Key": "secret-header"},
    )
    for shown in (repr(server), str(server.as_echoed())):
        assert "secret" not in shown
    assert server.as_echoed()["server_url"] == "https://mcp.example.com/<redacted>"
    assert "operators-token" not in repr(parsed(server_url="https://mcp.example.com/"))


@pytest.mark.parametrize("word", ["authorization", "headers"])
def test_a_refusal_holds_no_credential(word: str) -> None:
    value = "secret \u00e9" if word == "authorization" else {"x": "secret \u00e9"}
    with pytest.raises(InvalidRequest) as refused:
        parsed(**{word: value})
    assert "secret" not in refused.value.message


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"server_description": "Docs.", "allowed_tools": ["a"], "require_approval": "never", "defer_loading": True},
        {"allowed_tools": {"read_only": True}, "require_approval": {"never": {"tool_names": ["a"]}}},
        {"allowed_callers": ["direct"], "headers": {"x": "y"}},
        {"allowed_tools": None, "require_approval": None, "headers": None, "server_description": None},
    ],
)
def test_what_is_echoed_is_what_the_official_sdk_knows(members: dict[str, Any]) -> None:
    echoed = parsed(**members).as_echoed()
    known = responses_tool.Mcp.model_validate(echoed, strict=True)
    assert not known.model_extra
    assert known.allowed_tools is None or echoed["allowed_tools"] == members["allowed_tools"]
    assert echoed["require_approval"] == (members.get("require_approval") or "always")


@pytest.mark.parametrize(
    ("allowed_tools", "admitted"),
    [
        (None, {"read", "write"}),
        ([], set()),
        (["read"], {"read"}),
        ({"tool_names": ["write"]}, {"write"}),
        ({"read_only": True}, {"read"}),
        ({"read_only": False}, {"write"}),
        ({"tool_names": ["write"], "read_only": True}, set()),
    ],
)
def test_allowed_tools_are_those_that_every_part_of_the_filter_means(allowed_tools: object, admitted: set[str]) -> None:
    server = parsed(allowed_tools=allowed_tools)
    tools = (offered("read", read_only=True), offered("write"))
    assert {tool.name for tool in tools if server.admits(tool)} == admitted


@pytest.mark.parametrize(
    ("require_approval", "needing"),
    [
        (None, {"read", "write"}),
        ("always", {"read", "write"}),
        ("never", set()),
        ({"never": {"tool_names": ["read"]}}, {"write"}),
        ({"never": {"read_only": True}}, {"write"}),
        ({"always": {"tool_names": ["write"]}}, {"read", "write"}),
        ({"always": {"tool_names": ["write"]}, "never": {"tool_names": ["read", "write"]}}, {"write"}),
        ({"always": None, "never": {"tool_names": ["write"]}}, {"read"}),
    ],
)
def test_approval_is_needed_wherever_it_was_not_waived(require_approval: object, needing: set[str]) -> None:
    server = parsed(require_approval=require_approval)
    tools = (offered("read", read_only=True), offered("write"))
    assert {tool.name for tool in tools if server.needs_approval(tool)} == needing


def test_two_servers_of_one_label_are_refused() -> None:
    refuse_repeated_labels([parsed(), parsed(server_label="other")])
    with pytest.raises(InvalidRequest, match="Rename one"):
        refuse_repeated_labels([parsed(), parsed()])


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("never"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("always", "never", "tool_names", "read_only", "x")), inner, max_size=3)
    ),
)


@given(st.dictionaries(st.sampled_from(sorted(mcp(headers=0, allowed_tools=0, require_approval=0, defer_loading=0,
    authorization=0, server_description=0, connector_id=0, tunnel_id=0, allowed_callers=0))), _VALUES))  # fmt: skip
def test_whatever_a_caller_sends_is_taken_or_refused(members: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidRequest):
        server = parsed(**members)
        responses_tool.Mcp.model_validate(server.as_echoed(), strict=True)
        server.needs_approval(offered("a"))
