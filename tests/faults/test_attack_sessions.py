"""Sessions put under somebody else, and links that lead away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import quote

import httpx
import pytest
from fastapi.routing import APIRoute

from api.limits import RateLimit
from api.render import local_path
from people.demo import demo_passwords
from tests.node_home import Service, founded_home, serving

ELSEWHERE = [
    "https://evil.example/",
    "//evil.example/",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/%5Cevil.example",
    "/\t/evil.example",
    "/%09/evil.example",
    "/%2f%2fevil.example",
    "javascript:alert(1)",
    "/x\r\nLocation: https://evil.example",
    "https:evil.example",
    "@evil.example",
    "/.evil.example/..//evil.example",
]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home()) as running:
        yield running


def sign_in(service: Service, client: httpx.Client, name: str, **more: str) -> httpx.Response:
    token = re.search(r'name="csrf" value="([^"]+)"', client.get("/signin").text)
    assert token
    password = demo_passwords(service.node.home / "secrets")[name]
    return client.post("/signin", data={"name": name, "password": password, "csrf": token[1], **more})


def test_a_session_that_was_planted_before_signing_in_is_not_the_one_after_it(service: Service) -> None:
    """Session fixation: whoever set the cookie beforehand knows it, and must not become the person who signs in."""
    service.node.accounts.get("handler")
    with closing(service.client()) as attacker, closing(service.client()) as victim:
        assert sign_in(service, attacker, "handler").status_code == 303
        planted = attacker.cookies["xinyin_session"]
        for value in (planted, "a" * 43):
            victim.cookies.clear()
            victim.cookies.set("xinyin_session", value, domain="127.0.0.1")
            victim.get("/signin")
            if value == planted:  # signed in as the attacker: the page leads on, and signing out ends that session only here
                victim.cookies.clear()
                victim.cookies.set("xinyin_session", "b" * 43, domain="127.0.0.1")
            assert sign_in(service, victim, "keeper").status_code == 303
            given = [cookie.value for cookie in victim.cookies.jar if cookie.name == "xinyin_session"][-1]
            assert given not in (value, planted)
            assert service.node.accounts.by_session(value) is None or value == planted
        mine = service.node.accounts.by_session(planted)
        assert mine is not None
        assert mine.name == "handler", "the attacker's session is still the attacker's"


def test_the_token_of_the_form_before_signing_in_is_of_no_use_after_it(service: Service) -> None:
    with closing(service.client()) as client:
        before = re.search(r'name="csrf" value="([^"]+)"', client.get("/signin").text)
        assert before
        assert sign_in(service, client, "keeper").status_code == 303
        assert client.post("/signout", data={"csrf": before[1]}).status_code == 403


def test_signing_out_ends_the_session_for_whoever_copied_its_cookie(service: Service) -> None:
    with closing(service.client()) as client, closing(service.client()) as thief:
        sign_in(service, client, "keeper")
        token = client.cookies["xinyin_session"]
        thief.cookies.set("xinyin_session", token, domain="127.0.0.1")
        assert thief.get("/desk").status_code == 200
        csrf = re.search(r'name="csrf" value="([^"]+)"', client.get("/desk").text)
        assert csrf
        assert client.post("/signout", data={"csrf": csrf[1]}).status_code == 303
        assert thief.get("/desk", headers={"Accept": "text/html"}).status_code == 303


def stays_here(location: str) -> bool:
    """Whether a browser that follows ``location`` is still with us: a path, and no other host however it is read."""
    plain = re.fullmatch(r"/(?![/\\])[^\s\\]*", location) is not None
    return plain and httpx.URL("http://here.example/x").join(location).host == "here.example"


@pytest.mark.parametrize("value", ELSEWHERE)
def test_a_way_back_never_leads_to_another_site(value: str) -> None:
    """Open redirect: a link to us that sends people on to somebody else."""
    assert stays_here(local_path(value))


@pytest.mark.parametrize("value", ELSEWHERE)
def test_no_address_that_takes_a_way_back_leads_to_another_site(service: Service, value: str) -> None:
    """Every address with such a parameter, found in the application itself, for whoever is signed in and whoever is not."""
    named = re.compile(r"back|next|to|url|return|return_to|redirect|redirect_uri|continue|goto")
    addresses = []
    for route in service.app.routes:
        for one in getattr(getattr(route, "original_router", None), "routes", [route]):
            if isinstance(one, APIRoute) and "GET" in (one.methods or ()):
                addresses += [(one.path, p.name) for p in one.dependant.query_params if named.fullmatch(p.name)]
    assert ("/lang/{lang}", "back") in addresses
    with closing(service.client()) as client:
        for signed_in in (False, True):
            if signed_in:
                sign_in(service, client, "keeper")
            for path, name in addresses:
                answer = client.get(re.sub(r"\{\w+\}", "en", path) + f"?{name}={quote(value, safe='')}")
                # The development identity provider is this very service, named by its whole address.
                where = answer.headers.get("location", "/").removeprefix(str(client.base_url).rstrip("/"))
                assert stays_here(where), (path, where)


@pytest.mark.parametrize("value", ELSEWHERE[:6])
def test_signing_in_never_leads_to_another_site(service: Service, value: str) -> None:
    service.app.state.signin_limit = RateLimit(per_second=1, burst=10)  # each value is a visit of its own
    with closing(service.client()) as client:
        done = sign_in(service, client, "keeper", to=value, back=value, next=value)
        assert done.status_code == 303
        assert stays_here(done.headers["location"])
