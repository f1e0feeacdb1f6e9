"""The callers, and a node with one object of every kind that belongs to the department of most of them."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property, wraps
from types import FrameType
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from api.app import create_app
from api.sessions import CITIZEN_COOKIE, COOKIE, CitizenBrowser, Session
from ceremonies.node import Node
from ceremonies.sample import APPROVER, REGISTRAR, sample_uscc
from formats.x509 import to_pem
from hsm.schemas import KeyPurpose
from people.citizens import Statement
from people.demo import demo_citizen
from people.models import IdentityRow, PasskeyRow, SessionRow
from people.schemas import Citizen
from policies.authorise import Decision
from seals.placement import Placement
from seals.workflow.drafts import NewDocument
from store.db import utc_now
from store.ids import new_id
from tests.foreign_region import ForeignRegion
from tests.neighbour import Neighbour
from tests.node_home import EXAMPLES
from tests.soft_phone import SoftPhone, identity_number

APPROVAL = (EXAMPLES / "approval.pdf").read_bytes()
LICENCE = json.loads((EXAMPLES / "licence.json").read_text("utf-8"))
PLACE = Placement(page=2, x_mm=137, y_mm=175)

PERSONAS = {
    "nobody": ("未登录", "not signed in"),
    "handler": ("经办人", "handler"),
    "reviewer": ("审核人", "reviewer"),
    "signer": ("签发人", "signer-off"),
    "keeper": ("印章管理员", "seal keeper"),
    "clerk": ("证照经办人", "licensing clerk"),
    "window": ("窗口人员", "window clerk"),
    "system": ("审批系统", "approval system"),
    "officer": ("密钥管理员", "security officer"),
    "auditor": ("审计员", "auditor"),
    "admin": ("系统管理员", "administrator"),
    "other": ("他部门人员", "another department"),
    "holder": ("持证人", "holder of the licence"),
    "citizen": ("其他个人", "another citizen"),
}
"""In the order of the table's columns. ``other`` has every role of a department, in a department of its own."""

CITIZENS = {"holder": ("样本 李店主", identity_number(901)), "citizen": ("样本 陌生人", identity_number(902))}
"""Callers from outside, who have no account: their names and identity numbers."""


@dataclass
class Ask:
    """How an address is asked: values of the path's names, and the request."""

    path: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    data: Mapping[str, Any] | None = None
    files: Any = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Asked:
    """A rule that was asked while an address was tried; ``required``: the operation hung on it."""

    decision: Decision
    required: bool


P = ParamSpec("P")
T = TypeVar("T")


def until_used(make: Callable[Concatenate[World, P], T]) -> Callable[Concatenate[World, P], T]:
    """An object that the next caller gets too unless somebody was let through to it: making one costs a signature or ten."""

    @wraps(make)
    def unused(world: World, *args: P.args, **kw: P.kwargs) -> T:
        key = (make.__name__, args, tuple(sorted(kw.items())))
        if key not in world.unused:
            world.unused[key] = make(world, *args, **kw)
        found: T = world.unused[key]
        return found

    return unused


