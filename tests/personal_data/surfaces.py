"""A running node with two marked licences and all that hangs on them, and every surface that tells of them."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from api.sessions import CITIZEN_COOKIE, COOKIE
from crypto.errors import XinyinError
from formats import codes
from people.cardreader import SimulatedReader
from people.citizens import Statement
from people.schemas import Citizen
from records.receipts import Presented
from store.models import AuditLeafRow
from tests.neighbour import Neighbour
from tests.node_home import REGION, Service
from tests.personal_data import looking
from tests.personal_data.marks import (
    BUSINESS,
    CERTIFICATE,
    DEVICE,
    HOLDER,
    REPRESENTATIVE,
    STAFF,
    STRANGER,
    Somebody,
)
from tests.soft_phone import SoftPhone

NOBODY = ("任何人", "anybody")
LOGGERS = ("xinyin", "uvicorn")
"""Those that ``xinyin serve`` writes to its file."""


@dataclass(frozen=True)
class Surface:
    """Something that shows data to somebody; ``look`` gives the text that was searched."""

    group: str
    zh: str
    en: str
    viewer: tuple[str, str]
    look: Callable[[], str]


class Marked:
    """The node's side of it: what was issued, put on phones, authorised, verified, asked; and everything that was logged."""

    def __init__(self, service: Service, logged: list[str]) -> None:
        self.service, self.node, self.logged = service, service.node, logged
        self._open = ExitStack()
        operator = self.node.actor(None)
        federation = self.node.seals.create(
            operator, owner_name="云江市残疾人联合会", owner_uscc="11310000MB0X700355", idempotency_key="federation"
        )
        registrar = service.registrar()
        self.business, self.business_pdf = self.node.licences.issue(
            operator, "business-licence", BUSINESS, seal_id=registrar["id"]
        )
        self.certificate, self.certificate_pdf = self.node.licences.issue(
            operator, "disability-certificate", CERTIFICATE, seal_id=federation["id"]
        )
        self.node.renew_trust()
        self.representative, self.staff, self.holder, self.stranger = map(
            self.signed_in, (REPRESENTATIVE, STAFF, HOLDER, STRANGER)
        )
        self.copies = [
            self._download(self.representative, self.business),
            self._download(self.holder, self.certificate),
        ]
        self.grant = self.node.grants.authorise(
            self.representative,
            self.business["id"],
            kind="staff",
            name=STAFF.name,
            id_number=STAFF.id_number,
            matters=["open-bank-account"],
            until=datetime.now(UTC) + timedelta(days=30),
        )
        self.copies.append(self._download(self.staff, self.business))
        self.annotated, self.annotated_pdf = self.node.annotated.make(
            self.holder,
            self.certificate["id"],
            purpose="办理公园免票",
            until=datetime.now(UTC).date() + timedelta(days=30),
            matter="park-entry",
        )
        self.window = self.node.accounts.get("window")
        self.node.counter.reader = lambda: SimulatedReader([(HOLDER.name, HOLDER.id_number)])
        self.visit = self.node.counter.identify(self.window, HOLDER.name)["id"]
        self.refusals = list(self._refused())

    def close(self) -> None:
        self._open.close()

    def signed_in(self, one: Somebody) -> Citizen:
        return self.node.citizens.signed_in(Statement("https://identity.test", one.id_number[-6:], one.name, one.id_number))

    def citizen(self, whose: Citizen) -> httpx.Client:
        """The browser of a citizen."""
        token = self.node.citizens.open_session(whose).token
        return self._client({CITIZEN_COOKIE: token})

    def clerk(self, account: str) -> httpx.Client:
        """The browser of somebody who works here."""
        return self._client({COOKIE: self.node.accounts.open_session(self.node.accounts.get(account)).token})

    def _client(self, cookies: dict[str, str]) -> httpx.Client:
        return self._open.enter_context(
            httpx.Client(base_url=self.service.url, cookies=cookies, headers={"Accept": "text/html"}, timeout=120)
        )

    def _download(self, who: Citizen, licence: dict[str, Any]) -> dict[str, Any]:
        proof = SoftPhone().proof(self.node.copies.challenge(who))
        return self.node.copies.download(who, licence["id"], device=DEVICE, proof=proof)

    def _refused(self) -> Iterator[str]:
        """What people read who made a mistake with data of theirs."""
        wrong = HOLDER.id_number[:17] + ("0" if HOLDER.id_number[17] != "0" else "1")
        operator = self.node.actor(None)
        attempts: list[Callable[[], Any]] = [
            lambda: self.node.licences.issue(operator, "business-licence", {**BUSINESS, "representative_id": wrong}),
            lambda: self.node.licences.issue(operator, "disability-certificate", {**CERTIFICATE, "born": "yesterday"}),
            lambda: self.node.licences.issue(operator, "disability-certificate", {**CERTIFICATE, HOLDER.name: "x"}),
            lambda: self.signed_in(Somebody(HOLDER.name, wrong)),
            lambda: self.node.licences.show(operator, HOLDER.id_number),
            lambda: self.node.copies.download(
                self.stranger,
                self.business["id"],
                device=DEVICE,
                proof=SoftPhone().proof(self.node.copies.challenge(self.stranger)),
            ),
        ]
        for attempt in attempts:
            with suppress(LookupError):
                try:
                    attempt()
                except XinyinError as exc:
                    yield json.dumps(exc.to_dict(), ensure_ascii=False, default=str)
        with self.service.client() as client:  # numbers where they do not belong: in an address, in a form
            for path in (f"/api/v1/licences/{HOLDER.id_number}", f"/verify/{HOLDER.id_number}"):
                yield client.get(path).text
            yield client.post("/api/v1/oidc", data={"number": HOLDER.id_number}).text

    # -- the counter -----------------------------------------------------------------------------------------------------

    def yes_or_no(self) -> str:
        said = self.node.counter.ask(self.window, self.visit, "disability-certificate", "park-entry")
        assert said["holds"]
        return json.dumps(said, ensure_ascii=False) + self.page(self.clerk("window"), f"/counter/{self.visit}")

    def at_the_counter(self) -> str:
        browser = self.clerk("window")
        page = browser.get(f"/counter/{self.visit}").text
        token = re.search(r'name="csrf" value="([^"]+)"', page)
        assert token
        form = {"csrf": token.group(1), "licence": self.certificate["id"], "matter": "park-entry"}
        answer = browser.post(f"/counter/{self.visit}/see", data=form, follow_redirects=True)
        assert answer.status_code == 200, answer.text[:500]
        return looking.of_page(answer.text)

    def phone_lost(self) -> str:
        """The pages on which somebody at the counter says which phone was lost."""
        (phone,) = self.node.counter.standing(self.window, self.visit)["phones"]
        pages = (f"/counter/{self.visit}/withdraw?what={what}" for what in ("phones", phone["id"]))
        return self.page(self.clerk("window"), *pages)

    def typed(self) -> str:
        """The result page of whoever types the 查验码 of the copy."""
        answer = self._client({}).post("/check", data={"code": self.annotated["check_code"]}, follow_redirects=True)
        assert answer.status_code == 200, answer.text[:500]
        return looking.of_page(answer.text)

    # -- what is looked at ------------------------------------------------------------------------------------------------

    def asked(self, account: str | None, path: str) -> str:
        with self.service.client(account) as client:
            answer = client.get(path)
        return (
            looking.of_json(answer.text) if "json" in answer.headers.get("content-type", "") else looking.of_page(answer.text)
        )

    def wallet(self, whose: Citizen, *paths: str) -> str:
        browser = self.citizen(whose)
        answers = [browser.get(f"/api/v1/wallet/{path}") for path in paths]
        assert all(one.status_code == 200 for one in answers), [one.text for one in answers]
        return "".join(looking.of_json(one.text) for one in answers)

    def page(self, browser: httpx.Client | None, *paths: str) -> str:
        client = browser or self._client({})
        texts = []
        for path in paths:
            answer = client.get(path, follow_redirects=True)
            assert answer.status_code == 200, (path, answer.status_code)
            texts.append(looking.of_page(answer.text))
        return "".join(texts)

    def verified(self, data: bytes, *, as_page: bool) -> str:
        client = self._client({})
        files = {"file": ("licence.pdf", data, "application/pdf")}
        if not as_page:
            return looking.of_json(client.post("/api/v1/verifications", files=files).text)
        answer = client.post("/verify", files=files, follow_redirects=True)
        assert answer.status_code == 200, answer.text[:500]
        return looking.of_page(answer.text)

    def compact(self, copy: dict[str, Any]) -> str:
        raw = copy["credential"]
        return looking.of_value(codes.read_credential(_b64(raw)).claims)

    def rows(self, *tables: str) -> str:
        with self.node.db.read() as session:
            return "".join(str(tuple(row)) for table in tables for row in session.execute(sa.text(f'SELECT * FROM "{table}"')))

    def leaves(self) -> str:
        with self.node.db.read() as session:
            rows = session.scalars(sa.select(AuditLeafRow)).all()
        return "".join(str({name: value for name, value in vars(row).items() if not name.startswith("_")}) for row in rows)

    @cached_property
    def annotated_code(self) -> dict[str, Any]:
        return self.node.annotated.by_check_code(self.annotated["check_code"])

    @property
    def receipt(self) -> str:
        return looking.of_json(json.dumps(self.issued_receipt, ensure_ascii=False, default=str))

    @property
    def receipt_page(self) -> str:
        return f"/receipts/{self.issued_receipt['id']}"

    @cached_property
    def issued_receipt(self) -> dict[str, Any]:
        verdict = self.service.app.state.verifier.verify(self.certificate_pdf, name="certificate.pdf")
        presented = Presented(self.certificate["document_sha256"], "file", matter="park-entry")
        return self.node.receipts.issue(self.window, verdict, presented)

    @cached_property
    def letter(self) -> bytes:
        enquiry = Neighbour(self.node).ask(self.certificate["identifier"])
        self.node.enquiries.answer(self.node.actor(None), enquiry)
        return self.node.enquiries.letter(self.node.actor(None), enquiry)

    def kept_in(self, values: tuple[str, ...]) -> list[str]:
        """``table.column`` of everything in the database that holds one of these values."""
        found = set()
        with self.node.db.read() as session:
            for table in sa.inspect(self.node.db.engine).get_table_names():
                for row in session.execute(sa.text(f'SELECT * FROM "{table}"')).mappings():
                    found |= {f"{table}.{name}" for name, cell in row.items() if any(one in _readable(cell) for one in values)}
        return sorted(found)

    def files_with(self, values: tuple[str, ...]) -> list[Path]:
        """Files of the home, but the database and the blobs of documents, that hold one of these values as text."""
        return [
            path
            for path in self.node.home.rglob("*")
            if path.is_file() and not path.name.startswith("db.sqlite") and "blobs" not in path.parts
            if any(one.encode() in path.read_bytes() for one in values)
        ]


