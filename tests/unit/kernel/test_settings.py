"""What follows from settings together."""

import pytest
from pydantic import ValidationError

from ali.kernel.settings import Settings

REDIS = {"redis_url": "redis://cache"}
DATABASE = {"database_url": "postgresql://ali@db/ali"}


@pytest.mark.parametrize(
    ("given", "counted_in"),
    [
        ({}, "process"),
        ({"workers": 2}, "postgres"),
        (DATABASE, "postgres"),
        (REDIS, "redis"),
        ({**REDIS, **DATABASE, "workers": 4}, "redis"),
        ({**DATABASE, "limiter_store": "process"}, "process"),
        ({**REDIS, "limiter_store": "postgres"}, "postgres"),
    ],
)
def test_limits_never_multiply_unless_the_operator_says_so(given: dict[str, object], counted_in: str) -> None:
    assert Settings.model_validate(given).limits_counted_in == counted_in


def test_limits_in_redis_need_one() -> None:
    with pytest.raises(ValidationError, match="REDIS_URL"):
        Settings.model_validate({"limiter_store": "redis"})


def test_mcp_servers_are_addresses_or_objects_and_none_at_first() -> None:
    assert Settings().mcp_servers == ()
    given = ["https://a.example.com/mcp", {"url": "https://b.example.com/", "authorization": "token"}]
    plain, with_token = Settings.model_validate({"mcp_servers": given}).mcp_servers
    assert (plain.url, plain.authorization) == ("https://a.example.com/mcp", None)
    assert with_token.authorization is not None
    assert "token" not in repr(with_token)


@pytest.mark.parametrize(
    "server",
    [
        "",
        "mcp.example.com",
        "http://mcp.example.com/",
        "https://127.0.0.1/mcp",
        "https://user@mcp.example.com/",
        "https://mcp.example.com/?key=a",
        "https://mcp.example.com/#a",
        "https://mcp.example.com/%2e%2e/",
        {"url": "https://mcp.example.com/", "authorization": "Bearer token"},
        {"url": "https://mcp.example.com/", "token": "a"},
        {},
        1,
    ],
)
def test_an_mcp_server_that_could_not_be_called_stops_the_start(server: object) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"mcp_servers": [server]})


def test_a_private_mcp_server_is_an_outbound_exception_too() -> None:
    private = {"mcp_servers": ["http://127.0.0.1:9000/mcp"]}
    with pytest.raises(ValidationError, match="ALI_OUTBOUND_ALLOWED_HOSTS"):
        Settings.model_validate(private)
    assert Settings.model_validate({**private, "outbound_allowed_hosts": ["127.0.0.1:9000"]}).mcp_servers