class World:
    """A founded node, its application, and whoever calls it."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.app = create_app(node)
        self.client = TestClient(self.app, base_url=node.config.base_url, raise_server_exceptions=False)
        self.client.follow_redirects = False
        self.asked: list[Asked] = []
        self.persona = "nobody"
        self.unused: dict[Any, Any] = {}
        """What no caller was let through to yet (:func:`until_used`)."""
        self._leaver: str | None = None
        self._foreign: tuple[str, str] | None = None
        self._sessions: dict[str, Session] = {}
        self._browsers: dict[str, CitizenBrowser] = {}
        self._listen()
        node.accounts.create("system", None, roles=["handler", "seal_keeper"], department=self.department, kind="system")
        elsewhere = node.accounts.create_department("云江市气象局", uscc="11310000MB0X799990")
        roles = ["handler", "reviewer", "signer_off", "seal_keeper", "licensing_clerk", "window_clerk"]
        node.accounts.create("other", secrets.token_hex(12), roles=roles, department=elsewhere.id)

        self.sequence()

    def foreign_list(self) -> tuple[str, str]:
        """The trust list of another region whose service is off, and its pin."""
        if self._foreign is None:
            region = ForeignRegion("440000", "广东省")
            region.server.close()
            self._foreign = (region.trust_list(1).decode(), region.pin)
        return self._foreign

    def trusted_region(self) -> str:
        """Another region that is trusted here, imported again where somebody dropped it."""
        listed, pin = self.foreign_list()
        self.node.trust.accept(listed.encode(), pin=pin)
        return "440000"

    # -- callers --------------------------------------------------------------------------------------------------------

    @cached_property
    def tokens(self) -> dict[str, str]:
        """A bearer token a caller."""
        staff = [name for name in PERSONAS if name != "nobody" and name not in CITIZENS]
        return {name: self.node.accounts.issue_token(name, "authority")[1] for name in staff}

    def try_it(
        self, persona: str, route: Route, ask: Ask, *, csrf: str | None = None, by_cookie: bool = False
    ) -> tuple[Any, list[Asked]]:
        """Ask an address as ``persona``; the answer, and the rules that were asked on the way.

        :param csrf: instead of the session's own token; ``""``: none
        :param by_cookie: use the session where a program would use a bearer token
        """
        headers, data, cookies = dict(ask.headers), ask.data, dict(ask.cookies)
        if persona in CITIZENS:
            browser = self.browser(persona)
            token = browser.csrf if csrf is None else csrf
            cookies[CITIZEN_COOKIE], headers["X-CSRF-Token"] = browser.token, token
            headers.setdefault("Accept", "text/html" if route.is_page else "application/json")
            if route.is_page and route.method != "GET" and ask.content is None and ask.json is None:
                data = {"csrf": token, **(data or {}), **({} if csrf is None else {"csrf": csrf})}
        elif route.is_page or by_cookie:
            headers.setdefault("Accept", "text/html")
            if persona == "system":  # systems have no sessions: what they send to a page is not looked at
                headers["Authorization"] = f"Bearer {self.tokens[persona]}"
            elif persona != "nobody":
                session = self._session(persona)
                token = session.csrf if csrf is None else csrf
                cookies[COOKIE], headers["X-CSRF-Token"] = session.token, token
                if route.method != "GET" and ask.content is None and ask.json is None:
                    data = {"csrf": token, **(data or {}), **({} if csrf is None else {"csrf": csrf})}
        elif persona != "nobody":
            headers["Authorization"] = f"Bearer {self.tokens[persona]}"
        path = route.path
        for name, value in ask.path.items():
            path = path.replace(f"{{{name}}}", value).replace(f"{{{name}:path}}", value)
        assert "{" not in path, f"{route}: nothing to put for {path}"
        self.asked.clear()
        self.client.cookies.clear()
        for name, value in cookies.items():
            self.client.cookies.set(name, value)
        answer = self.client.request(
            route.method,
            path,
            params=dict(ask.params) or None,
            json=ask.json,
            data=data,
            files=ask.files,
            content=ask.content,
            headers=headers,
        )
        return answer, list(self.asked)

    def _session(self, persona: str) -> Session:
        """A session of the caller; the one from before while it lives."""
        kept = self._sessions.get(persona)
        if kept is None or self.node.accounts.by_session(kept.token) is None:
            account = self.node.accounts.get(persona)
            kept = self._sessions[persona] = Session(account, self.node.accounts.open_session(account).token)
        return kept

    def citizen(self, persona: str) -> Citizen:
        """Somebody from outside."""
        name, number = CITIZENS[persona]
        return self.node.citizens.signed_in(Statement("https://id.example.cn", persona, name, number))

    def browser(self, persona: str) -> CitizenBrowser:
        """A signed-in browser of somebody from outside; the one from before while it lives."""
        kept = self._browsers.get(persona)
        if kept is None or self.node.citizens.by_session(kept.token) is None:
            citizen = self.citizen(persona)
            kept = self._browsers[persona] = CitizenBrowser(citizen, self.node.citizens.open_session(citizen).token)
        return kept

    def _listen(self) -> None:
        """Note every rule that is asked, but for those that only decide what the navigation shows."""
        authoriser = self.node.authoriser
        decide = authoriser.decide

        def noted(*args: Any, **kw: Any) -> Decision:
            decision = decide(*args, **kw)
            if not _for_the_navigation():
                self.asked.append(Asked(decision, sys._getframe(1).f_code.co_name == "require"))
            return decision

        authoriser.decide = noted  # type: ignore[method-assign]

    def of_the_department(self) -> list[str]:
        """Identifiers that nobody of another department should ever read."""
        names = (
            "seal",
            "kept_impression",
            "kept_application",
            "sealed_application",
            "licence",
            "event",
            "kept_subscription",
            "answered_enquiry",
        )
        return [str(self.__dict__[name]) for name in names if name in self.__dict__]

    # -- objects --------------------------------------------------------------------------------------------------------

    @cached_property
    def uscc(self) -> str:
        """Social credit code of the bureau whose objects are asked for."""
        return sample_uscc(self.node.region, APPROVER)

    @cached_property
    def department(self) -> str:
        """Identifier of the department that the demo people belong to."""
        found = self.node.accounts.get("keeper").department
        assert found
        return found

    @cached_property
    def seal(self) -> str:
        """A seal in force."""
        operator = self.node.actor(None)
        made = self.node.seals.create(operator, owner_name=APPROVER, owner_uscc=self.uscc, idempotency_key="authority")
        return str(made["id"])

    @cached_property
    def doomed_seal(self) -> str:
        """A seal whose life is over when every caller had a try."""
        operator = self.node.actor(None)
        made = self.node.seals.create(
            operator,
            owner_name=APPROVER,
            owner_uscc=self.uscc,
            idempotency_key="doomed",
            name=f"{APPROVER}专用章",
            kind="special",
        )
        return str(made["id"])

    def new_impression(self) -> str:
        """A new use of the seal."""
        operator = self.node.actor(None)
        return str(self.node.seals.apply(operator, APPROVAL, seal_id=self.seal, placement=PLACE)[0]["id"])

    impression = until_used(new_impression)

    @cached_property
    def kept_impression(self) -> str:
        """A use of the seal that nobody ends."""
        return self.new_impression()

    def new_application(self, *, upto: str = "submitted", matter: str = "default") -> str:
        """A new application to seal, handled by a system so that everybody may act on it; ``upto`` signed-off or sealed."""
        applications = self.node.seals.applications
        made = applications.submit(
            self.node.actor("system"),
            purpose="use-seal",
            department=self.uscc,
            matter=matter,
            countersigners=[sample_uscc(self.node.region, REGISTRAR)] if matter == "joint-notice" else [],
            seal_id=self.seal,
            documents=[NewDocument("approval.pdf", APPROVAL, PLACE)],
            title="样本",
        )
        found = str(made["id"])
        if upto in ("signed-off", "sealed"):
            applications.sign_off(self.node.actor("signer"), found)
        if upto == "sealed":
            applications.seal(self.node.actor("keeper"), found)
        if upto == "reviewed":
            applications.review(self.node.actor("reviewer"), found)
        return found

    application = until_used(new_application)

    @cached_property
    def sealed_application(self) -> str:
        """An application that was sealed, and stays so."""
        return self.new_application(upto="sealed")

    @cached_property
    def track_code(self) -> str:
        """By which an applicant follows an application."""
        shown = self.node.seals.applications.show(self.node.actor(None), self.kept_application)
        return str(shown["track_code"])

    def draft(self) -> str:
        """What the present caller has uploaded and not handed in."""
        if self.persona in ("nobody", "system", *CITIZENS):
            return "none"
        account = self.node.accounts.get(self.persona).id
        return str(self.app.state.uploads.create(account, [("approval.pdf", APPROVAL)], values={"seal": self.seal}).id)

    @cached_property
    def kept_application(self) -> str:
        """An application that stays as it is."""
        return self.new_application()

    @cached_property
    def licence(self) -> str:
        """A licence in force."""
        uscc = sample_uscc(self.node.region, REGISTRAR)
        operator = self.node.actor(None)
        self.node.seals.create(operator, owner_name=REGISTRAR, owner_uscc=uscc, idempotency_key="authority-registrar")
        data = {**LICENCE, "representative_id": CITIZENS["holder"][1]}
        made, _ = self.node.licences.issue(operator, "business-licence", data, idempotency_key="authority-licence")
        return str(made["id"])

    @cached_property
    def own_licence(self) -> str:
        """A licence of the holder that nobody of the staff touches."""
        assert self.licence
        data = {**LICENCE, "representative_id": CITIZENS["holder"][1]}
        made, _ = self.node.licences.issue(self.node.actor(None), "business-licence", data, idempotency_key="authority-own")
        return str(made["id"])

    def proof(self) -> str:
        """What a new phone of the present caller answers to a challenge; of the holder's where it is no citizen's."""
        whose = self.persona if self.persona in CITIZENS else "holder"
        return SoftPhone().proof(self.node.copies.challenge(self.citizen(whose)))

    def new_copy(self) -> str:
        """A copy of the licence on a phone of the holder; the one before was taken off."""
        holder = self.citizen("holder")
        for old in self.node.copies.mine(holder):
            if old["usable"]:
                self.node.copies.remove(holder, old["id"])
        proof = SoftPhone().proof(self.node.copies.challenge(holder))
        return str(self.node.copies.download(holder, self.own_licence, device="手机", proof=proof)["id"])

    copy = until_used(new_copy)

    def new_grant(self) -> str:
        """An authorisation that the holder gave."""
        made = self.node.grants.authorise(
            self.citizen("holder"),
            self.own_licence,
            kind="staff",
            name="样本 某某",
            id_number=identity_number(903),
            matters=["open-bank-account"],
            until=utc_now() + timedelta(days=secrets.randbelow(300) + 1),
        )
        return str(made["id"])

    grant = until_used(new_grant)

    def _doubtful(self) -> dict[str, Any]:
        """A verdict that says to check, as the verifier of this node gave it."""
        code = "https://elsewhere.example/v#" + self.code.partition("#")[2]
        verdict: dict[str, Any] = self.app.state.verifier.verify_code(code)
        return verdict | {"answer": verdict["answer"] | {"decision": "check"}}

    @cached_property
    def code(self) -> str:
        """What the code on the licence says."""
        return str(self.node.licences.show(self.node.actor(None), self.licence)["code"])

    def kept_result(self) -> str:
        """The address of a result that somebody just looked at."""
        return str(self.app.state.results.put(self._doubtful(), "2026-11-22T00:00:00Z"))

    def new_receipt(self) -> str:
        """A receipt of the window that nothing followed yet."""
        made = self.app.state.verifier.receipt(self.node.accounts.get("window"), self._doubtful())
        return str(made["id"])

    unused_receipt = until_used(new_receipt)

    @cached_property
    def receipt(self) -> str:
        """A receipt of the window, with a slip."""
        made = self.new_receipt()
        self.node.receipts.slip(self.node.accounts.get("window"), made)
        return made

    @property
    def receipt_jws(self) -> str:
        """The same as it is handed over."""
        return str(self.node.receipts.show(self.node.actor(None), self.receipt)["jws"])

    @property
    def slip(self) -> str:
        """By which the applicant sees what happens next."""
        return str(self.node.receipts.show(self.node.actor(None), self.receipt)["slip"])

    def going_on(self) -> dict[str, str]:
        """How something is gone on with."""
        signer = self.node.accounts.get("signer").id
        day = (utc_now() + timedelta(days=5)).date().isoformat()
        return {"supervisor": signer, "reason": "已电话核实", "bring": "原件", "until": day}

    def new_provisional(self, *, confirmed: bool = False) -> str:
        """Something gone on with, that waits for the signer-off or was confirmed."""
        window, signer = self.node.accounts.get("window"), self.node.accounts.get("signer")
        wish: dict[str, Any] = self.going_on()
        wish["until"] = date.fromisoformat(wish["until"])
        made = self.node.provisionals.record(window, self.new_receipt(), **wish)
        if confirmed:
            self.node.provisionals.decide(signer, made["id"], confirm=True)
        return str(made["id"])

    provisional = until_used(new_provisional)

    @cached_property
    def owned(self) -> str:
        """A licence of the person who comes to the counter."""
        one = demo_citizen("owner")
        data = {**LICENCE, "uscc": "91310000MA1FL00050", "representative": one.name, "representative_id": one.id_number}
        made, _ = self.node.licences.issue(self.node.actor(None), "business-licence", data) if self.licence else ({}, b"")
        return str(made["id"])

    @cached_property
    def annotated(self) -> dict[str, Any]:
        """A copy for one purpose of :attr:`licence`, made by its authority."""
        until = (utc_now() + timedelta(days=9)).date()
        return self.node.annotated.make(self.node.actor(None), self.licence, purpose="归档", until=until)[0]

    @cached_property
    def own_annotated(self) -> str:
        """A copy for one purpose that the holder made of the own licence."""
        until = (utc_now() + timedelta(days=9)).date()
        return str(self.node.annotated.make(self.citizen("holder"), self.own_licence, purpose="开户", until=until)[0]["id"])

    card, other_card = demo_citizen("owner").name, demo_citizen("agent").name

    def new_visit(self) -> str:
        """Somebody at the counter, identified by the window clerk."""
        return str(self.node.counter.identify(self.node.accounts.get("window"), self.card)["id"])

    visit = until_used(new_visit)

    def new_copied(self) -> tuple[str, str]:
        """A visit, and a copy for one purpose that was made in it."""
        visit, until = self.visit(), (utc_now() + timedelta(days=9)).date()
        window = self.node.accounts.get("window")
        made, _ = self.node.counter.copy(window, visit, self.owned, purpose="开户", until=until, matter="open-bank-account")
        return visit, str(made["id"])

    copied = until_used(new_copied)

    @cached_property
    def leaf(self) -> str:
        """An audit leaf that is under a signed checkpoint."""
        found = self.node.audit.history(self.kept_impression)[-1].id
        self.sequence()
        return found

    def new_subscription(self) -> str:
        """A new subscription of the approval system."""
        made = self.node.subscriptions.subscribe(self.node.actor("system"), url="https://hooks.example.cn/xinyin")
        return str(made["id"])

    subscription = until_used(new_subscription)

    @cached_property
    def kept_subscription(self) -> str:
        """A subscription that nobody ends."""
        return self.new_subscription()

    @cached_property
    def event(self) -> str:
        """An event of the department: a sealed document was voided."""
        assert self.kept_subscription
        self.node.seals.void(self.node.actor(None), self.new_impression(), reason="因故")
        self.node.courier.hand_out()
        return str(self.node.subscriptions.events(self.node.actor(None)).items[-1]["id"])

    @cached_property
    def delivery(self) -> str:
        """A notice on its way to the kept subscription."""
        assert self.event
        found = self.node.subscriptions.deliveries(self.node.actor(None), self.kept_subscription)
        return str(found.items[0]["id"])

    def sequence(self) -> None:
        """Number what waits."""
        self.node.audit.sequence(self.node.checkpoint_key())

    # -- other regions --------------------------------------------------------------------------------------------------

    @cached_property
    def neighbour(self) -> Neighbour:
        """A region whose trust list is imported; the tests hold its keys."""
        return Neighbour(self.node)

    def new_enquiry(self) -> str:
        """A question of the neighbour about the licence, which waits for an answer."""
        return self.neighbour.ask(self.node.licences.show(self.node.actor(None), self.licence)["identifier"])

    enquiry = until_used(new_enquiry)

    @cached_property
    def answered_enquiry(self) -> str:
        """One that was answered."""
        found = self.new_enquiry()
        self.node.enquiries.answer(self.node.actor(None), found)
        return found

    # -- keys -----------------------------------------------------------------------------------------------------------

    @cached_property
    def role(self) -> str:
        """A key role that is steady."""
        return self.node.keys.roles(KeyPurpose.receipt)[0].id

    @cached_property
    def generation(self) -> str:
        """A key made and not in use yet, of another role."""
        other = self.node.keys.roles(KeyPurpose.audit_checkpoint)[0].id
        return self.node.rotation.stage(self.node.actor(None), other).id

    @cached_property
    def doomed_generation(self) -> str:
        """A key of the doomed seal in another suite."""
        versions = self.node.seals.show(self.node.actor(None), self.doomed_seal)["versions"]
        return str(versions[0]["generations"][1])

    @cached_property
    def ceremony(self) -> str:
        """A compromise, of a key of the doomed seal."""
        operator = self.node.actor(None)
        versions = self.node.seals.show(operator, self.doomed_seal)["versions"]
        found = self.node.compromise.declare(operator, versions[0]["generations"][0], reason="演练")
        return str(found["id"])

    def new_approval(self) -> str:
        """A request that waits for officers."""
        return str(self.node.rotation.ask(self.node.actor(None), "stage", self.role)["id"])

    approval = until_used(new_approval)

    def officer_key(self) -> str:
        """A passkey that the officer put forward to approve with."""
        credential = self.passkey("officer")[1]
        return str(self.node.approvals.keys.propose_passkey(self.node.actor("officer"), credential)["id"])

    # -- people ---------------------------------------------------------------------------------------------------------

    @cached_property
    def person(self) -> str:
        """Somebody whom an administrator looks after."""
        return self.node.accounts.create(
            "somebody", secrets.token_hex(12), roles=["handler"], department=self.department, display_name="样本 某某"
        ).id

    def passkey(self, account: str) -> tuple[str, str]:
        """A passkey of an account, put there as an enrolment leaves it: its identifier, and that of the credential."""
        credential = secrets.token_urlsafe(32)
        point = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
        row = PasskeyRow(
            id=new_id("passkey"),
            region=self.node.region,
            account_id=self.node.accounts.get(account).id,
            credential_id=credential,
            public_key=bytes.fromhex("a5010203262001215820") + point.x.to_bytes(32) + b"\x22\x58\x20" + point.y.to_bytes(32),
            sign_count=0,
            name="钥匙",
            aaguid="0" * 36,
            transports=[],
            backed_up=False,
            created_at=utc_now(),
        )
        self.node.db.run(lambda session: session.add(row))
        return row.id, credential

    def leaver(self) -> str:
        """Somebody who leaves a post; the same until it was handed over."""
        if self._leaver is None or not self.node.accounts.get(self._leaver).roles:
            name, password = f"leaver-{secrets.token_hex(3)}", secrets.token_hex(12)
            self._leaver = self.node.accounts.create(name, password, roles=["handler"], department=self.department).id
        return self._leaver

    def own_session(self) -> str:
        """Another session of the present caller."""
        if self.persona in ("nobody", "system", *CITIZENS):
            return "none"
        account = self.node.accounts.get(self.persona)
        self.node.accounts.open_session(account)
        newest = sa.select(SessionRow.id).where(SessionRow.account_id == account.id).order_by(SessionRow.created_at.desc())
        with self.node.db.read() as session:
            return str(session.scalars(newest.limit(1)).one())

    def own_passkey(self) -> str:
        """A passkey of the present caller."""
        return "none" if self.persona in ("nobody", *CITIZENS) else self.passkey(self.persona)[0]

    def own_credential(self) -> str:
        """The credential of one."""
        return "none" if self.persona in ("nobody", *CITIZENS) else self.passkey(self.persona)[1]

    @cached_property
    def certificate(self) -> str:
        """Some certificate, PEM."""
        return to_pem(self.node.ca.anchors()[0].der, "CERTIFICATE")

    def identity(self, account: str | None = None) -> str:
        """An identity at an OpenID provider, bound or waiting for an administrator."""
        row = IdentityRow(
            id=new_id("identity"),
            region=self.node.region,
            issuer="https://id.example.cn",
            subject=secrets.token_hex(8),
            shown_name="样本",
            account_id=account,
            created_at=utc_now(),
            bound_at=utc_now() if account else None,
        )
        self.node.db.run(lambda session: session.add(row))
        return row.id

    def new_delegation(self) -> str:
        """The signer-off lets somebody stand in."""
        accounts, now = self.node.accounts, utc_now()
        signer = accounts.get("signer")
        until = now + timedelta(days=30)
        made = accounts.delegations.grant(
            signer.id, self.person, roles=["signer_off"], until=until, reason="出差", actor=signer.id
        )
        return made.id

    delegation = until_used(new_delegation)


@dataclass(frozen=True)
class Route:
    """An address and a method."""

    method: str
    path: str
    is_page: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def routes_of(app: Any) -> list[Route]:
    """Every address of the application with its methods; what is mounted or built in is not in it."""
    return sorted(set(_walk(app.routes)), key=lambda one: (one.path, one.method))


def _walk(found: Any) -> Iterator[Route]:
    for one in found:
        if isinstance(one, APIRoute):
            for method in sorted((one.methods or set()) - {"HEAD", "OPTIONS"}):
                yield Route(method, one.path, not one.include_in_schema)
        elif hasattr(one, "original_router"):
            yield from _walk(one.original_router.routes)


def _for_the_navigation() -> bool:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.endswith("api/navigation.py"):
            return True
        frame = frame.f_back
    return False


@contextmanager
def opened(home: Any) -> Iterator[World]:
    """A world over a founded home; the tokens are opened in this process."""
    node = Node.open(home)
    node.keys.custodian.status()
    try:
        world = World(node)
        with world.client:
            yield world
    finally:
        node.close()


Recipe = Callable[[World], Ask]
