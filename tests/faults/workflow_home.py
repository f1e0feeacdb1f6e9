"""Applications to seal on a home with real tokens, for processes that are to be killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from people.schemas import Actor
from seals.placement import Placement
from seals.workflow.drafts import NewDocument
from store.crashpoints import arm
from tests.faults.sealing_home import EXAMPLES, OWNER, REGION, Services

DOCUMENTS = 3
FACTS = {"complete": True, "register_match": True, "risk": "low"}


def person(name: str, *roles: str, kind: str = "staff") -> Actor:
    """Somebody of the bureau; identifiers are all that the workflow asks of them."""
    return Actor(f"account_{name}", name, frozenset(roles), OWNER, REGION, kind, frozenset({OWNER}))  # type: ignore[arg-type]


HANDLER, SIGNER = person("handler", "handler"), person("signer", "signer_off")
KEEPERS = (person("keeper", "seal_keeper"), person("keeper2", "seal_keeper"))
SYSTEM = person("system", "handler", "seal_keeper", kind="system")


def documents() -> list[NewDocument]:
    """Three approvals, each another file."""
    data = (EXAMPLES / "approval.pdf").read_bytes()
    return [
        NewDocument(f"{n}.pdf", data + f"\n%{n}\n".encode(), Placement(1, 120.0, 230.0), suite="p256") for n in range(DOCUMENTS)
    ]


def submit(services: Services, key: str) -> dict[str, Any]:
    """Hand in under an idempotency key."""
    seal_id = (services.home / "seal").read_text()
    wish: dict[str, Any] = {"purpose": "use-seal", "department": OWNER, "seal_id": seal_id, "documents": documents()}
    return services.seals.applications.submit(HANDLER, **wish, idempotency_key=key)


def instant(services: Services, key: str) -> dict[str, Any]:
    """Hand in what a rule signs off."""
    seal_id = (services.home / "seal").read_text()
    wish: dict[str, Any] = {"purpose": "use-seal", "department": OWNER, "seal_id": seal_id, "documents": documents()}
    matter = {"matter": "registration-notice", "facts": FACTS}
    return services.seals.applications.submit(SYSTEM, **wish, **matter, idempotency_key=key)


def sign(services: Services, application: str) -> dict[str, Any]:
    """Sign it off."""
    return services.seals.applications.sign_off(SIGNER, application)


def signed(services: Services, key: str) -> dict[str, Any]:
    """Hand in, and sign off."""
    return sign(services, submit(services, key)["id"])


def amend(services: Services, application: str) -> dict[str, Any]:
    """Change the number of copies."""
    return services.seals.applications.amend(HANDLER, application, copies=2)


def use(services: Services, application: str) -> dict[str, Any]:
    """Seal all of it."""
    return services.seals.applications.seal(KEEPERS[0], application)


def use_as_another(services: Services, application: str) -> dict[str, Any]:
    """Seal all of it, as another keeper."""
    return services.seals.applications.seal(KEEPERS[1], application)


ACTIONS = {
    "submit": submit,
    "instant": instant,
    "sign": sign,
    "signed": signed,
    "amend": amend,
    "use": use,
    "use-as-another": use_as_another,
}


def act(
    home: str, action: str, what: str, *, point: str | None = None, nth: int = 1, answer: str = "", host: bool = True
) -> None:
    """The whole life of a process: open, do, write the answer; killed at ``point`` if one is given."""
    services = Services(Path(home), host)
    if point is not None:
        arm(point, nth)
    result = ACTIONS[action](services, what)
    services.close()
    if answer:
        Path(answer).write_text(json.dumps(result), encoding="utf-8")
