"""Two departments with their people, seals and approvals, for the tests of applications step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher

from people.schemas import Account
from people.service import AccountService
from policies.authorise import Authoriser
from seals.placement import AnyPlacement, Placement
from seals.workflow.drafts import NewDocument
from seals.workflow.service import ApplicationService
from store.db import Database
from tests.integration.seals_world import APPROVAL, APPROVALS, MARKET, REGION, World

PASSWORD = "Correct-horse-9 staple"
PLACE = Placement(2, 137, 175)
PEOPLE: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("handler", ("handler",), MARKET),
    ("colleague", ("handler",), MARKET),
    ("double", ("handler", "reviewer", "signer_off", "seal_keeper"), MARKET),
    ("reviewer", ("reviewer",), MARKET),
    ("signer", ("signer_off",), MARKET),
    ("keeper", ("seal_keeper",), MARKET),
    ("keeper2", ("seal_keeper",), MARKET),
    ("stranger", ("handler", "reviewer", "signer_off", "seal_keeper"), APPROVALS),
    ("third", ("signer_off",), "11310000MB2F300339"),
    ("auditor", ("auditor",), APPROVALS),
)


def page(number: int) -> bytes:
    """An approval that is another file for each number."""
    return APPROVAL + f"\n%{number}\n".encode()


@dataclass
class Office:
    """``office["signer"]`` is the signer-off of the market supervision bureau, and so on for :data:`PEOPLE`."""

    home: Path
    database: Database | None = None
    ids: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.world = World(self.home, database=self.database)
        cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        self.accounts = AccountService(self.world.db, self.world.audit, REGION, hasher=cheap)
        names = {MARKET: "云江市市场监督管理局", APPROVALS: "云江市行政审批局", "11310000MB2F300339": "云江市财政局"}
        for uscc, name in names.items():
            self.ids[uscc] = self.accounts.create_department(name, uscc=uscc).id
        for name, roles, uscc in PEOPLE:
            self.accounts.create(name, PASSWORD, roles=roles, department=self.ids[uscc], display_name=f"样本 {name}")
        self.accounts.create("system", None, roles=("handler", "seal_keeper"), department=self.ids[MARKET], kind="system")
        self.seal = self.world.seal(suites=("p256",))
        self.apply = self.world.seals.applications

    def __getitem__(self, name: str) -> Account:
        return self.accounts.get(name)

    def production(self) -> ApplicationService:
        """The same applications under the rules of production."""
        world = self.world
        world.authoriser = Authoriser("production")
        found = world.opened_seals().applications
        world.authoriser = Authoriser("development")
        return found

    def put(
        self,
        by: str = "handler",
        *,
        documents: int | Sequence[NewDocument] = 1,
        place: AnyPlacement | None = PLACE,
        **more: Any,
    ) -> dict[str, Any]:
        """Hand in an application to use the bureau's seal."""
        if isinstance(documents, int):
            documents = [NewDocument(f"批复{n}.pdf", page(n), place) for n in range(documents)]
        wish: dict[str, Any] = {"purpose": "use-seal", "department": MARKET, "seal_id": self.seal["id"]}
        return self.apply.submit(self[by], **{**wish, "matter": "approval-reply", "documents": documents, **more})

    def signed_off(self, **more: Any) -> dict[str, Any]:
        """One that was reviewed and signed off."""
        made = self.put(**more)
        self.apply.review(self["reviewer"], made["id"])
        return self.apply.sign_off(self["signer"], made["id"])

    def kinds(self, object_id: str) -> list[str]:
        """What the audit log says happened to it, oldest first."""
        return [entry.kind for entry in reversed(self.world.audit.history(object_id))]
