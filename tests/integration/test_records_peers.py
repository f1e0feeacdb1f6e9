"""Messages between regions: proved by pinned lists, taken once, and refused from anybody else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.problems import from_error
from crypto.errors import XinyinError
from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats import jose
from formats.jose import public_jwk
from policies.authorise import Authoriser
from policies.limits import CALL_BACK_GIVE_UP
from records.between_models import PeerMessageRow, PeerReceivedRow
from records.peers import (
    BadMessage,
    Message,
    MessageTooOld,
    NotAPeer,
    OtherMessage,
    PeerListStale,
    PeerMail,
    Take,
    UnknownPeer,
)
from store.audit import AuditLog
from store.db import Database
from store.models import AuditLeafRow
from tests.databases import migrated
from trust.schemas import ListContent, TrustedEntity
from trust.service import sign_list
from verify.trust import ServiceType, TrustedService, TrustList, TrustStore, read_list

SHANGHAI, ZHEJIANG = "310000", "330000"
RULES = Authoriser("production")
START = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
ON_POSTGRESQL = {"test_a_message_arrives_once_and_both_sides_have_it_on_record"}


class Side:
    """One region: its database, keys, list and mail, with a clock that both sides share; ``got`` is what its handler took."""

    def __init__(self, region: str, database: Database, clock: Clock) -> None:
        self.region, self.db, self.clock = region, database, clock
        self.list_key, self.key = SoftwareKey.generate(Suite.P256), SoftwareKey.generate(Suite.P256)
        self.domain = f"{region}.localhost:1"
        self.known: list[TrustList] = []
        self.got: list[Message] = []
        self.audit = AuditLog(database, region)
        self.mail = self.mail_with(self.key)

    def mail_with(self, key: SoftwareKey) -> PeerMail:
        mail = PeerMail(
            self.db,
            self.audit,
            RULES,
            self.region,
            trust=lambda: TrustStore(self.known),
            signer=lambda: key,
            private_hosts=[f"{SHANGHAI}.localhost", f"{ZHEJIANG}.localhost"],
            now=lambda: self.clock.at,
        )
        mail.handlers["use"] = self.handle
        return mail

    def handle(self, message: Message) -> Take:
        if message.body.get("refuse"):
            raise BadMessage("Refused.", "拒绝。")

        def take(session: Session) -> None:
            self.got.append(message)

        return take

    def list(self, *, status: str = "granted", life: timedelta = timedelta(days=30)) -> TrustList:
        service = TrustedService(
            ServiceType.RECEIPT, "样本 回执", self.region, jwk=public_jwk(self.key.public_key), status=status
        )
        content = ListContent(
            self.region, "样本", 1, START, START + life, [TrustedEntity("样本机关", [service])], domains=(self.domain,)
        )
        return read_list(sign_list(content, self.list_key), [self.list_key.public_key.fingerprint])

    def send(self, to: Side, body: Mapping[str, Any] | None = None) -> str:
        return self.db.run(lambda s: self.mail.send(s, region=to.region, kind="use", body=body or {"n": 1}, about="use_1"))

    def token(self, to: str, *, jti: str = "message_12345678", key: SoftwareKey | None = None, **body: Any) -> str:
        return self.mail.token(jti, to, "use", body, key or self.key)

    def row(self, message_id: str) -> PeerMessageRow:
        with self.db.read() as session:
            return session.get_one(PeerMessageRow, message_id)

    def leaves(self, kind: str) -> list[dict[str, Any]]:
        with self.db.read() as session:
            return [json.loads(b) for b in session.scalars(sa.select(AuditLeafRow.body).where(AuditLeafRow.kind == kind))]


class Clock:
    def __init__(self) -> None:
        self.at = START


class Pair:
    """Shanghai sends, Zhejiang receives over HTTP; each has imported the other's list."""

    def __init__(self, first: Database, second: Database) -> None:
        self.clock = Clock()
        self.shanghai = Side(SHANGHAI, first, self.clock)
        self.zhejiang = Side(ZHEJIANG, second, self.clock)

    def acquaint(self) -> None:
        self.shanghai.known = [self.zhejiang.list()]
        self.zhejiang.known = [self.shanghai.list()]


@contextmanager
def listening(side: Side) -> Iterator[ThreadingHTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            token = self.rfile.read(int(self.headers["Content-Length"])).decode()
            try:
                status, answer = 200, json.dumps(side.mail.receive(token))
            except XinyinError as exc:
                status, answer = exc.status, from_error(exc).model_dump_json()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer.encode())))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@pytest.fixture
