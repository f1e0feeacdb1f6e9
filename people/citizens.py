"""Citizens: people from outside, who they are by their person key, and their signed-in browsers.

Who somebody is says the region's identity provider (``citizen_oidc.py``). Of its statement stay the name and the person key;
the identity number itself is turned into that key and forgotten. Sessions follow the staff's (``signing_in.py``): a random
token kept as its digest, a new one at each sign-in, ended by sign-out, idleness or age.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from people.browsers import Browsers
from people.citizen_models import CitizenRow, CitizenSessionRow
from people.errors import BadIdentityNumber, NoSuchCitizen, SignInHere
from people.persons import PersonKeys
from people.room import Room, digest
from people.schemas import Citizen
from policies.limits import CITIZEN_SESSION_IDLE, CITIZEN_SESSION_LONGEST
from store.audit import AuditLog
from store.db import Database, utc_now
from store.ids import new_id


@dataclass(frozen=True)
class Statement:
    """What an identity provider says of somebody who proved themselves there.

    :ivar id_number: resident identity number (GB 11643); turned into the person key and not kept
    :ivar assurance: how it made sure of the person (``acr``), empty where it does not say
    """

    issuer: str
    subject: str
    name: str
    id_number: str = field(repr=False)
    assurance: str = ""


@dataclass(frozen=True)
class CitizenSession:
    """A new session: ``token`` goes into the cookie and is shown this once."""

    citizen: Citizen
    token: str = field(repr=False)
    expires_at: datetime


class CitizenService(Room):
    """People from outside.

    :param keys: turns identity numbers into person keys
    :param idle: a session ends after this long without a request
    :param longest: a session ends after this long in any case
    """

    def __init__(
        self,
        db: Database,
        audit: AuditLog,
        region: str,
        keys: PersonKeys,
        *,
        idle: timedelta = CITIZEN_SESSION_IDLE,
        longest: timedelta = CITIZEN_SESSION_LONGEST,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__(db, audit, region, now=now)
        self._keys = keys
        self.idle = idle
        self.longest = longest

    def person_key(self, id_number: str) -> str:
        """How this node names a person, 64 characters in hex. :raises BadIdentityNumber: this is no identity number"""
        return self._keys.key(id_number)

    def signed_in(self, statement: Statement) -> Citizen:
        """The citizen of whom a provider's statement speaks, taken up at the first time.

        :raises BadIdentityNumber: the statement holds no identity number or no name
        """
        name = " ".join(statement.name.split())[:200]
        if not name:
            raise BadIdentityNumber(
                "The identity provider gave no name; ask it to release your name.",
                "身份认证系统未提供姓名；请在认证时同意提供。",
            )
        person = self.person_key(statement.id_number)

        def keep(session: Session) -> Citizen:
            now = self._now()
            row = session.scalars(self._of(person)).one_or_none()
            if row is None:
                row = CitizenRow(id=new_id("citizen"), region=self.region, person=person, created_at=now)
                session.add(row)
                self._leaf(session, "citizen.registered", row.id, {"citizen": row.id}, {"issuer": statement.issuer})
            row.name, row.issuer, row.subject, row.seen_at = name, statement.issuer, statement.subject, now
            session.flush()
            return _citizen(row, statement.assurance)

        try:
            return self.db.run(keep)
        except IntegrityError:  # the same person signed in for the first time in two browsers at once
            return self.db.run(keep)

    def get(self, citizen_id: str) -> Citizen:
        """:raises NoSuchCitizen: nobody of this region has this identifier"""
        with self.db.read() as session:
            row = session.get(CitizenRow, citizen_id)
        if row is None or row.region != self.region:
            raise NoSuchCitizen("There is no such citizen here.", "没有该用户。")
        return _citizen(row)

    def names(self, ids: list[str]) -> dict[str, str]:
        """What citizens are called, by their identifiers; those who are unknown are left out."""
        with self.db.read() as session:
            found = session.execute(sa.select(CitizenRow.id, CitizenRow.name).where(CitizenRow.id.in_(ids)))
            return {row.id: row.name for row in found}

    # -- sessions -------------------------------------------------------------------------------------------------------

    def open_session(self, citizen: Citizen, *, agent: str = "", replacing: str | None = None) -> CitizenSession:
        """A session for somebody who proved themselves.

        :param agent: the browser, in its own words
        :param replacing: the token of the session that this browser had, which ends
        """
        token, expires = self._browsers.open(
            agent=agent, replacing=replacing, citizen_id=citizen.id, assurance=citizen.assurance[:200]
        )
        return CitizenSession(citizen, token, expires)

    def by_session(self, token: str) -> Citizen | None:
        """Who holds this session; None if it is unknown, idle too long, or over."""
        with self.db.read() as session:
            row = self._browsers.alive(session, token)
            found = session.get(CitizenRow, row.citizen_id) if row is not None else None
            if row is None or found is None or found.region != self.region:
                return None
            result = _citizen(found, row.assurance)
        self._browsers.seen(row)
        return result

    def sign_out(self, token: str) -> None:
        """End a session; ending one that is over is no error."""
        self._browsers.end(token)

    def bind_phone(self, token: str, phone: str) -> None:
        """This session downloads to the phone with this key, and from now on to no other: a session that is copied out of
        a browser puts nothing on another phone.

        :param phone: digest of the phone's key
        :raises SignInHere: it serves another phone already, or is over
        """
        free = sa.or_(CitizenSessionRow.phone.is_(None), CitizenSessionRow.phone == phone)
        bind = sa.update(CitizenSessionRow).where(CitizenSessionRow.token_digest == digest(token), free).values(phone=phone)

        def run(session: Session) -> bool:
            return bool(session.execute(bind.returning(CitizenSessionRow.id)).all())

        if not self.db.run(run):
            raise SignInHere(
                "This sign-in belongs to another phone; sign in again on this one.",
                "本次登录属于另一部手机；请在这部手机上重新登录后再下载。",
            )

    def sign_out_elsewhere(self, citizen: Citizen, *, keep: str | None = None) -> int:
        """End every session of a citizen but the one with the token ``keep`` (the phone is lost); how many."""
        return self._browsers.end_all(CitizenSessionRow.citizen_id == citizen.id, keep=keep)

    def sign_out_everywhere(self, person: str) -> int:
        """End every session of whoever has this person key (somebody at a counter has lost the phone); how many."""
        citizens = sa.select(CitizenRow.id).where(CitizenRow.region == self.region, CitizenRow.person == person)
        return self._browsers.end_all(CitizenSessionRow.citizen_id.in_(citizens), keep=None)

    # -- inside ---------------------------------------------------------------------------------------------------------

    @property
    def _browsers(self) -> Browsers[CitizenSessionRow]:
        return Browsers(self.db, CitizenSessionRow, self.idle, self.longest, self._now)

    def _of(self, person: str) -> sa.Select[CitizenRow]:
        return sa.select(CitizenRow).where(CitizenRow.region == self.region, CitizenRow.person == person)


def _citizen(row: CitizenRow, assurance: str = "") -> Citizen:
    return Citizen(row.id, row.name, region=row.region, kind="citizen", person=row.person, assurance=assurance)
