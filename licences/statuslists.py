"""This node's Token Status Lists: a place for everything that is issued, and what each place says.

A place is drawn at random, so that neighbours in a list have nothing to do with one another, and says only how something
stands: 0 in force, 1 withdrawn, 2 suspended, 3 replaced (``verify.schemas.TOKEN_STATES``). The published list is made from the
rows whenever it is asked for, so there is nothing that could differ from them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from crypto.errors import Conflict, NotFound, XinyinError
from crypto.keys import Signer
from formats import statuslist
from formats.codes import key_id
from formats.statuslist import StatusList, StatusListToken, StatusRef
from licences.models import StatusListRow, StatusPlaceRow
from store.db import Database, utc_now
from verify.schemas import TOKEN_STATES, TokenState

BITS = 2
SIZE = 1 << 16
"""16 KiB unpacked. The larger a list, the less a question for it says about which place is meant."""
PATH = "/status/"
LIFE = timedelta(hours=24)
"""How long a list may be leant on where its node cannot be reached; after that it is stale."""
TTL = timedelta(seconds=60)
"""After this a verifier that can should ask again."""
_AGAIN = timedelta(minutes=5)
"""A list that still says the same is signed again after this, so that readers see how fresh it is."""
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_DRAWN = 16

IN_FORCE, WITHDRAWN, SUSPENDED, SUPERSEDED = TOKEN_STATES
VALUES = {word: value for value, word in TOKEN_STATES.items()}
"""Value of a licence state: in-force, withdrawn, suspended or superseded."""
_RANK = {IN_FORCE: 0, SUSPENDED: 0, SUPERSEDED: 1, WITHDRAWN: 2}
"""What has ended never counts again: a place goes up in rank or stays at it."""


class NoSuchStatusList(NotFound):
    """No list of this node has this name."""

    code = "no-such-status-list"


class StatusLists:
    """Places in this node's lists. Also a ``verify.schemas.StatusListProvider`` for its own addresses (:meth:`state`).

    :param base_url: the node's public address; a list is at ``BASE_URL/status/ID``
    """

    def __init__(
        self, db: Database, base_url: str, region: str, *, size: int = SIZE, now: Callable[[], datetime] = utc_now
    ) -> None:
        self.db = db
        self.base_url = base_url.rstrip("/")
        self.region = region
        self.size = size
        self._now = now

    # -- places -----------------------------------------------------------------------------------------------------------

    def allot(self, session: Session, intent_id: str | None = None) -> StatusRef:
        """A place that nobody had before, in force; for an intent that has one already, that one.

        :raises Conflict: too many others draw at the same moment; the transaction may be repeated
        """
        for _ in range(50):
            if intent_id is not None and (found := _of_intent(session, intent_id)) is not None:
                return StatusRef(self.uri(found.list_id), found.place)
            listed = self._open_list(session)
            drawn = [secrets.randbelow(listed.size) for _ in range(_DRAWN)]
            taken = set(
                session.scalars(
                    sa.select(StatusPlaceRow.place).where(StatusPlaceRow.list_id == listed.id, StatusPlaceRow.place.in_(drawn))
                )
            )
            if len(taken) > _DRAWN // 2 and self._close_if_full(session, listed):
                continue
            place = next((one for one in drawn if one not in taken), None)
            if place is not None and self._take(session, listed.id, place, intent_id):
                return StatusRef(self.uri(listed.id), place)
        raise Conflict("Too much is being issued at once; try again.", "同时签发的证照过多，请重试。")

    def set(self, session: Session, ref: StatusRef, value: int, *, at: datetime | None = None) -> None:
        """Say how something stands from now on, or from ``at`` on where that is later.

        What was withdrawn stays withdrawn, and what was replaced can only be withdrawn: a later "in force" or "suspended" for
        it changes nothing, so whoever passes a decision on to many places need not look at each first.

        :raises NoSuchStatusList: not a place of this node
        """
        if value not in TOKEN_STATES:
            raise ValueError(f"no state: {value}")
        list_id = self._list_id(ref)
        row = session.get(StatusPlaceRow, (list_id, ref.index), with_for_update=True) if list_id else None
        if row is None:
            raise _no_such()
        now = self._now()
        if row.next_at is not None and row.next_at <= now:
            row.value, row.next_value, row.next_at = _value_at(row, now), None, None
        if _RANK[value] < _RANK[row.value]:
            return
        if at is not None and at > now:
            row.next_value, row.next_at = value, at
        else:
            row.value = value
        row.changed_at = now
        session.flush()

    def value(self, session: Session, ref: StatusRef, at: datetime) -> int | None:
        """What the rows say of a place at a time that is not past; None for a place that was never given away here."""
        list_id = self._list_id(ref)
        row = session.get(StatusPlaceRow, (list_id, ref.index)) if list_id else None
        return None if row is None else _value_at(row, at)

    # -- reading ----------------------------------------------------------------------------------------------------------

    def uri(self, list_id: str) -> str:
        """The address of a list: ``sub`` of its token."""
        return f"{self.base_url}{PATH}{list_id}"

    def state(self, ref: StatusRef, at: datetime) -> TokenState | None:
        """From the register itself, for whoever verifies on this node; None for the addresses of others."""
        now = self._now()
        with self.db.read() as session:
            value = self.value(session, ref, max(at, now))
        return None if value is None else TokenState(value, as_of=now, source="register")

    def contents(self, list_id: str, at: datetime) -> StatusList:
        """What a list says at a time that is not past. :raises NoSuchStatusList: none of this name"""
        with self.db.read() as session:
            listed = session.get(StatusListRow, list_id)
            if listed is None or listed.region != self.region:
                raise _no_such()
            rows = session.scalars(
                sa.select(StatusPlaceRow)
                .where(StatusPlaceRow.list_id == list_id)
                .where(sa.or_(StatusPlaceRow.value > 0, StatusPlaceRow.next_at.is_not(None)))
            )
            return StatusList.sparse(listed.size, {row.place: _value_at(row, at) for row in rows}, listed.bits)

    def lists(self) -> list[StatusListRow]:
        """All of them, oldest first."""
        with self.db.read() as session:
            of_here = sa.select(StatusListRow).where(StatusListRow.region == self.region)
            return list(session.scalars(of_here.order_by(StatusListRow.created_at)))

    # -- inside -----------------------------------------------------------------------------------------------------------

    def _list_id(self, ref: StatusRef) -> str | None:
        """The list that a reference names, if it is one of ours. Compared by host: the scheme may have been changed since."""
        parts, ours = urlsplit(ref.uri), urlsplit(self.base_url)
        if parts.netloc != ours.netloc or not parts.path.startswith(ours.path + PATH):
            return None
        return parts.path.removeprefix(ours.path + PATH)

    def _open_list(self, session: Session) -> StatusListRow:
        found = session.scalars(
            sa.select(StatusListRow)
            .where(StatusListRow.region == self.region, sa.not_(StatusListRow.closed))
            .order_by(StatusListRow.created_at.desc())
            .limit(1)
        ).one_or_none()
        if found is not None:
            return found
        name = "".join(secrets.choice(_ALPHABET) for _ in range(5))
        row = StatusListRow(id=name, region=self.region, bits=BITS, size=self.size, closed=False, created_at=self._now())
        session.add(row)
        session.flush()
        return row

    def _close_if_full(self, session: Session, listed: StatusListRow) -> bool:
        """Counted only when a draw suggests it: at three quarters drawing begins to cost, and a new list is cheap."""
        of_list = sa.select(sa.func.count()).where(StatusPlaceRow.list_id == listed.id)
        listed.closed = (session.scalar(of_list) or 0) * 4 >= listed.size * 3
        session.flush()
        return listed.closed

    def _take(self, session: Session, list_id: str, place: int, intent_id: str | None) -> bool:
        """Whether the place was still free; on PostgreSQL another transaction may have taken it since we looked."""
        now = self._now()
        row = StatusPlaceRow(list_id=list_id, place=place, intent_id=intent_id, value=IN_FORCE, allotted_at=now, changed_at=now)
        try:
            with session.begin_nested():
                session.add(row)
        except IntegrityError:
            return False
        return True


class StatusListPublisher:
    """Signs this node's lists as they stand, and keeps the last of each in ``folder`` for as long as it still says the same.

    :param signer: opens the active status-list key; asked only when something has to be signed
    """

    def __init__(
        self, lists: StatusLists, signer: Callable[[], Signer], folder: Path, *, now: Callable[[], datetime] = utc_now
    ) -> None:
        self.lists = lists
        self._signer = signer
        self._folder = folder
        self._now = now

    def jwt(self, list_id: str) -> bytes:
        """The list as JWT, as things stand now.

        :raises NoSuchStatusList: none of this name; :raises XinyinError: the signer does not answer, and something changed
        """
        return self._current(list_id, "jwt")

    def cwt(self, list_id: str) -> bytes:
        """The list as CWT; as :meth:`jwt`."""
        return self._current(list_id, "cwt")

    def _current(self, list_id: str, form: str) -> bytes:
        now = self._now().replace(microsecond=0)
        contents = self.lists.contents(list_id, now)
        digest = hashlib.sha256(self.lists.uri(list_id).encode() + b"\0" + contents.array).hexdigest()
        kept = self._kept(list_id, form)
        same = kept is not None and kept["digest"] == digest
        if kept is not None and same and now < datetime.fromisoformat(kept["again"]):
            return base64.b64decode(kept["token"])
        try:
            made = self._sign(list_id, contents, form, now)
        except XinyinError:
            if kept is None or not same or now >= datetime.fromisoformat(kept["expires"]):
                raise
            return base64.b64decode(kept["token"])  # nothing changed: what was signed before still says it
        self._keep(list_id, form, digest, made, now)
        return made

    def _sign(self, list_id: str, contents: StatusList, form: str, now: datetime) -> bytes:
        token = StatusListToken(self.lists.uri(list_id), now, contents, now + LIFE, TTL)
        signer = self._signer()
        if form == "cwt":
            return statuslist.sign_cwt(token, signer, kid=key_id(signer.public_key))
        return statuslist.sign_jwt(token, signer, kid=signer.public_key.fingerprint).encode("ascii")

    def _kept(self, list_id: str, form: str) -> dict[str, str] | None:
        try:
            found = json.loads((self._folder / f"{list_id}.{form}.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        wanted = {"digest", "again", "expires", "token"}
        return found if isinstance(found, dict) and wanted <= set(found) else None

    def _keep(self, list_id: str, form: str, digest: str, made: bytes, now: datetime) -> None:
        kept = {
            "digest": digest,
            "again": (now + _AGAIN).isoformat(),
            "expires": (now + LIFE).isoformat(),
            "token": base64.b64encode(made).decode("ascii"),
        }
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._folder / f".{list_id}.{form}.{os.getpid()}.{secrets.token_hex(4)}.new"
        draft.write_text(json.dumps(kept), encoding="utf-8")
        draft.replace(self._folder / f"{list_id}.{form}.json")


def _of_intent(session: Session, intent_id: str) -> StatusPlaceRow | None:
    return session.scalars(sa.select(StatusPlaceRow).where(StatusPlaceRow.intent_id == intent_id)).one_or_none()


def _value_at(row: StatusPlaceRow, at: datetime) -> int:
    """A decision for a later day counts from that day on, unless something that weighs more came in between."""
    due = row.next_value is not None and row.next_at is not None and row.next_at <= at
    return row.next_value if due and row.next_value is not None and _RANK[row.next_value] >= _RANK[row.value] else row.value


def _no_such() -> NoSuchStatusList:
    return NoSuchStatusList(
        "This node has no such status list, or no such place in it.", "本节点没有该状态列表，或其中没有该位置。"
    )
