"""Who verified my licences, for what and with which answer, as their owner sees it on the phone."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import phones
from api.auth import CurrentCitizen, node_of
from licences.standing import OWNERS
from policies.presenting import matters

router = APIRouter(include_in_schema=False)

_SEES = frozenset({*OWNERS, "manager"})


@router.get("/phone/uses")
def uses(request: Request, browser: CurrentCitizen) -> Response:
    """Every use of the licences that I own or manage, newest first, whether at a counter, online or in another region."""
    browser = phones.signed_in(browser)
    node = node_of(request)
    mine = {one["id"]: one for one in node.copies.of(browser.citizen) if one["role"] in _SEES}
    found = node.uses.of_licences(sorted(mine)) if mine else []
    named = matters(node.home)
    return phones.page(request, "uses.html", browser, here="uses", uses=found, mine=mine, matters=named, own=node.region)
