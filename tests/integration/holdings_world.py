"""Licences, people who hold them and phones that carry them, on the software keys of :mod:`tests.integration.seals_world`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from ca.ports import Generation
from crypto.suites import Suite
from formats.identifiers import uscc_check_char
from licences.copies import CopyService
from licences.copybook import CopyBook
from licences.grants import GrantService
from licences.service import LicenceService
from people.persons import PersonKeys
from people.schemas import Citizen
from policies import presenting
from store.db import Database
from store.outbox import Outbox
from tests.integration.seals_world import OPERATOR, REGION, World
from tests.soft_phone import SoftPhone, identity_number

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BUSINESS: dict[str, Any] = json.loads((EXAMPLES / "licence.json").read_text("utf-8"))
PERSONAL: dict[str, Any] = json.loads((EXAMPLES / "disability-certificate.json").read_text("utf-8"))
FEDERATION = "11310000MB2F300335"
BASE_URL = "http://310000.localhost:8080"


@dataclass
class Someone:
    """A person with an identity number and a phone."""

    citizen: Citizen
    id_number: str
    phone: SoftPhone = field(default_factory=SoftPhone)

    @property
    def name(self) -> str:
        return self.citizen.name

    @property
    def key(self) -> str:
        assert self.citizen.person
        return self.citizen.person


class Holdings:
    """A node's licences with the people outside."""

    def __init__(self, home: Path, database: Database | None = None) -> None:
        self.world = World(home, database=database)
        self.world.seal()
        world = self.world
        self.person_key = PersonKeys(home / "person.key", lambda: False).key
        outbox = Outbox(REGION)
        self.licences = LicenceService(
            world.db,
            world.keys,
            world.seals,
            world.intents,
            world.audit,
            world.blobs,
            world.authoriser,
            REGION,
            person_key=self.person_key,
            now=world.now,
        )
        self.statuses = self.licences.statuses
        self.book = CopyBook(world.audit, outbox, self.statuses, now=world.now)
        self.licences.followers.append(self.book.follow)
        self.grants = GrantService(
            world.db,
            world.audit,
            world.authoriser,
            self.licences,
            self.book,
            REGION,
            person_key=self.person_key,
            matters=presenting.matters,
            now=world.now,
        )
        role = world.keys.create_role("credential_issuer", Suite.P256, "credentials")
        world.keys.activate(world.keys.stage(role.id).id)
        self.issuer: Generation = world.keys.active(role.id)
        self.copies = CopyService(
            world.db,
            world.keys,
            world.intents,
            world.audit,
            world.blobs,
            world.authoriser,
            self.licences,
            self.grants,
            self.book,
            REGION,
            issuer=lambda: self.issuer,
            doubted=lambda: self.doubted,
            base_url=BASE_URL,
            now=world.now,
        )
        self.doubted: set[str] = set()
        self._people = 0
        self._federation: str | None = None

    def someone(self, name: str) -> Someone:
        """Somebody new."""
        self._people += 1
        number = identity_number(self._people)
        person = self.person_key(number)
        citizen = Citizen(f"citizen_{self._people}", name, region=REGION, kind="citizen", person=person)
        return Someone(citizen, number)

    def business(self, representative: Someone, **changes: Any) -> dict[str, Any]:
        """A business licence of somebody's."""
        self._people += 1
        body = f"91310000{self._people:09d}"
        data = {**BUSINESS, "uscc": body + uscc_check_char(body)} | self.of(representative) | changes
        return self.licences.issue(OPERATOR, "business-licence", data)[0]

    @staticmethod
    def of(representative: Someone) -> dict[str, Any]:
        return {"representative": representative.name, "representative_id": representative.id_number}

    def changed(self, licence: dict[str, Any], representative: Someone, **changes: Any) -> dict[str, Any]:
        """The licence's next version."""
        data = {**licence["data"], **self.of(representative), **changes}
        return self.licences.change(OPERATOR, licence["id"], data)[0]

    def personal(self, holder: Someone) -> dict[str, Any]:
        """A disability certificate of somebody's."""
        data = {**PERSONAL, "name": holder.name, "id_number": holder.id_number, "born": "1980-01-01"}
        if self._federation is None:
            self._federation = self.world.seal("云江市残疾人联合会", owner_uscc=FEDERATION, suites=("p256",))["id"]
        return self.licences.issue(OPERATOR, "disability-certificate", data, seal_id=self._federation)[0]

    def download(self, who: Someone, licence: dict[str, Any] | str, **more: Any) -> dict[str, Any]:
        """What somebody's phone gets."""
        wanted = licence if isinstance(licence, str) else licence["id"]
        phone = more.pop("phone", who.phone)
        proof = more.pop("proof", None) or phone.proof(self.challenge(who))
        return self.copies.download(who.citizen, wanted, device="测试手机", proof=proof, **more)

    def challenge(self, who: Someone) -> dict[str, Any]:
        return self.copies.challenge(who.citizen)

    def grant(
        self, giver: Someone, licence: dict[str, Any], kind: str, to: Someone, *matters: str, days: float = 30, name: str = ""
    ) -> dict[str, Any]:
        """An authorisation given on the giver's phone."""
        wanted: Sequence[str] = matters or (("open-bank-account",) if kind == "agent" else ())
        until = self.world.now() + timedelta(days=days)
        return self.grants.authorise(
            giver.citizen,
            licence["id"],
            kind=kind,
            name=name or to.name,
            id_number=to.id_number,
            matters=wanted,
            until=until,
        )

    def state(self, who: Someone, copy: dict[str, Any]) -> str:
        """The state of a copy in its owner's list."""
        return next(one["state"] for one in self.copies.mine(who.citizen) if one["id"] == copy["id"])

    def published(self, copy: dict[str, Any]) -> int:
        """What the status list says of a copy's place now."""
        list_id = copy["status"]["uri"].rpartition("/")[2]
        return self.statuses.contents(list_id, self.world.now())[copy["status"]["idx"]]
