"""Making a seal 制章: its keys in the token, their certificates, its picture, and the SESeal that the seal maker signs.

Every step looks first at what an earlier attempt of the same request has left, so that a crash costs nothing but time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ca.ports import Generation, Keys
from crypto.suites import Suite, default_scheme
from formats import ses
from formats.x509 import Certificate, Subject
from seals.models import SealKeyRow, SealRow
from seals.picture import Picture, draw, standard_spec
from seals.ports import Certificates
from seals.schemas import NoCertificate, new_es_id
from store.blobs import Blobs
from store.db import Database
from store.ids import new_id
from store.intents import Attempt

VALIDITY = timedelta(days=3 * 365)


@dataclass(frozen=True)
class Order:
    """What is to be made."""

    owner_name: str
    owner_uscc: str
    name: str
    kind: str
    label: str
    centre: str
    suites: tuple[Suite, ...]
    sample: bool
    application: str | None


@dataclass(frozen=True)
class Made:
    """What was made: the draft's row, its key generations by suite, the blob of the SESeal."""

    seal_id: str
    generations: dict[Suite, Generation]
    ses_blob: str | None


class Workshop:
    """Makes seals; :class:`seals.service.SealService` authorises and records."""

    def __init__(
        self, db: Database, keys: Keys, ca: Certificates, blobs: Blobs, region: str, now: Callable[[], datetime]
    ) -> None:
        self.db = db
        self.keys = keys
        self.ca = ca
        self.blobs = blobs
        self.region = region
        self._now = now

    def make(self, order: Order, picture: Picture, attempt: Attempt) -> Made:
        """Keys, certificates and SESeal for the draft of this attempt's intent."""
        for form in (picture.pdf, picture.png, picture.svg):
            self.blobs.put(form)
        draft = self.db.run(lambda session: self._draft(session, order, picture, attempt))
        generations = {suite: self._key(draft, suite) for suite in order.suites}
        certificates = {suite: self._certificate(draft, generation) for suite, generation in generations.items()}
        blob = None
        if Suite.SM2 in certificates:
            blob = self.blobs.put(self.ses(draft, picture, [certificates[Suite.SM2]]))
        for generation in generations.values():
            if generation.state == "staged":
                self.keys.activate(generation.id)
        return Made(draft.id, generations, blob)

    def _draft(self, session: Session, order: Order, picture: Picture, attempt: Attempt) -> SealRow:
        found = session.scalars(sa.select(SealRow).where(SealRow.intent_id == attempt.intent_id)).one_or_none()
        if found is not None:
            return found
        now = self._now().replace(microsecond=0)
        row = SealRow(
            id=new_id("seal"),
            region=self.region,
            es_id=new_es_id(self.region),
            intent_id=attempt.intent_id,
            name=order.name,
            owner_name=order.owner_name,
            owner_uscc=order.owner_uscc,
            kind=order.kind,
            label=order.label,
            sample=order.sample,
            application_id=order.application,
            status="preparing",
            width_mm=picture.width_mm,
            height_mm=picture.height_mm,
            picture_pdf=_sha256(picture.pdf),
            picture_png=_sha256(picture.png),
            picture_svg=_sha256(picture.svg),
            valid_from=now,
            valid_to=now + VALIDITY,
            created_at=now,
        )
        session.add(row)
        return row

    def _key(self, draft: SealRow, suite: Suite) -> Generation:
        """The first key of the seal's role in this suite; role and key are made when missing."""
        with self.db.read() as session:
            key = session.get(SealKeyRow, (draft.id, suite.value))
        if key is None:
            role = self.keys.create_role("seal_holder", suite, f"{draft.name} {suite.value} {draft.es_id}")
            key = SealKeyRow(seal_id=draft.id, suite=suite.value, role_id=role.id)
            self.db.run(lambda session: session.add(key))
        if key.first_generation_id is not None:
            return self.keys.generation(key.first_generation_id)
        generation = self.keys.stage(key.role_id)

        def keep(session: Session) -> None:
            session.get_one(SealKeyRow, (draft.id, suite.value)).first_generation_id = generation.id

        self.db.run(keep)
        return generation

    def _certificate(self, draft: SealRow, generation: Generation) -> Certificate:
        found = [c for c in self.ca.certificates(generation.id) if c.es_id == draft.es_id]
        if found:
            return found[0]
        subject = Subject(draft.name[:64], organization=draft.owner_name[:64], organization_identifier=draft.owner_uscc)
        return self.ca.issue(
            profile="seal-holder", generation=generation, subject=subject, es_id=draft.es_id, days=VALIDITY.days
        )

    def ses(
        self,
        seal: SealRow,
        picture: Picture,
        certificates: Sequence[Certificate],
        *,
        valid: tuple[datetime, datetime] | None = None,
    ) -> bytes:
        """The SESeal of GB/T 38540-2020, version 4: the seal with its SM2 certificate, signed by the seal maker's SM2 key.

        :param valid: from when to when it holds; by default as long as the seal
        """
        maker, certificate = self._maker()
        info = ses.SealInfo(
            es_id=seal.es_id,
            name=seal.name,
            kind=2 if seal.kind == "personal" else 1,
            certificates=[c.der for c in certificates],
            created=self._now(),
            valid_from=valid[0] if valid else seal.valid_from,
            valid_to=valid[1] if valid else seal.valid_to,
            picture=ses.SealPicture("PNG", picture.png, round(picture.width_mm), round(picture.height_mm)),
        )
        signer = self.keys.signer(maker.id, "seal-maker")
        made = ses.build_seal(ses.build_seal_info(info), signer, certificate, scheme=default_scheme(Suite.SM2))
        if not ses.parse_seal(made).maker_signature_holds():
            raise NoCertificate(
                "The seal maker's signature does not verify; run `xinyin doctor`.",
                "制章签名验证未通过；请运行 `xinyin doctor`。",
            )
        return made

    def _maker(self) -> tuple[Generation, Certificate]:
        """The seal maker's SM2 key and its certificate, made when the node was founded."""
        role = self.ca.register.role("seal_maker", Suite.SM2)
        if role is None:
            raise NoCertificate(
                "This node has no seal maker with an SM2 key; found its CA with the suite sm2.",
                "本节点没有 SM2 制章人；请以 sm2 套件建立 CA。",
            )
        generation = self.keys.active(role)
        return generation, self.ca.certificates(generation.id)[0]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def picture_of(order: Order) -> Picture:
    """:raises BadPicture: the name, the lower line or the kind cannot be drawn"""
    return draw(standard_spec(order.kind, order.name, lower=order.label, centre=order.centre, sample=order.sample))
