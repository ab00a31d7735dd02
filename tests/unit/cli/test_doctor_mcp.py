"""`ali doctor` on MCP servers: what is exposed is named, and with `--online` whether each one answers."""

from typing import Any

import pytest

from ali.cli.doctor_mcp import mcp_servers, mcp_servers_online
from ali.kernel.checks import CheckResult, CheckStatus
from ali.kernel.settings import Settings


def _settings(*servers: object, **values: Any) -> Settings:  # noqa: ANN401 - as an operator may set them
    return Settings.model_validate({"mcp_servers": servers, **values})


def _one(settings: Settings) -> CheckResult:
    (found,) = mcp_servers(settings)
    return found


def test_without_servers_there_is_nothing_to_mend() -> None:
    assert _one(_settings()).status is CheckStatus.OK
    assert list(mcp_servers_online(_settings())) == []


@pytest.mark.parametrize(
    ("server", "status", "hint"),
    [
        ("https://mcp.example.com/", CheckStatus.OK, ""),
        ({"url": "https://mcp.example.com/mcp", "authorization": "t"}, CheckStatus.OK, ""),
        ({"url": "https://mcp.example.com/", "authorization": "t"}, CheckStatus.WARN, "whole path"),
        ({"url": "http://mcp.example.internal:80/mcp", "authorization": "t"}, CheckStatus.WARN, "https"),
    ],
)
def test_an_authorization_that_may_go_astray_is_named(server: object, status: CheckStatus, hint: str) -> None:
    found = _one(_settings(server, outbound_allowed_hosts=["mcp.example.internal:80"]))
    assert found.status is status
    assert hint in found.hint


def test_a_server_that_cannot_be_reached_fails_and_the_others_are_still_asked() -> None:
    found = list(
        mcp_servers_online(
            _settings(
                "http://127.0.0.1:1/mcp",
                "http://127.0.0.1:1/other",
                outbound_allowed_hosts=["127.0.0.1:1"],
            )
        )
    )
    assert [result.status for result in found] == [CheckStatus.FAIL] * 2
    assert "accepts no connection" in found[0].detail
