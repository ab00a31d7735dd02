"""`ali doctor` on the edge: what is closed is well, what is dangerous is named with its remedy."""

from typing import Any

import pytest

from ali.cli.doctor_edge import edge
from ali.kernel.checks import CheckResult, CheckStatus
from ali.kernel.settings import Settings


def _found(values: dict[str, Any]) -> dict[str, CheckResult]:
    return {result.name: result for result in edge(Settings.model_validate(values))}


def test_the_closed_edge_has_nothing_to_mend() -> None:
    assert {result.status for result in _found({}).values()} == {CheckStatus.OK}


@pytest.mark.parametrize(
    ("values", "name", "status", "hint"),
    [
        ({"cors_origins": ["*"]}, "origins", CheckStatus.WARN, "ALI_CORS_ORIGINS"),
        ({"cors_origins": ["http://app.example.com"]}, "origins", CheckStatus.WARN, "https"),
        ({"cors_origins": ["http://localhost:3000", "https://a.b"]}, "origins", CheckStatus.OK, ""),
        ({"trusted_proxies": ["0.0.0.0/0"]}, "proxies", CheckStatus.FAIL, "ALI_TRUSTED_PROXIES"),
        ({"trusted_proxies": ["10.0.0.0/8", "::/0"]}, "proxies", CheckStatus.FAIL, "ALI_TRUSTED_PROXIES"),
        ({"trusted_proxies": ["10.0.0.0/8", "fd00::/16"]}, "proxies", CheckStatus.OK, ""),
        ({"trusted_hosts": ["api.example.com"]}, "hosts", CheckStatus.WARN, "Host header"),
        ({"trusted_hosts": ["api.example.com"], "host": "0.0.0.0"}, "hosts", CheckStatus.OK, ""),  # noqa: S104 - not bound
        ({"outbound_allowed_hosts": ["169.254.169.254:80"]}, "outbound exceptions", CheckStatus.FAIL, "credentials"),
        ({"outbound_allowed_hosts": ["idp.example.internal:8443"]}, "outbound exceptions", CheckStatus.OK, ""),
    ],
)
def test_what_is_dangerous_is_named_with_its_remedy(
    values: dict[str, Any], name: str, status: CheckStatus, hint: str
) -> None:
    found = _found(values)[name]
    assert found.status is status
    assert hint in found.hint
