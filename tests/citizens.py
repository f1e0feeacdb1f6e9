"""Citizens for tests: signed in without the way through the identity provider, which has tests of its own."""

from __future__ import annotations

import httpx

from api.sessions import CITIZEN_COOKIE, CitizenBrowser
from ceremonies.node import Node
from people.citizens import Statement
from people.demo import demo_citizen
from people.schemas import Citizen
from tests.node_home import TLS, Service

ASSURANCE = "urn:xinyin:test"


def citizen(node: Node, key: str) -> Citizen:
    """One of :data:`people.demo.CITIZENS` as somebody who has signed in: owner, staff, elder or agent."""
    one = demo_citizen(key)
    return node.citizens.signed_in(Statement("https://identity.test", one.key, one.name, one.id_number, ASSURANCE))


def browser(node: Node, key: str) -> CitizenBrowser:
    """A living session of a demo citizen: its ``token`` is the cookie's value, its ``csrf`` what changes need."""
    session = node.citizens.open_session(citizen(node, key))
    return CitizenBrowser(session.citizen, session.token)


def client(service: Service, key: str) -> httpx.Client:
    """An HTTP client in which a demo citizen is signed in; it sends ``X-CSRF-Token`` along."""
    signed_in = browser(service.node, key)
    return httpx.Client(
        base_url=service.url,
        cookies={CITIZEN_COOKIE: signed_in.token},
        headers={"X-CSRF-Token": signed_in.csrf},
        timeout=120,
        verify=TLS,
    )
