"""Other systems are told of what concerns them and of nothing else, again until they take it, and provably by this node."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from joserfc import jwt
from joserfc.jwk import KeySet

from crypto.keys import SoftwareKey
from crypto.suites import Suite
from people.schemas import Account, Actor
from people.service import AccountService
from policies.authorise import Authoriser, NotAllowed
from records.delivery import Courier
from records.models import DeliveryRow
from records.reliance import Reliances
from records.schemas import BadSubscription, NoSuchEvent, NoSuchSubscription, SubscriptionStateRefused
from records.secevent import EVENT_TYPE_PREFIX, public_jwk
from records.subscriptions import SubscriptionService
from store.audit import AuditLog
from store.db import Database
from store.models import AuditLeafRow
from store.outbox import Outbox
from tests.receiver import Receiver, receiving

REGION, ISSUER = "310000", "http://310000.localhost:8310"
OURS, THEIRS = "11310000MB0X700157", "11310000MB0X700238"
KEY, NEXT = SoftwareKey.generate(Suite.P256), SoftwareKey.generate(Suite.P256)
ON_POSTGRESQL = {
    "test_a_notice_is_a_signed_token_of_what_happened",
    "test_what_nobody_takes_is_tried_again_with_growing_pauses_and_then_given_up",
    "test_events_are_read_in_order_and_none_is_missed",
}


class World:
    """A node's notices over an empty database: two departments, a system in each, a person, a clock."""

    def __init__(self, database: Database, receiver: Receiver) -> None:
        self.db, self.receiver, self.at = database, receiver, datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
        self.audit, self.outbox = AuditLog(database, REGION), Outbox(REGION, now=self.now)
        self.accounts = AccountService(database, self.audit, REGION)
        self.ours = self.accounts.create_department("审批局", uscc=OURS).id
        self.theirs = self.accounts.create_department("市场局", uscc=THEIRS).id
        self.oa = self.system("oa", self.ours)
        self.bank = self.system("bank", self.theirs)
        hosts = [receiver.host]
        self.subscriptions = SubscriptionService(
            database, self.audit, Authoriser("development"), self.outbox, REGION, private_hosts=hosts, now=self.now
        )
        self.reliances = Reliances(database, self.audit, REGION, now=self.now)
        self.courier = self.courier_with(KEY)

    def now(self) -> datetime:
        return self.at

    def courier_with(self, key: SoftwareKey) -> Courier:
        return Courier(self.subscriptions, issuer=ISSUER, accounts=self.accounts.get, signer=lambda: key, now=self.now)

    def system(self, name: str, department: str) -> Account:
        return self.accounts.create(name, None, roles=["handler"], department=department, kind="system")

    def happens(self, kind: str = "application.sealed", department: str = OURS, **more: Any) -> str:
        subject = {"application": "application_1"} | more.pop("subject", {})
        data = {"department": department, "status": "sealed"} | more
        return self.db.run(lambda session: self.outbox.add(session, kind, subject, data))

    def subscribe(self, actor: Actor, **more: Any) -> dict[str, Any]:
        return self.subscriptions.subscribe(actor, url=self.receiver.url, **more)

    def claims(self, number: int = -1) -> dict[str, Any]:
        keys = KeySet.import_key_set({"keys": [public_jwk(KEY.public_key), public_jwk(NEXT.public_key)]})
        decoded = jwt.decode(self.receiver.tokens[number], keys, algorithms=["ES256"])
        assert decoded.header["typ"] == "secevent+jwt"
        return dict(decoded.claims)

    def leaves(self, kind: str) -> list[str]:
        with self.db.read() as session:
            return list(session.scalars(sa.select(AuditLeafRow.body).where(AuditLeafRow.kind == kind)))


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    with receiving() as receiver:
        yield World(database, receiver)


def test_a_notice_is_a_signed_token_of_what_happened(world: World) -> None:
    world.subscribe(world.oa, audience="oa.example")
    event_id = world.happens("impression.voided", subject={"impression": "impression_7"}, matter="A-118", reason="误盖")
    assert world.courier.work() == 1
    claims = world.claims()
    told = claims["events"][EVENT_TYPE_PREFIX + "impression.voided"]
    assert (claims["iss"], claims["aud"], claims["txn"]) == (ISSUER, "oa.example", event_id)
    assert claims["sub_id"] == {"format": "opaque", "id": "impression_7"}
    assert (told["seq"], told["matter"], told["data"]["reason"]) == (1, "A-118", "误盖")
    assert "sub" not in claims
    assert world.receiver.content_types == ["application/secevent+jwt"]
    assert world.courier.work() == 0
    assert len(world.receiver.tokens) == 1
    (leaf,) = world.leaves("subscription.delivered")
    assert json.loads(leaf)["data"]["jti"] == claims["jti"]


