"""Callers who try what is not theirs, and requests at the edge of what can be said."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

import pytest

from tests.node_home import EXAMPLES, Service, founded_home, serving

APPROVAL = (EXAMPLES / "approval.pdf").read_bytes()
LICENCE = json.loads((EXAMPLES / "licence.json").read_text("utf-8"))
PLACE = {"page": "2", "x_mm": "137", "y_mm": "175"}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home()) as running:
        yield running


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1969-12-31T00:00:00Z", "-99999999999"]
)
def test_times_beyond_all_reckoning_are_refused_and_not_stumbled_over(service: Service, at: str) -> None:
    with service.client() as anyone, service.client("clerk") as clerk:
        answer = anyone.post("/api/v1/verifications", files={"file": ("x.pdf", APPROVAL)}, data={"at": at})
        assert answer.status_code == 422, answer.text
        assert clerk.get("/api/v1/licences/any", params={"at": at}).status_code == 422


def test_another_departments_people_see_and_use_nothing_of_a_seal(service: Service) -> None:
    """A stranger with every role that seals and issues, in a department of his own."""
    seal, name = service.seal(), "stranger-" + secrets.token_hex(3)
    elsewhere = service.node.accounts.create_department(f"云江市气象局（{name}）")
    roles = ["handler", "seal_keeper", "licensing_clerk"]
    service.node.accounts.create(name, secrets.token_hex(12), roles=roles, department=elsewhere.id)
    key = {"Idempotency-Key": "k-" + secrets.token_hex(4)}
    form = {"seal": seal["id"], **PLACE}
    with service.client("keeper") as keeper, service.client(name) as stranger:
        made = keeper.post("/api/v1/impressions", files={"file": APPROVAL}, data=form, headers=key).json()
        address = f"/api/v1/impressions/{made['id']}"
        for path in (address, f"{address}/document", f"/api/v1/seals/{seal['id']}", f"/api/v1/seals/{seal['es_id']}"):
            hidden, nothing = (
                stranger.get(path),
                stranger.get(path.replace(made["id"], "impression_none").replace(seal["id"], "x")),
            )
            assert hidden.status_code in (403, 404), path
            assert APPROVAL[:20] not in hidden.content
            del nothing
        assert stranger.get("/api/v1/seals").json()["items"] == []
        assert stranger.get("/api/v1/impressions", params={"seal": seal["id"]}).json()["items"] == []
        replay = stranger.post("/api/v1/impressions", files={"file": APPROVAL}, data=form, headers=key)
        assert replay.status_code == 403, "another account's key gives nobody its result"
        for verb, path, body in (
            ("POST", f"{address}/void", {"reason": "x"}),
            ("POST", f"/api/v1/seals/{seal['id']}/suspend", {"reason": "x"}),
            ("POST", f"/api/v1/seals/{seal['id']}/revoke", {"reason": "x"}),
        ):
            assert stranger.request(verb, path, json=body).status_code in (403, 404), path
        assert keeper.get(address).json()["status"] == "valid"
