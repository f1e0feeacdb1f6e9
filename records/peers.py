"""Messages between the nodes of regions: signed, delivered until taken or given up, taken once.

A message is a compact JWS (RFC 7515) by the sender's receipt key, which its trust list names; it is posted to
``/api/v1/peer-messages`` at the domain that the receiver's trust list names. So both ends are known by lists that each side
pinned, and no account, password or certificate is exchanged. ``jti`` stays the same at every attempt: the receiver takes a
message once and answers a second copy as it did the first. What a message means is its kind's handler's.
"""

from __future__ import annotations

import hashlib
import json
import logging
import random
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from crypto.errors import BadInput, Conflict, Forbidden, NotFound, Unavailable, Unprocessable, XinyinError
from crypto.keys import PublicKey, Signer
from formats import jose
from formats.canonical import canonical_json
from net.fetch import Answer, Fetcher, Limits, Resolver, system_resolver
from people.schemas import Actor
from policies.authorise import Authoriser
from policies.limits import CALL_BACK_FIRST_PAUSE, CALL_BACK_GIVE_UP, CALL_BACK_LONGEST_PAUSE, CALL_BACK_SECONDS
from records.between_models import PeerMessageRow, PeerReceivedRow
from store.audit import AuditLog
from store.crashpoints import crash_point
from store.db import Database, utc_now
from store.ids import new_id
from verify.trust import ServiceType, TrustList, TrustStore

log = logging.getLogger("xinyin.worker")

TYPE = "peer-message+jws"
MEDIA_TYPE = "application/jose"
PATH = "/api/v1/peer-messages"
ACTOR = "peer-mail"
"""As whom the audit log has what the worker sends."""

MAX_BYTES = 700_000
"""Of kind and body as JSON: a sealed letter of a page fits several times."""
FRESH = timedelta(minutes=10)
"""A message signed longer ago than this is not taken: whoever kept a copy cannot use it later."""
_CLOCK = timedelta(minutes=2)
_LEASE = timedelta(minutes=2)
_AT_ONCE = 4
_A_PEER = 20
_KIND = re.compile(r"[a-z][a-z-]{1,62}[a-z]")
_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_FINAL = frozenset({400, 409, 413, 422})
_ANSWERS = (200, 400, 403, 404, 409, 413, 422, 429, 503)


class UnknownPeer(NotFound):
    """No trust list of that region is imported here, or it names no domain."""

    code = "unknown-peer"


class NotAPeer(Forbidden):
    """A message that no region known here has signed for this one."""

    code = "not-a-peer"


class MessageTooOld(BadInput):
    """A message that was signed too long ago, or in the future."""

    code = "peer-message-stale"


class BadMessage(Unprocessable):
    """Signed as it should be, and yet no message that this node understands."""

    code = "bad-peer-message"


class OtherMessage(Conflict):
    """The number of a message that was taken already, over another content."""

    code = "peer-message-differs"


class PeerListStale(Unavailable):
    """The sender's trust list held here is past its date: whether its key still counts is not known."""

    code = "peer-list-stale"


@dataclass(frozen=True)
class Message:
    """A message whose sender was proved. ``region`` is who sent it, ``id`` its ``jti``."""

    id: str
    region: str
    kind: str
    body: Mapping[str, Any]
    sent_at: datetime


Take = Callable[[Session], None]
Handler = Callable[[Message], Take]
"""Looks at a message (outside any transaction, it may take its time) and gives what is to be written with its receipt."""