def surfaces(m: Marked) -> list[Surface]:
    """In the order of the table."""
    b, c = m.business["id"], m.certificate["id"]
    holder, representative, staff = (
        ("持证人本人", "the holder"),
        ("法定代表人本人", "the representative"),
        ("办事人本人", "the staff member"),
    )
    clerk, auditor = ("证照经办人", "licensing clerk"), ("审计员", "auditor")
    window = ("窗口人员", "window clerk")
    in_hand = ("拿到文件的人", "whoever has the file")
    scanning = ("扫码的人", "whoever scans it")
    shown = ("看到手机的人", "whoever is shown it")
    machine = ("运维人员", "operations")
    documents, phone, http, pages, traces = (
        "文件与码 / documents and codes",
        "手机 / phone",
        "接口 / HTTP",
        "页面 / pages",
        "痕迹 / traces",
    )
    wallet = ("licences", "copies", "grants")
    phone_pages = ("/phone", "/phone/authorise", "/phone/uses", "/phone/lost", "/phone/settings")
    return [
        Surface(documents, "营业执照 PDF", "business licence, PDF", in_hand, lambda: looking.of_pdf(m.business_pdf)),
        Surface(documents, "残疾人证 PDF", "disability certificate, PDF", in_hand, lambda: looking.of_pdf(m.certificate_pdf)),
        Surface(documents, "营业执照上的码", "code on the business licence", scanning, lambda: _code(m.business)),
        Surface(documents, "残疾人证上的码", "code on the certificate", scanning, lambda: _code(m.certificate)),
        Surface(documents, "加注件 PDF", "copy for one purpose, PDF", in_hand, lambda: looking.of_pdf(m.annotated_pdf)),
        Surface(documents, "加注件上的码", "code on a copy for one purpose", scanning, lambda: _code(m.annotated_code)),
        Surface(
            documents,
            "协查复函 PDF",
            "letter that answers an enquiry",
            ("外省窗口", "the other region"),
            lambda: looking.of_pdf(m.letter),
        ),
        Surface(documents, "核验回执", "receipt", ("核验单位", "the verifying organ"), lambda: m.receipt),
        Surface(phone, "执照亮码（法定代表人）", "code shown by the representative", shown, lambda: m.compact(m.copies[0])),
        Surface(phone, "执照亮码（办事人）", "code shown by staff", shown, lambda: m.compact(m.copies[2])),
        Surface(phone, "残疾人证亮码", "code shown of the certificate", shown, lambda: m.compact(m.copies[1])),
        Surface(
            phone,
            "SD-JWT，不披露任何项",
            "SD-JWT, nothing disclosed",
            shown,
            lambda: looking.of_page(m.copies[1]["sd_jwt"].partition("~")[0]),
        ),
        Surface(
            phone,
            "SD-JWT，全部披露",
            "SD-JWT, everything disclosed",
            ("持证人选定的人", "whom the holder chooses"),
            lambda: looking.of_page(m.copies[1]["sd_jwt"]),
        ),
        Surface(http, "`/wallet/*`", "`/wallet/*`", representative, lambda: m.wallet(m.representative, *wallet)),
        Surface(http, "`/wallet/*`", "`/wallet/*`", staff, lambda: m.wallet(m.staff, *wallet)),
        Surface(http, "`/wallet/*`", "`/wallet/*`", holder, lambda: m.wallet(m.holder, *wallet)),
        Surface(http, "`/wallet/*`", "`/wallet/*`", ("其他个人", "another citizen"), lambda: m.wallet(m.stranger, *wallet)),
        Surface(
            http,
            "`/licences/{id}`",
            "`/licences/{id}`",
            clerk,
            lambda: m.asked("clerk", f"/api/v1/licences/{b}") + m.asked("clerk", f"/api/v1/licences/{c}"),
        ),
        Surface(http, "`/licences`", "`/licences`", clerk, lambda: m.asked("clerk", "/api/v1/licences")),
        Surface(http, "`/licences/{id}`", "`/licences/{id}`", auditor, lambda: m.asked("auditor", f"/api/v1/licences/{c}")),
        Surface(
            http,
            "`/licences/{id}`",
            "`/licences/{id}`",
            ("窗口以外、未登录", "nobody"),
            lambda: m.asked(None, f"/api/v1/licences/{c}"),
        ),
        Surface(
            http,
            "`/verifications`：营业执照",
            "`/verifications`: business licence",
            NOBODY,
            lambda: m.verified(m.business_pdf, as_page=False),
        ),
        Surface(
            http,
            "`/verifications`：残疾人证",
            "`/verifications`: certificate",
            NOBODY,
            lambda: m.verified(m.certificate_pdf, as_page=False),
        ),
        Surface(
            pages, "核验结果：营业执照", "result: business licence", NOBODY, lambda: m.verified(m.business_pdf, as_page=True)
        ),
        Surface(
            pages, "核验结果：残疾人证", "result: certificate", NOBODY, lambda: m.verified(m.certificate_pdf, as_page=True)
        ),
        Surface(pages, "查验码结果", "result of a typed 查验码", NOBODY, m.typed),
        Surface(pages, "窗口：是或否", "counter: yes or no", window, m.yes_or_no),
        Surface(
            pages, "窗口：为事项查看", "counter: the licence, for a matter", ("窗口人员", "window clerk"), m.at_the_counter
        ),
        Surface(pages, "窗口：手机挂失", "counter: a phone was lost", ("窗口人员", "window clerk"), m.phone_lost),
        Surface(
            pages,
            "窗口：给本人的单子",
            "counter: the slip",
            holder,
            lambda: m.page(m.clerk("window"), f"/counter/{m.visit}/slip"),
        ),
        *(
            Surface(pages, "手机证照", "phone pages", viewer, lambda who=who: m.page(m.citizen(who), *phone_pages))
            for viewer, who in (
                (representative, m.representative),
                (staff, m.staff),
                (holder, m.holder),
                (("其他个人", "another citizen"), m.stranger),
            )
        ),
        Surface(pages, "回执列表与回执", "receipts", window, lambda: m.page(m.clerk("window"), "/receipts", m.receipt_page)),
        Surface(
            pages,
            "手机证照（未登录）",
            "phone pages, not signed in",
            NOBODY,
            lambda: m.page(None, "/phone/show", "/phone/signin"),
        ),
        Surface(
            pages,
            "审计",
            "audit",
            auditor,
            lambda: m.page(
                m.clerk("auditor"),
                "/audit",
                f"/audit/trace?id={b}",
                f"/audit/trace?id={c}",
                f"/audit/trace?id={m.copies[0]['id']}",
            ),
        ),
        Surface(pages, "错误页与错误应答", "errors", ("出错的人", "whoever made the mistake"), lambda: "".join(m.refusals)),
        Surface(traces, "审计日志", "audit leaves", auditor, m.leaves),
        Surface(
            traces,
            "状态列表、信任列表、`/healthz`、`/readyz`",
            "status lists, trust list, health",
            NOBODY,
            lambda: "".join(m.asked(None, path) for path in _public(m)),
        ),
        Surface(traces, "`/metrics`", "`/metrics`", machine, lambda: m.asked(None, "/metrics")),
        Surface(
            traces,
            "发给其他系统和地区的消息",
            "notices to other systems and regions",
            ("订阅的系统", "systems that subscribe"),
            lambda: m.rows("events", "deliveries", "peer_messages"),
        ),
        Surface(traces, "服务日志", "service log", machine, lambda: "\n".join(m.logged)),
    ]


def _public(m: Marked) -> list[str]:
    lists = [f"/status/{one.id}" for one in m.node.status_lists.lists()]
    return ["/trust/list.jws", "/status/seals.jws", "/healthz", "/readyz", *lists]


def _code(licence: dict[str, Any]) -> str:
    return looking.of_value(codes.decode(licence["code"]).claims)  # type: ignore[union-attr]


def _b64(text: str) -> bytes:
    import base64

    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _readable(cell: object) -> str:
    """A cell as text, JSON escapes undone."""
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "ignore")
    text = str(cell)
    if text[:1] in "{[":
        with suppress(ValueError):
            return json.dumps(json.loads(text), ensure_ascii=False)
    return text


@contextmanager
def everything_logged() -> Iterator[list[str]]:
    """Every line that the service's loggers write, as it would stand in its file; its own even below the usual level."""
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler, ours = Kept(), logging.getLogger("xinyin")
    before = ours.level
    ours.setLevel(logging.DEBUG)
    for name in LOGGERS:
        logging.getLogger(name).addHandler(handler)
    try:
        yield lines
    finally:
        ours.setLevel(before)
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(handler)


__all__ = ["REGION", "Marked", "Surface", "everything_logged", "surfaces"]