def pair(database: Database, tmp_path: Path) -> Iterator[Pair]:
    second = migrated(tmp_path / "zhejiang.sqlite")
    found = Pair(database, second)
    with listening(found.zhejiang) as server:
        found.zhejiang.domain = f"{ZHEJIANG}.localhost:{server.server_port}"
        found.acquaint()
        yield found
    second.close()


def test_a_message_arrives_once_and_both_sides_have_it_on_record(pair: Pair) -> None:
    sent = pair.shanghai.send(pair.zhejiang, {"answer": "是"})
    assert pair.shanghai.mail.work() == 1
    assert pair.shanghai.mail.work() == 0
    (got,) = pair.zhejiang.got
    assert (got.id, got.region, got.kind, dict(got.body), got.sent_at) == (sent, SHANGHAI, "use", {"answer": "是"}, START)
    row = pair.shanghai.row(sent)
    assert (row.status, row.attempts, row.body) == ("delivered", 1, {}), "what was said is kept by whoever sent it"
    (leaf,) = pair.shanghai.leaves("message.delivered")
    assert leaf["subject"] == {"message": sent, "use": "use_1"}
    (leaf,) = pair.zhejiang.leaves("message.received")
    assert (leaf["actor"], leaf["rule"]) == (f"region_{SHANGHAI}", "listed-regions-send-messages")


def test_a_second_copy_is_known_and_does_nothing(pair: Pair) -> None:
    token = pair.shanghai.token(ZHEJIANG, n=1)
    assert pair.zhejiang.mail.receive(token)["status"] == "taken"
    assert pair.zhejiang.mail.receive(token)["status"] == "known"
    pair.clock.at += timedelta(minutes=5)
    assert pair.zhejiang.mail.receive(pair.shanghai.token(ZHEJIANG, n=1))["status"] == "known"
    assert len(pair.zhejiang.got) == 1


def test_many_copies_at_the_same_moment_are_taken_once(pair: Pair) -> None:
    token = pair.shanghai.token(ZHEJIANG, n=1)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(pair.zhejiang.mail.receive(token)["status"])) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["known"] * 5 + ["taken"]
    assert len(pair.zhejiang.leaves("message.received")) == 1


def test_the_number_of_a_message_cannot_be_used_for_another(pair: Pair) -> None:
    pair.zhejiang.mail.receive(pair.shanghai.token(ZHEJIANG, n=1))
    with pytest.raises(OtherMessage):
        pair.zhejiang.mail.receive(pair.shanghai.token(ZHEJIANG, n=2))


def test_a_message_replayed_later_is_refused(pair: Pair) -> None:
    token = pair.shanghai.token(ZHEJIANG, n=1)
    pair.clock.at += timedelta(minutes=11)
    with pytest.raises(MessageTooOld):
        pair.zhejiang.mail.receive(token)
    pair.clock.at = START - timedelta(minutes=5)
    with pytest.raises(MessageTooOld):
        pair.zhejiang.mail.receive(token)


def test_a_strangers_key_signs_for_no_region(pair: Pair) -> None:
    with pytest.raises(NotAPeer, match="receipt key"):
        pair.zhejiang.mail.receive(pair.shanghai.token(ZHEJIANG, key=SoftwareKey.generate(Suite.P256)))


def test_the_key_of_another_service_signs_no_message(pair: Pair) -> None:
    with pytest.raises(NotAPeer, match="receipt key"):
        pair.zhejiang.mail.receive(pair.shanghai.token(ZHEJIANG, key=pair.shanghai.list_key))


def test_a_region_whose_list_is_not_imported_is_not_heard(pair: Pair) -> None:
    pair.zhejiang.known = []
    with pytest.raises(NotAPeer, match="imported first"):
        pair.zhejiang.mail.receive(pair.shanghai.token(ZHEJIANG))


def test_a_withdrawn_key_is_not_heard_any_more(pair: Pair) -> None:
    pair.zhejiang.known = [pair.shanghai.list(status="withdrawn")]
    with pytest.raises(NotAPeer, match="receipt key"):
        pair.zhejiang.mail.receive(pair.shanghai.token(ZHEJIANG))


def test_while_the_senders_list_is_stale_it_is_told_to_try_later(pair: Pair) -> None:
    pair.zhejiang.known = [pair.shanghai.list(life=timedelta(seconds=-1))]
    with pytest.raises(PeerListStale) as caught:
        pair.zhejiang.mail.receive(pair.shanghai.token(ZHEJIANG))
    assert caught.value.status == 503


def test_a_message_for_another_region_is_not_taken(pair: Pair) -> None:
    with pytest.raises(NotAPeer, match="not meant"):
        pair.zhejiang.mail.receive(pair.shanghai.token("350000"))