def test_no_reason_is_too_long_to_be_told(world: World) -> None:
    world.subscribe(world.oa)
    world.happens("impression.voided", reason="𠮷" * 2000)
    assert world.courier.work() == 1
    assert world.claims()["events"][EVENT_TYPE_PREFIX + "impression.voided"]["data"]["reason"] == "𠮷" * 2000


def test_a_system_is_told_of_its_own_department_and_of_no_other(world: World) -> None:
    world.subscribe(world.oa)
    world.subscribe(world.bank)
    world.happens(department=THEIRS, number="沪审〔2026〕1号")
    assert world.courier.work() == 1
    assert [item["department"] for item in world.subscriptions.events(world.bank).items] == [THEIRS]
    assert world.subscriptions.events(world.oa).items == []
    event_id = world.subscriptions.events(world.bank).items[0]["id"]
    with pytest.raises(NoSuchEvent):
        world.subscriptions.event(world.oa, event_id)
    with pytest.raises(NotAllowed):
        world.subscribe(world.oa, department=THEIRS)


def test_a_subscription_may_ask_for_a_kind_a_matter_or_a_seal_only(world: World) -> None:
    world.subscribe(world.oa, kinds=["impression.*"], matter="A-118", seal_id="seal_1", department=world.ours)
    world.happens("impression.voided", subject={"seal": "seal_1"}, matter="B-7")
    world.happens("application.sealed", subject={"seal": "seal_1"}, matter="A-118")
    world.happens("impression.voided", subject={"seal": "seal_2"}, matter="A-118")
    wanted = world.happens("impression.replaced", subject={"seal": "seal_1"}, matter="A-118")
    assert world.courier.work() == 1
    assert world.claims()["txn"] == wanted


def test_what_nobody_takes_is_tried_again_with_growing_pauses_and_then_given_up(world: World) -> None:
    world.receiver.answer = lambda token: (503, b"")
    one = world.subscribe(world.oa)
    world.happens()
    world.courier.work()
    waiting = world.subscriptions.deliveries(world.oa, one["id"]).items[0]
    assert (waiting["status"], waiting["attempts"]) == ("waiting", 1)
    assert "503" in waiting["error"]
    assert world.courier.work() == 0
    assert len(world.receiver.tokens) == 1, "before the pause is over nothing is sent"
    pauses = []
    for _ in range(60):
        before = world.at
        with world.db.read() as session:
            row = session.scalars(sa.select(DeliveryRow)).one()
        if row.status == "dead":
            break
        world.at = row.next_at
        pauses.append(world.at - before)
        world.courier.work()
    else:
        pytest.fail("it is never given up")
    assert pauses[0] <= timedelta(seconds=10) < pauses[2] < pauses[4]
    assert max(pauses) <= timedelta(hours=1)
    assert len({jwt_id(token) for token in world.receiver.tokens}) == 1, "every attempt carries the same jti"
    (dead,) = world.subscriptions.deliveries(world.oa, one["id"], status="dead").items
    assert len(world.leaves("subscription.given-up")) == 1

    world.receiver.answer = lambda token: (202, b"")
    world.subscriptions.retry(world.oa, one["id"], dead["id"])
    assert world.courier.work() == 1
    with pytest.raises(SubscriptionStateRefused):
        world.subscriptions.retry(world.oa, one["id"], dead["id"])


def test_a_receiver_that_says_it_never_will_is_not_asked_again_and_one_with_old_keys_is(world: World) -> None:
    one = world.subscribe(world.oa)
    world.receiver.answer = lambda token: (400, b'{"err": "invalid_key", "description": "unknown kid"}')
    world.happens()
    world.courier.work()
    assert world.subscriptions.deliveries(world.oa, one["id"]).items[0]["status"] == "waiting"
    world.receiver.answer = lambda token: (400, b'{"err": "invalid_audience", "description": "not\\u0007 me"}')
    world.at += timedelta(minutes=1)
    world.courier.work()
    dead = world.subscriptions.deliveries(world.oa, one["id"]).items[0]
    assert (dead["status"], dead["error"]) == ("dead", "refused: invalid_audience: not  me")


def test_a_receiver_that_is_down_holds_up_nobody_else_and_its_other_notices_wait_with_it(world: World) -> None:
    other = world.system("archive", world.ours)
    dead_host = SubscriptionService(
        world.db, world.audit, world.subscriptions.authoriser, world.outbox, REGION, private_hosts=["localhost:9"]
    ).subscribe(world.oa, url="http://localhost:9/")
    world.subscribe(other)
    for _ in range(3):
        world.happens()
    assert world.courier.work() == 3
    attempts = [item["attempts"] for item in world.subscriptions.deliveries(world.oa, dead_host["id"]).items]
    assert sorted(attempts) == [0, 0, 1]


