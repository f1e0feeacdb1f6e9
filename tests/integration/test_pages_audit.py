"""The auditor's pages and addresses: trace a document, check the log, find entries, take proofs away; nobody else sees them."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import sqlalchemy as sa

from api.sessions import COOKIE, Session
from formats.auditlog import load_keys, verify_stream
from tests.node_home import EXAMPLES, Service, founded_home, serving

APPROVAL = (EXAMPLES / "approval.pdf").read_bytes()
HTML = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home()) as running:
        yield running


@pytest.fixture(scope="module")
def sealed(service: Service) -> dict[str, Any]:
    """A use of a seal, under a signed checkpoint, with its document."""
    with service.client("keeper") as keeper:
        form = {"seal": service.seal()["id"], "page": "2", "x_mm": "137", "y_mm": "175"}
        made: dict[str, Any] = keeper.post("/api/v1/impressions", files={"file": APPROVAL}, data=form).json()
        made["document"] = keeper.get(made["document_url"]).content
    service.node.audit.sequence(service.node.checkpoint_key())
    return made


class Browser(httpx.Client):
    """A signed-in browser."""

    def __init__(self, service: Service, account: str) -> None:
        super().__init__(base_url=service.url, timeout=120, headers=HTML)
        found = service.node.accounts.get(account)
        token = service.node.accounts.open_session(found).token
        self.cookies.set(COOKIE, token, domain="127.0.0.1")
        self.csrf = Session(found, token).csrf


@pytest.fixture
def auditor(service: Service) -> Iterator[Browser]:
    with Browser(service, "auditor") as browser:
        yield browser


def test_a_document_is_traced_on_the_page_and_over_http_alike(
    service: Service, auditor: Browser, sealed: dict[str, Any]
) -> None:
    page = auditor.post("/audit/trace", files={"file": ("a.pdf", sealed["document"])}, data={"csrf": auditor.csrf})
    assert page.status_code == 200
    assert "样本 印章管理员" in page.text
    assert "非生产环境下，默认事项视为已签发" in page.text
    assert "第 1 代" in page.text
    with service.client("auditor") as client:
        told = client.post("/api/v1/audit/traces", files={"file": ("a.pdf", sealed["document"])}).json()
        assert [use["id"] for use in told["uses"]] == [sealed["id"]]
        assert client.get("/api/v1/audit/traces", params={"id": sealed["id"]}).json()["uses"] == [
            {**told["uses"][0], "checks": [c for c in told["uses"][0]["checks"] if c["code"] != "same-file"]}
        ]
        assert client.get("/api/v1/audit/traces", params={"id": "nothing"}).status_code == 404
    by_id = auditor.get("/audit/trace", params={"id": sealed["id"]})
    assert "样本 印章管理员" in by_id.text
    assert auditor.get("/audit/trace", params={"id": "<b>nothing</b>"}).status_code == 404
    assert "<b>nothing" not in auditor.get("/audit/trace", params={"id": "<b>nothing</b>"}).text
    assert auditor.post("/audit/trace", files={"file": ("a.pdf", b"x")}, data={"csrf": "wrong"}).status_code == 403


def test_the_whole_log_is_checked_from_the_page_and_what_is_wrong_is_named(
    service: Service, auditor: Browser, sealed: dict[str, Any]
) -> None:
    def finished() -> httpx.Response:
        assert auditor.post("/audit/check", data={"csrf": auditor.csrf}).headers["location"] == "/audit/check"
        deadline = time.monotonic() + 60
        while "data-follow" in (page := auditor.get("/audit/check")).text and time.monotonic() < deadline:
            time.sleep(0.1)
        return page

    assert "日志完整" in finished().text
    with service.node.db.write() as session:
        session.execute(sa.text("UPDATE impressions SET rule='forged' WHERE id=:id"), {"id": sealed["id"]})
    try:
        wrong = finished()
        assert "发现问题" in wrong.text
        assert sealed["id"] in wrong.text
        with service.client("auditor") as client:
            told = client.get("/api/v1/audit/checks").json()
            assert (told["status"], [f["code"] for f in told["findings"]]) == ("damaged", ["row-edited"])
    finally:
        with service.node.db.write() as session:
            values = {"id": sealed["id"], "rule": sealed["rule"]}
            session.execute(sa.text("UPDATE impressions SET rule=:rule WHERE id=:id"), values)
    with service.client("auditor") as client:
        assert client.post("/api/v1/audit/checks").status_code == 202


def test_a_browser_that_comes_back_is_shown_that_the_log_only_grew(
    service: Service, auditor: Browser, sealed: dict[str, Any]
) -> None:
    assert "自您上次查看" not in auditor.get("/audit").text
    assert "没有变化" in auditor.get("/audit").text
    service.node.accounts.issue_token("keeper", "one more leaf")
    service.node.audit.sequence(service.node.checkpoint_key())
    assert re.search(r"只增不改，新增 \d+ 条", auditor.get("/audit").text)


def test_a_browser_that_saw_another_past_is_warned(service: Service, auditor: Browser, sealed: dict[str, Any]) -> None:
    """The database was put back and went on differently: what the browser kept is signed, and this log does not extend it."""
    from base64 import urlsafe_b64encode
    from datetime import UTC, datetime

    from formats.checkpoint import Checkpoint, signed_note

    key = service.node.checkpoint_key()
    other = Checkpoint(service.node.audit.origin, 3, b"\1" * 32, datetime.now(UTC).replace(microsecond=0))
    note = signed_note(other, key.public_key, key.sign_checkpoint(other.body()))
    cookie = f"xinyin_seen_{service.node.region}"
    auditor.cookies.set(cookie, urlsafe_b64encode(note.encode()).decode(), domain="127.0.0.1", path="/audit")
    assert "历史已被改写" in auditor.get("/audit").text
    for junk in ("x", "%00", "AAAA", urlsafe_b64encode(note.replace("3", "4").encode()).decode()):
        auditor.cookies.clear(domain="127.0.0.1", path="/audit")
        auditor.cookies.set(cookie, junk, domain="127.0.0.1", path="/audit")
        assert auditor.get("/audit").status_code == 200


def test_entries_are_found_by_object_kind_person_and_day_and_exported(
    service: Service, auditor: Browser, sealed: dict[str, Any]
) -> None:
    found = auditor.get("/audit/log", params={"subject": sealed["id"]}).text
    assert found.count("/audit/entry/leaf_") == 1
    assert auditor.get("/audit/log", params={"kind": "seal.applied", "who": "keeper"}).text.count("/audit/entry/leaf_") >= 1
    assert "没有符合条件的记录" in auditor.get("/audit/log", params={"until": "2001-01-01"}).text
    for wrong in ({"since": "yesterday"}, {"who": "nobody-of-that-name"}):
        assert auditor.get("/audit/log", params=wrong).status_code in (400, 404)
    first = auditor.get("/audit/log")
    following = re.search(r'href="(/audit/log\?cursor=[^"]+)"', first.text)
    assert following
    leaves = [re.findall(r"/audit/entry/(leaf_\w+)", page.text) for page in (first, auditor.get(following[1]))]
    assert len(leaves[0]) == 50
    assert not set(leaves[0]) & set(leaves[1])
    table = auditor.get("/audit/log.csv", params={"kind": "seal"}).content
    assert table.startswith("\ufeff序号".encode())
    assert sealed["id"].encode() in table
    with service.client("auditor") as client:
        answer = client.get("/api/v1/audit", params={"kind": "seal.applied", "subject": sealed["id"], "limit": 5}).json()
        assert [one["subject"]["impression"] for one in answer["items"]] == [sealed["id"]]
        assert client.get(f"/api/v1/audit/{answer['items'][0]['id']}").json()["kind"] == "seal.applied"


def test_what_is_taken_away_is_checked_with_nothing_but_the_keys(
    service: Service, auditor: Browser, sealed: dict[str, Any]
) -> None:
    trusted = load_keys(auditor.get("/audit/keys").content)
    leaf = service.node.audit.history(sealed["id"])[-1].id
    entry = auditor.get(f"/audit/entry/{leaf}")
    assert f"/audit/proof/{leaf}" in entry.text
    note = auditor.get("/audit/checkpoint").text
    extended = auditor.post("/audit/consistency", files={"file": ("old", note)}, data={"csrf": auditor.csrf})
    for taken in (auditor.get(f"/audit/proof/{leaf}"), auditor.get("/audit/export"), extended):
        assert "attachment" in taken.headers["content-disposition"]
        assert verify_stream(io.StringIO(taken.text), trusted).ok
    with service.client("auditor") as client:
        proof = client.get("/api/v1/audit/consistency", params={"since": client.get("/api/v1/audit/checkpoint").text})
        assert verify_stream(io.StringIO(json.dumps(proof.json())), load_keys(client.get("/api/v1/audit/keys").content)).ok
        assert client.get("/api/v1/audit/consistency", params={"since": "no checkpoint"}).status_code == 400
        assert client.get("/api/v1/audit/state").json()["checkpoint"]["size"] > 0
    bad = auditor.post("/audit/consistency", files={"file": ("old", b"nonsense")}, data={"csrf": auditor.csrf})
    assert bad.status_code == 400
    assert "<main" in bad.text


PAGES = ["/audit", "/audit/log", "/audit/log.csv", "/audit/trace?id=x", "/audit/check", "/audit/checkpoint", "/audit/keys"]


@pytest.mark.parametrize("path", [*PAGES, "/audit/export", "/audit/entry/leaf_x", "/audit/proof/leaf_x"])
def test_the_auditors_pages_are_for_auditors(service: Service, path: str) -> None:
    with httpx.Client(base_url=service.url, headers=HTML) as nobody:
        answer = nobody.get(path)
        assert (answer.status_code, answer.headers.get("location")) == (303, f"/signin?to={quote(path)}")
    for account in ("keeper", "officer", "admin"):
        with Browser(service, account) as other:
            answer = other.get(path)
            assert answer.status_code == 403
            assert "审计员" in answer.text, "it says whom to ask"


def test_no_cell_of_an_export_is_taken_for_a_formula() -> None:
    from api.pages.audit import _csv_line

    assert _csv_line(["=1+1", "@x", "-2", "+3", "plain", 'a"b,c']) == "'=1+1,'@x,'-2,'+3,plain,\"a\"\"b,c\"\r\n"