def test_our_own_message_does_not_come_back_as_anothers(pair: Pair) -> None:
    with pytest.raises(NotAPeer):
        pair.zhejiang.mail.receive(pair.zhejiang.token(ZHEJIANG))


def test_another_kind_of_token_by_the_right_key_is_no_message(pair: Pair) -> None:
    claims = {"iss": SHANGHAI, "aud": ZHEJIANG, "iat": int(START.timestamp()), "jti": "message_1", "kind": "use", "body": {}}
    with pytest.raises(NotAPeer, match="not meant"):
        pair.zhejiang.mail.receive(jose.sign({"typ": "secevent+jwt"}, claims, pair.shanghai.key))


@pytest.mark.parametrize(
    "change", [{"kind": "order"}, {"body": []}, {"jti": "x"}, {"jti": None}, {"iat": "now"}, {"iat": True}, {"kind": 3}]
)
def test_a_signed_message_without_its_parts_is_refused(pair: Pair, change: dict[str, Any]) -> None:
    claims = {"iss": SHANGHAI, "aud": ZHEJIANG, "iat": int(START.timestamp()), "jti": "message_1", "kind": "use", "body": {}}
    with pytest.raises(BadMessage):
        pair.zhejiang.mail.receive(jose.sign({"typ": "peer-message+jws"}, claims | change, pair.shanghai.key))


@pytest.mark.parametrize(
    "text", ["", "a.b.c", "x" * 3_000_000, "eyJhbGciOiJub25lIn0.e30."], ids=["empty", "dots", "large", "unsigned"]
)
def test_what_is_no_token_is_refused(pair: Pair, text: str) -> None:
    with pytest.raises(jose.BadJws):
        pair.zhejiang.mail.receive(text)


def test_what_the_handler_refuses_leaves_nothing_behind(pair: Pair) -> None:
    sent = pair.shanghai.send(pair.zhejiang, {"refuse": True})
    assert pair.shanghai.mail.work() == 0
    row = pair.shanghai.row(sent)
    assert (row.status, row.error) == ("dead", "refused: bad-peer-message: Refused.")
    assert pair.shanghai.leaves("message.given-up")[0]["data"]["attempts"] == 1
    with pair.zhejiang.db.read() as session:
        assert session.scalars(sa.select(PeerReceivedRow)).all() == []


def test_a_message_waits_while_the_other_side_is_away_and_arrives_when_it_is_back(pair: Pair) -> None:
    pair.zhejiang.known = []  # refuses for now: the list is not imported yet
    first, second = pair.shanghai.send(pair.zhejiang), pair.shanghai.send(pair.zhejiang, {"n": 2})
    assert pair.shanghai.mail.work() == 0
    assert [pair.shanghai.row(one).status for one in (first, second)] == ["waiting", "waiting"]
    assert pair.shanghai.row(second).attempts == 0, "one failure speaks for the whole region"
    pair.acquaint()
    assert pair.shanghai.mail.work() == 0, "not before its time"
    pair.clock.at += timedelta(seconds=11)
    assert pair.shanghai.mail.work() == 2
    assert [message.id for message in pair.zhejiang.got] == [first, second]


def test_what_cannot_be_brought_is_given_up_and_said_so(pair: Pair) -> None:
    pair.zhejiang.known = []
    sent = pair.shanghai.send(pair.zhejiang)
    pair.shanghai.mail.work()
    pair.clock.at += CALL_BACK_GIVE_UP
    pair.shanghai.known = [pair.zhejiang.list(life=timedelta(days=60))]
    pair.shanghai.mail.work()
    row = pair.shanghai.row(sent)
    assert row.status == "dead"
    assert (row.error or "").startswith("refused: not-a-peer")


def test_nothing_is_sent_to_a_region_that_no_list_names(pair: Pair) -> None:
    with pytest.raises(UnknownPeer):
        pair.shanghai.db.run(lambda s: pair.shanghai.mail.send(s, region="350000", kind="use", body={}))
    with pytest.raises(UnknownPeer):
        pair.shanghai.db.run(lambda s: pair.shanghai.mail.send(s, region=SHANGHAI, kind="use", body={}))


def test_a_private_address_is_reached_only_where_the_operator_allows_it(pair: Pair) -> None:
    mail = PeerMail(
        pair.shanghai.db,
        pair.shanghai.audit,
        RULES,
        SHANGHAI,
        trust=lambda: TrustStore(pair.shanghai.known),
        signer=lambda: pair.shanghai.key,
        now=lambda: pair.clock.at,
    )
    sent = pair.shanghai.send(pair.zhejiang)
    assert mail.work() == 0
    assert "private address" in (pair.shanghai.row(sent).error or "")
    assert pair.zhejiang.got == []