class PeerMail:
    """This node's side of the messages between regions.

    :param trust: the lists that are trusted now
    :param signer: the receipt key, looked up at each round
    :param private_hosts: hosts that may be on private addresses, and under ``localhost`` without TLS
    """

    def __init__(
        self,
        db: Database,
        audit: AuditLog,
        authoriser: Authoriser,
        region: str,
        *,
        trust: Callable[[], TrustStore],
        signer: Callable[[], Signer],
        private_hosts: Sequence[str] = (),
        tls: ssl.SSLContext | None = None,
        resolver: Resolver = system_resolver,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.db = db
        self.audit = audit
        self.authoriser = authoriser
        self.region = region
        self._trust = trust
        self._signer = signer
        self._private = frozenset(host.lower() for host in private_hosts)
        self._tls = tls
        self._resolver = resolver
        self._now = now
        self.handlers: dict[str, Handler] = {}

    def peers(self) -> list[TrustList]:
        """The regions that messages can be sent to: those whose lists are held here and name a domain."""
        return [one for one in self._trust().lists if one.region != self.region and one.domains]

    # -- sending --------------------------------------------------------------------------------------------------------

    def send(self, session: Session, *, region: str, kind: str, body: Mapping[str, Any], about: str | None = None) -> str:
        """Write a message in the caller's transaction; the worker delivers it. Its ``jti``.

        :param about: identifier of the object here that it is about (``enquiry_…``): its history tells how it went
        :raises UnknownPeer: no list of that region is held here
        :raises BadMessage: no kind, or more than :data:`MAX_BYTES`
        """
        self._address(region)
        if not _KIND.fullmatch(kind) or len(_content(kind, body)) > MAX_BYTES:
            raise BadMessage(
                f"A message has a kind in lower-case letters and at most {MAX_BYTES} bytes.",
                f"消息类型须为小写字母，内容不超过 {MAX_BYTES} 字节。",
            )
        now = self._now()
        row = PeerMessageRow(
            id=new_id("message"),
            region=self.region,
            peer=region,
            kind=kind,
            body=dict(body),
            about=about,
            status="waiting",
            attempts=0,
            next_at=now,
            created_at=now,
        )
        session.add(row)
        return row.id

    def state(self, session: Session, message_id: str) -> PeerMessageRow | None:
        """A message that was sent: waiting, delivered or dead, and the last error."""
        return session.get(PeerMessageRow, message_id)

    def work(self) -> int:
        """Deliver what is due, regions side by side; how many were taken."""
        claimed = self._claim()
        if not claimed:
            return 0
        groups: dict[str, list[PeerMessageRow]] = {}
        for row in claimed:
            groups.setdefault(row.peer, []).append(row)
        signer = self._signer()
        with ThreadPoolExecutor(_AT_ONCE, "peer-mail") as pool:
            return sum(pool.map(lambda group: self._deliver_to_one(group, signer), groups.values()))

    def _claim(self) -> list[PeerMessageRow]:
        now = self._now()
        due = (
            sa.select(PeerMessageRow)
            .where(PeerMessageRow.region == self.region, PeerMessageRow.status == "waiting", PeerMessageRow.next_at <= now)
            .order_by(PeerMessageRow.created_at, PeerMessageRow.id)
            .limit(_AT_ONCE * _A_PEER)
        )
        with self.db.read() as session:
            if session.scalar(due.with_only_columns(PeerMessageRow.id).limit(1)) is None:
                return []

        def write(session: Session) -> list[PeerMessageRow]:
            rows = list(session.scalars(due))
            for row in rows:
                row.next_at = now + _LEASE
                row.first_at = row.first_at or now
            return rows

        return self.db.run(write)

    def _deliver_to_one(self, rows: Sequence[PeerMessageRow], signer: Signer) -> int:
        """One region's messages in turn; when one cannot be brought there the rest waits with it."""
        taken = 0
        for number, row in enumerate(rows):
            error, final = self._push(row, signer)
            crash_point("peer-mail.pushed")
            if error is None:
                self._taken(row)
                taken += 1
                continue
            again = self._failed(row, error, final)
            if again is not None:
                self._wait(rows[number + 1 :], again)
                break
        return taken

    def _push(self, row: PeerMessageRow, signer: Signer) -> tuple[str | None, bool]:
        """What went wrong, None where it was taken, and whether trying again is of no use."""
        try:
            scheme, host = self._address(row.peer)
            token = self.token(row.id, row.peer, row.kind, row.body, signer)
            fetcher = Fetcher(
                [host],
                private_hosts=[host] if self._is_private(host) else (),
                limits=Limits(size=65_536, time=float(CALL_BACK_SECONDS), redirects=0),
                resolver=self._resolver,
                tls=self._tls,
            )
            url = f"{scheme}://{host}{PATH}"
            answer = fetcher.post(url, token.encode(), content_type=MEDIA_TYPE, accept="application/json", statuses=_ANSWERS)
        except XinyinError as exc:
            return f"{exc.code}: {exc.message}"[:500], False
        except Exception:  # a fault of our own is tried again and given up like one of theirs
            log.exception("message %s to %s", row.id, row.peer)
            return "internal: see the worker's log", False
        return (None, False) if answer.status == 200 else _refusal(answer)

    def token(self, jti: str, region: str, kind: str, body: Mapping[str, Any], signer: Signer) -> str:
        """The message as it is posted. One signature."""
        claims = {
            "iss": self.region,
            "aud": region,
            "iat": int(self._now().timestamp()),
            "jti": jti,
            "kind": kind,
            "body": dict(body),
        }
        return jose.sign({"typ": TYPE, "kid": signer.public_key.fingerprint}, claims, signer)

    def _address(self, region: str) -> tuple[str, str]:
        """Scheme and host of a region's node: the first domain of its trust list. :raises UnknownPeer: none is known"""
        listed = self._trust().list_of(region) if region != self.region else None
        if listed is None or not listed.domains:
            raise UnknownPeer(
                f"No trust list of region {region[:6]} with an address is held here; import it first.",
                f"本节点未导入地区 {region[:6]} 的信任列表，或其中未列明地址；请先导入。",
                region=region[:6],
            )
        host = listed.domains[0].lower()
        local = f".{host.partition(':')[0]}".endswith(".localhost")
        return ("http" if local and self._is_private(host) else "https"), host

    def _is_private(self, host: str) -> bool:
        return bool({host, host.partition(":")[0]} & self._private)

    # -- what came of it ------------------------------------------------------------------------------------------------

    def _taken(self, row: PeerMessageRow) -> None:
        def write(session: Session) -> None:
            found = session.get_one(PeerMessageRow, row.id)
            if found.status != "waiting":
                return
            found.status, found.error, found.ended_at, found.body = "delivered", None, self._now(), {}
            found.attempts += 1
            self._leaf(session, "message.delivered", found)

        self.db.run(write)

    def _failed(self, row: PeerMessageRow, error: str, final: bool) -> datetime | None:
        """When it is tried again, None where it is given up."""

        def write(session: Session) -> datetime | None:
            now = self._now()
            found = session.get_one(PeerMessageRow, row.id)
            if found.status != "waiting":
                return None
            found.attempts += 1
            found.error = error
            if final or now - (found.first_at or now) >= CALL_BACK_GIVE_UP:
                found.status, found.ended_at = "dead", now
                self._leaf(session, "message.given-up", found)
                return None
            pause = min(CALL_BACK_FIRST_PAUSE * 2 ** min(found.attempts - 1, 16), CALL_BACK_LONGEST_PAUSE)
            found.next_at = now + pause * random.uniform(0.75, 1.0)  # noqa: S311 - spreads retries, guards nothing
            return found.next_at

        again = self.db.run(write)
        log.info("message %s to %s: %s", row.id, row.peer, error)
        return again

    def _wait(self, rows: Sequence[PeerMessageRow], until: datetime) -> None:
        if rows:
            waiting = sa.update(PeerMessageRow).where(PeerMessageRow.id.in_([row.id for row in rows]))
            self.db.run(lambda session: session.execute(waiting.values(next_at=until)))

    def _leaf(self, session: Session, kind: str, row: PeerMessageRow) -> None:
        subject = {"message": row.id} | ({row.about.partition("_")[0]: row.about} if row.about else {})
        data = {"region": row.peer, "kind": row.kind, "attempts": row.attempts}
        self.audit.append(session, kind=kind, actor=ACTOR, subject=subject, data=data)

    # -- receiving ------------------------------------------------------------------------------------------------------

    def receive(self, token: str) -> dict[str, str]:
        """Take a message: ``{"id", "status": "taken"}``, or ``"known"`` where it was taken before.

        :raises BadJws: no signed message at all
        :raises NotAPeer: no region known here, or a key that its list does not name, or meant for another region
        :raises PeerListStale: the list held of that region is past its date
        :raises MessageTooOld: signed too long ago, or in the future
        :raises BadMessage: of a kind that nobody here handles; and what its handler refuses
        :raises OtherMessage: its number was used for something else
        """
        message = self._proved(token)
        digest = hashlib.sha256(_content(message.kind, message.body)).hexdigest()
        with self.db.read() as session:
            if self._known(session, message, digest):
                return {"id": message.id, "status": "known"}
        actor = Actor(f"region_{message.region}", message.region, region=message.region, kind="region")
        rule = self.authoriser.require(actor, "message.send", {"id": message.id, "kind": message.kind}).rule
        take = self.handlers[message.kind](message)

        def write(session: Session) -> bool:
            if self._known(session, message, digest):
                return False
            session.add(
                PeerReceivedRow(
                    id=new_id("received"),
                    region=self.region,
                    peer=message.region,
                    jti=message.id,
                    kind=message.kind,
                    digest=digest,
                    received_at=self._now(),
                )
            )
            session.flush()  # two copies at the same moment: the second fails here and is run again
            data = {"region": message.region, "kind": message.kind, "digest": digest}
            subject = {"message": message.id}
            self.audit.append(session, kind="message.received", actor=actor.id, subject=subject, data=data, rule=rule)
            take(session)
            return True

        try:
            new = self.db.run(write)
        except sa.exc.IntegrityError:
            with self.db.read() as session:
                if not self._known(session, message, digest):
                    raise
            new = False
        return {"id": message.id, "status": "taken" if new else "known"}

    def _known(self, session: Session, message: Message, digest: str) -> bool:
        """Whether it was taken before. :raises OtherMessage: something else was, under its number"""
        wanted = sa.select(PeerReceivedRow).where(PeerReceivedRow.peer == message.region, PeerReceivedRow.jti == message.id)
        row = session.scalars(wanted).one_or_none()
        if row is not None and row.digest != digest:
            raise OtherMessage(
                f"Message {message.id} of region {message.region} was taken with another content; number it anew.",
                f"地区 {message.region} 的消息 {message.id} 已接收且内容不同；请重新编号。",
            )
        return row is not None

    def _proved(self, token: str) -> Message:
        header, claimed = jose.claimed(token, max_payload=MAX_BYTES * 2)
        sender = str(claimed.get("iss"))
        listed = self._trust().list_of(sender) if sender != self.region else None
        now = self._now()
        if listed is None or listed.state(now) == "closed":
            raise NotAPeer(
                "No trust list of the sender's region is in use here; it has to be imported first.",
                "本节点未采信发送方地区的信任列表；须先导入。",
                region=sender[:6],
            )
        try:
            _, claims, _ = jose.verify(token, _receipt_keys(listed, now), max_payload=MAX_BYTES * 2)
        except jose.BadJws as exc:
            raise NotAPeer(
                f"The message is not signed with a receipt key that the trust list of region {listed.region} names.",
                f"消息未使用地区 {listed.region} 信任列表所列的回执密钥签名。",
                region=listed.region,
            ) from exc
        if listed.state(now) == "stale":
            raise PeerListStale(
                f"The trust list of region {listed.region} held here is past its date; try again when it is renewed.",
                f"本节点持有的地区 {listed.region} 信任列表已过期；更新后请重试。",
                region=listed.region,
            )
        if claims.get("aud") != self.region or header.get("typ") != TYPE:
            raise NotAPeer("The message is not meant for this region.", "该消息不是发给本地区的。")
        return self._read(listed.region, claims, now)

    def _read(self, region: str, claims: Mapping[str, Any], now: datetime) -> Message:
        iat, jti, kind, body = (claims.get(name) for name in ("iat", "jti", "kind", "body"))
        if type(iat) is not int or not 0 <= iat < 1 << 40:
            raise _bad("it does not say when it was signed", "缺少签发时间")
        sent = datetime.fromtimestamp(iat, UTC)
        if not now - FRESH <= sent <= now + _CLOCK:
            raise MessageTooOld(
                "The message was signed too long ago, or in the future; sign it anew and check the clocks.",
                "消息签发时间过早或在未来；请重新签发并检查时钟。",
                age_seconds=int((now - sent).total_seconds()),
            )
        if not isinstance(jti, str) or not _ID.fullmatch(jti) or not isinstance(body, dict):
            raise _bad("its number or its body is missing", "缺少编号或内容")
        if not isinstance(kind, str) or kind not in self.handlers:
            raise _bad("nobody here handles its kind", "本节点不处理此类消息")
        if len(_content(kind, body)) > MAX_BYTES:
            raise _bad("it is too large", "内容过大")
        return Message(jti, region, kind, body, sent)


def _receipt_keys(listed: TrustList, now: datetime) -> list[PublicKey]:
    """The keys with which a region's node signs messages; those that were withdrawn by now do not count."""
    found = [s for s in listed.services if s.type is ServiceType.RECEIPT and s.jwk is not None and not s.withdrawn_at(now)]
    return [jose.public_key(service.jwk) for service in found if service.jwk is not None]


def _content(kind: str, body: Mapping[str, Any]) -> bytes:
    """What stays the same at every attempt. :raises NotCanonical: floats, or other things that JSON writes in two ways"""
    return canonical_json([kind, dict(body)]).encode()


def _refusal(answer: Answer) -> tuple[str, bool]:
    """The receiver's problem in a line, and whether it is its last word."""
    try:
        said = json.loads(answer.data)
        code, text = str(said["code"]), str(said["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        code, text = f"status-{answer.status}", "no reason given"
    line = re.sub(r"[^\w.,:;()/'\" -]", " ", f"refused: {code}: {text}")
    return line[:500], answer.status in _FINAL and code != MessageTooOld.code


def _bad(why: str, why_zh: str) -> BadMessage:
    return BadMessage(f"The message cannot be used: {why}.", f"消息无法使用：{why_zh}。", why=why)
