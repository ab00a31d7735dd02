"""The page behind a one-time link, as a browser gets it; what its form sends is in test_own_account."""

import re

import aiohttp
import pytest

from tests.fixtures.service import Service
from tests.identity.people import Caller

PAGES = ("/accept-invitation", "/reset-password")


@pytest.mark.parametrize("path", PAGES)
async def test_the_page_runs_its_own_script_alone_and_nobody_frames_it(people: Service, path: str) -> None:
    answer, text = await _got(people, path)
    assert answer.content_type == "text/html"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == ("'none'", "'self'", "'self'")
    assert (policy["frame-ancestors"], policy["form-action"], policy["base-uri"]) == ("'none'",) * 3
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=|https?://", text), "the policy would stop it"


@pytest.mark.parametrize("path", PAGES)
async def test_what_the_page_names_is_there(people: Service, path: str) -> None:
    named = re.findall(r'(?:src|href)="([^"]+)"', (await _got(people, path))[1])
    types = {name: (await _got(people, name))[0].content_type for name in named}
    assert types == {"/account/link.css": "text/css", "/account/link.js": "text/javascript"}


async def test_the_script_speaks_to_routes_that_there_are_and_uses_elements_that_there_are(
    people: Service, caller: Caller
) -> None:
    script, page = (await _got(people, "/account/link.js"))[1], (await _got(people, PAGES[0]))[1]
    assert set(re.findall(r'element\("([^"]+)"\)', script)) <= set(re.findall(r'id="([^"]+)"', page))
    routes = re.findall(r'"(/v1/[^"]+)"', script)
    assert len(routes) == 2
    for route in routes:
        status, answer = await caller("POST", route.removeprefix("/v1/ali/auth"), {"token": "x", "password": "x" * 12})
        assert status in {400, 401, 422}, answer


async def _got(service: Service, path: str) -> tuple[aiohttp.ClientResponse, str]:
    async with aiohttp.ClientSession() as session, session.get(f"{service.url}{path}") as answer:
        assert answer.status == 200
        return answer, await answer.text()
