"""``/api/v1/wallet``: what a citizen does with licences on a phone. Every operation is about the signed-in citizen alone;
what belongs to others is as if it were not there.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api.auth import Citizen, CurrentCitizen, node_of
from api.holdings import ChallengeOut, CopyOut, DownloadedOut, GrantOut, HeldLicenceOut, Kind, MatterOut
from api.routes.common import KNOWN, IdempotencyKey, Moment, errors
from api.schemas import Page, UseOut
from crypto.errors import TooManyRequests

router = APIRouter(prefix="/api/v1/wallet", tags=["wallet"], responses=KNOWN)


class CopyWish(BaseModel):
    """Put a licence on this phone, or renew the copy that is on it."""

    licence: str = Field(max_length=200, description="ID or identifier")
    grant: str | None = Field(None, max_length=64, description="On which authorisation; by default the widest")
    device_name: str = Field("", max_length=200, description="What you call the phone")
    proof: str = Field(max_length=8192, description="JWT of type openid4vci-proof+jwt by the phone's key")


class GrantWish(BaseModel):
    """Authorise somebody; the identity number is turned into a keyed digest and not kept."""

    licence: str = Field(max_length=200, description="ID or identifier")
    kind: Kind
    name: str = Field(min_length=1, max_length=100)
    id_number: str = Field(min_length=15, max_length=24, description="Resident identity number of whoever is authorised")
    matters: list[str] = Field(default_factory=list, max_length=32, description="Codes of GET /wallet/matters; empty: all")
    until: Moment


def _items(found: list[dict[str, Any]]) -> Any:
    return JSONResponse({"items": found, "next": None}, headers={"Cache-Control": "no-store"})


@router.get("/licences", operation_id="held_licences", response_model=Page[HeldLicenceOut])
def licences(request: Request, citizen: Citizen) -> Any:
    """Your licences and those that you are authorised to use; `download` says whether one may be put on a phone, or why not."""
    return _items(node_of(request).copies.of(citizen))


@router.get("/matters", operation_id="presenting_matters", response_model=Page[MatterOut])
def matters(request: Request, citizen: Citizen) -> Any:
    """What licences are shown for."""
    return _items([vars(one) for one in node_of(request).grants.matters().values()])


@router.post("/challenges", operation_id="copy_challenge", status_code=201, response_model=ChallengeOut)
def challenge(request: Request, citizen: Citizen) -> Any:
    """A nonce for the phone's proof: good once, for ten minutes."""
    return JSONResponse(node_of(request).copies.challenge(citizen), 201, {"Cache-Control": "no-store"})


@router.post(
    "/copies",
    operation_id="download_copy",
    status_code=201,
    response_model=DownloadedOut,
    responses=errors(400, 404, 409, 422, 429),
)
def download(
    request: Request, citizen: Citizen, browser: CurrentCitizen, wish: CopyWish, idempotency_key: IdempotencyKey = None
) -> Any:
    """The licence bound to the phone's key, as SD-JWT VC and as compact credential; the same key again renews its copy.

    A sign-in serves one phone: with another key, sign in again.
    """
    if not request.app.state.wallet_limit.allow(citizen.id):  # each one costs signatures of the token
        raise TooManyRequests(
            "Too many licences were put on phones in a short time; wait a few minutes.",
            "短时间内下载过于频繁，请几分钟后再试。",
        )
    node = node_of(request)
    made = node.copies.download(
        citizen,
        wish.licence,
        device=wish.device_name,
        proof=wish.proof,
        grant_id=wish.grant,
        idempotency_key=idempotency_key,
        own_phone=partial(node.citizens.bind_phone, browser.token) if browser else None,
    )
    return JSONResponse(made, 201, {"Cache-Control": "no-store"})


@router.get("/copies", operation_id="list_copies", response_model=Page[CopyOut])
def copies(request: Request, citizen: Citizen) -> Any:
    """Your copies on all phones and how each stands; those that ended stay for three months, so that a phone learns why."""
    return _items(node_of(request).copies.mine(citizen))


@router.post("/copies/{copy_id}/remove", operation_id="remove_copy", response_model=CopyOut, responses=errors(404))
def remove(request: Request, citizen: Citizen, copy_id: str) -> Any:
    """Take it off the phone; it can be downloaded again."""
    return JSONResponse(node_of(request).copies.remove(citizen, copy_id))


@router.post("/copies/{copy_id}/lost", operation_id="phone_lost", response_model=Page[CopyOut], responses=errors(404))
def lost(request: Request, citizen: Citizen, browser: CurrentCitizen, copy_id: str) -> Any:
    """The phone with this copy is lost: all your copies on it end, its key is not taken again, and other browsers are signed
    out.
    """
    node = node_of(request)
    ended = node.copies.lost(citizen, copy_id)
    node.citizens.sign_out_elsewhere(citizen, keep=browser.token if browser else None)
    return _items(ended)


@router.get("/grants", operation_id="list_grants", response_model=Page[GrantOut], responses=errors(404))
def grants(
    request: Request,
    citizen: Citizen,
    licence: Annotated[str | None, Query(max_length=200, description="Of this licence alone (ID or identifier)")] = None,
) -> Any:
    """Authorisations that you gave, that you have, and those of your licences; newest first."""
    return _items(node_of(request).grants.mine(citizen, licence_id=licence))


@router.post("/grants", operation_id="authorise", status_code=201, response_model=GrantOut, responses=errors(400, 404, 422))
def authorise(request: Request, citizen: Citizen, wish: GrantWish) -> Any:
    """Authorise a licence manager 证照管理员, staff 办事人 or an agent 代办人."""
    made = node_of(request).grants.authorise(
        citizen,
        wish.licence,
        kind=wish.kind,
        name=wish.name,
        id_number=wish.id_number,
        matters=wish.matters,
        until=wish.until,
    )
    return JSONResponse(made, 201)


@router.post("/grants/{grant_id}/withdraw", operation_id="withdraw_grant", response_model=GrantOut, responses=errors(404))
def withdraw(request: Request, citizen: Citizen, grant_id: str) -> Any:
    """End it at once, with everything that rests on it and all copies."""
    return JSONResponse(node_of(request).grants.withdraw(citizen, grant_id))


@router.get("/uses", operation_id="licence_uses", response_model=Page[UseOut])
def uses(request: Request, citizen: Citizen) -> Any:
    """Who verified your licences and for what, newest first; licence managers see those of the licences that they manage."""
    node, names = node_of(request), node_of(request).grants.matters()
    held = {one["id"]: one for one in node.copies.of(citizen) if one["role"] in ("representative", "holder", "manager")}
    found = node.uses.of_licences(sorted(held), limit=100)
    for one in found:
        matter = names.get(one["matter"] or "")
        one |= {"matter_name": matter.en if matter else None, "matter_name_zh": matter.zh if matter else None}
    return _items(found)