def test_a_receiver_that_is_down_is_not_asked_for_each_notice_that_waits(world: World) -> None:
    world.receiver.answer = lambda token: (503, b"")
    world.subscribe(world.oa)
    for _ in range(30):
        world.happens()
    world.courier.work()
    assert world.courier.work() == 0
    assert len(world.receiver.tokens) == 2
    world.happens()
    world.courier.work()
    assert len(world.receiver.tokens) == 3
    world.receiver.answer = lambda token: (202, b"")
    world.at += timedelta(minutes=1)
    assert world.courier.work() + world.courier.work() == 31


def test_a_notice_that_a_receiver_chokes_on_holds_up_no_other(world: World) -> None:
    one = world.subscribe(world.oa)
    poison = world.happens("seal.suspended", subject={"seal": "seal_1"})
    for _ in range(3):
        world.happens()
    world.receiver.answer = lambda token: (500 if poison in decoded(token) else 202, b"")
    assert world.courier.work() == 3
    (left,) = world.subscriptions.deliveries(world.oa, one["id"], status="waiting").items
    assert left["event"] == poison


def test_private_addresses_are_reached_only_where_the_operator_lists_them(world: World) -> None:
    with pytest.raises(BadSubscription):
        world.subscriptions.subscribe(world.oa, url="http://127.0.0.1:1/")
    with pytest.raises(BadSubscription):
        world.subscriptions.subscribe(world.oa, url="https://user:pw@oa.example/")
    one = world.subscriptions.subscribe(world.oa, url="https://127.0.0.1:1/")
    world.happens()
    world.courier.work()
    assert "address-refused" in world.subscriptions.deliveries(world.oa, one["id"]).items[0]["error"]


def test_only_systems_subscribe_and_nobody_looks_after_the_subscription_of_another(world: World) -> None:
    person = world.accounts.create("clerk", "correct horse battery", roles=["handler"], department=world.ours)
    with pytest.raises(NotAllowed, match="system"):
        world.subscribe(person)
    one = world.subscribe(world.oa)
    for stranger in (world.bank, person):
        for action in (world.subscriptions.show, world.subscriptions.end, world.subscriptions.test):
            with pytest.raises(NoSuchSubscription):
                action(stranger, one["id"])
        assert world.subscriptions.list(stranger).items == []
    admin = world.accounts.create("boss", "correct horse battery", roles=["administrator"])
    assert world.subscriptions.show(admin, one["id"])["deliveries"] == {"waiting": 0, "delivered": 0, "dead": 0}


def test_an_ended_subscription_or_a_disabled_system_is_told_nothing(world: World) -> None:
    one, two = world.subscribe(world.oa), world.subscribe(world.bank)
    world.happens()
    world.happens(department=THEIRS)
    world.courier.hand_out()
    assert world.subscriptions.end(world.oa, one["id"])["status"] == "ended"
    world.accounts.set_status("bank", "disabled", actor="local-operator")
    world.happens()
    world.happens(department=THEIRS)
    assert world.courier.work() == 0
    assert world.receiver.tokens == []
    assert two["status"] == "active"


def test_a_test_notice_goes_to_the_one_subscription_alone(world: World) -> None:
    one = world.subscribe(world.oa, kinds=["impression.*"])
    world.subscribe(world.bank)
    world.subscriptions.test(world.oa, one["id"])
    assert world.courier.work() == 1
    assert world.claims()["sub_id"]["id"] == one["id"]


def test_events_are_read_in_order_and_none_is_missed(world: World) -> None:
    ids = [world.happens() for _ in range(5)]
    assert world.subscriptions.events(world.oa).items == [], "an event is shown when it has its number"
    world.courier.hand_out()
    first = world.subscriptions.events(world.oa, limit=3)
    assert [item["id"] for item in first.items] == ids[:3]
    later = world.happens()
    world.courier.hand_out()
    rest = world.subscriptions.events(world.oa, cursor=str(first.items[-1]["seq"]))
    assert [item["id"] for item in rest.items] == [*ids[3:], later]
    assert world.subscriptions.events(world.oa, kind="impression.*").items == []


def test_notices_go_on_under_the_next_key(world: World) -> None:
    world.subscribe(world.oa)
    world.happens()
    world.courier.work()
    world.happens()
    world.courier_with(NEXT).work()
    assert world.claims(0)["jti"] != world.claims(1)["jti"]


def jwt_id(token: str) -> str:
    return str(json.loads(decoded(token))["jti"])


def decoded(token: str) -> str:
    body = token.split(".")[1]
    return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()
