"""The seal desk's pages: from an upload to a delivered document, returned and mended, voided and replaced; and the walls."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from api.sessions import COOKIE, Session
from ceremonies.sample import REGISTRAR
from crypto.errors import XinyinError
from tests.documents import office_document
from tests.node_home import EXAMPLES, Service, founded_home, serving

APPROVAL = (EXAMPLES / "approval.pdf").read_bytes()
DRAFT = re.compile(r"/desk/new/(draft_\w+)")
APPLICATION = re.compile(r"application_\w+")


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home()) as running:
        running.seal()
        department = next(d for d in running.node.accounts.departments() if d.name == REGISTRAR)
        for name, roles in (("other", ("handler",)), ("other-keeper", ("seal_keeper", "signer_off"))):
            if name not in {one.name for one in running.node.accounts.accounts(limit=1000)}:
                running.node.accounts.create(name, "a long enough password", roles=roles, department=department.id)
        yield running


class Browser:
    """A signed-in browser without a script."""

    def __init__(self, service: Service, who: str) -> None:
        account = service.node.accounts.get(who)
        token = service.node.accounts.open_session(account).token
        self.csrf = Session(account, token).csrf
        self.http = httpx.Client(base_url=service.url, cookies={COOKIE: token}, headers={"Accept": "text/html"}, timeout=120)

    def get(self, path: str) -> httpx.Response:
        return self.http.get(path)

    def post(self, path: str, files: object = None, **fields: str) -> httpx.Response:
        return self.http.post(path, data={"csrf": self.csrf, **fields}, files=files)  # type: ignore[arg-type]

    def upload(self, *files: tuple[str, bytes], **fields: str) -> str:
        """The draft's address."""
        answer = self.post("/desk/new", [("file", (name, data, "application/pdf")) for name, data in files], **fields)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def apply(self, name: str, data: bytes = APPROVAL, **fields: str) -> str:
        """Upload and hand in; the application's address."""
        draft = self.upload((name, data), **{k: v for k, v in fields.items() if k == "replaces"})
        answer = self.post(draft, do="submit", title=name.removesuffix(".pdf"), **fields)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def act(self, address: str, do: str, **fields: str) -> None:
        answer = self.post(address, do=do, **fields)
        assert answer.status_code == 303, re.findall(r'role="alert".*?</div>', answer.text, re.S)


@contextmanager
def people(service: Service, *names: str) -> Iterator[list[Browser]]:
    opened = [Browser(service, name) for name in names]
    yield opened
    for one in opened:
        one.http.close()


def test_an_application_goes_its_way_on_the_pages(service: Service) -> None:
    with people(service, "handler", "reviewer", "signer", "keeper") as (handler, reviewer, signer, keeper):
        address = handler.apply("站点批复.pdf", matter="approval-reply", number="云审批〔2026〕1 号", applicant="青禾公司")
        assert "站点批复" in reviewer.get("/desk").text, "it waits for the reviewer"
        assert "站点批复" not in signer.get("/desk").text
        page = reviewer.get(address).text
        content = re.search(r'name="content" value="([0-9a-f]{64})"', page)
        assert content
        assert "样本 审核人" in page, "who has it"
        reviewer.act(address, "review", content=content[1])
        signer.act(address, "sign-off", content=content[1])
        keeper.act(address, "seal")
        sealed = keeper.get(f"{address}/1.pdf?sealed=1")
        assert sealed.content.startswith(APPROVAL)
        assert sealed.headers["content-disposition"].endswith("%E7%AB%99%E7%82%B9%E6%89%B9%E5%A4%8D.pdf")
        assert keeper.get(f"{address}/1/2.png?sealed=1").content.startswith(b"\x89PNG")
        keeper.post(
            address,
            [("receipt_file", ("receipt.jpg", b"x" * 3_000_000, "image/jpeg"))],
            do="deliver",
            recipient="王某",
            method="in-person",
            receipt="签收",
        )
        assert "王某" in keeper.get(address).text
        assert "站点批复" in handler.get("/desk?view=done").text


def test_what_was_changed_after_it_was_looked_at_is_not_signed_off(service: Service) -> None:
    with people(service, "handler", "signer") as (handler, signer):
        address = handler.apply("改动.pdf")
        stale = "0" * 64
        answer = signer.post(address, do="sign-off", content=stale)
        assert answer.status_code == 409
        assert 'role="alert"' in answer.text


def test_returned_with_a_reason_and_mended(service: Service) -> None:
    with people(service, "handler", "signer") as (handler, signer):
        address = handler.apply("待补.pdf", number="错号")
        refused = signer.post(address, do="return")
        assert refused.status_code == 400, "a reason is wanted"
        signer.act(address, "return", note="文号有误，请更正。")
        assert "文号有误，请更正。" in handler.get(address).text
        answer = handler.post(f"{address}/amend")
        draft = answer.headers["location"]
        assert DRAFT.search(draft)
        assert "错号" in handler.get(draft).text, "what was filled in is there to be mended"
        again = handler.post(draft, do="submit", number="云审批〔2026〕2 号")
        assert again.headers["location"].startswith(address)
        page = handler.get(address).text
        assert "云审批〔2026〕2 号" in page
        assert handler.get(draft).status_code == 404, "the draft is gone"


def test_whoever_handled_it_finds_no_button_to_sign_off(service: Service) -> None:
    with people(service, "handler") as (handler,):
        address = handler.apply("自签.pdf")
        assert 'value="sign-off"' not in handler.get(address).text
        assert handler.post(address, do="sign-off").status_code == 403


def test_a_sealed_document_is_voided_with_a_reason_or_replaced(service: Service) -> None:
    with people(service, "handler", "signer", "keeper") as (handler, signer, keeper):
        first = handler.apply("原件.pdf", office_document("有误。"))
        signer.act(first, "sign-off")
        keeper.act(first, "seal")
        asked = keeper.get(f"{first}/void/1").text
        replaces = re.search(r"replaces=(impression_\w+)", asked)
        assert replaces
        second = handler.apply("更正.pdf", office_document("更正。"), replaces=replaces[1])
        signer.act(second, "sign-off")
        keeper.act(second, "seal")
        assert "已被替换" in keeper.get(first).text
        assert keeper.post(f"{second}/void/1", reason=" ").status_code == 400
        assert keeper.post(f"{second}/void/1", reason="事实有误").status_code == 303
        assert "已作废" in keeper.get(second).text
        assert handler.get(f"{second}/void/1").status_code == 303, "a handler is led back"


def test_the_applicant_follows_by_a_link_and_learns_nothing_personal(service: Service) -> None:
    with people(service, "handler", "signer") as (handler, signer), service.client() as anyone:
        address = handler.apply("公开.pdf", applicant="赵某某", contact="13800000000", number="云审批〔2026〕3 号")
        code = re.search(r"/t/([0-9A-Z]{20})", handler.get(address).text)
        assert code
        page = anyone.get(f"/t/{code[1]}").text
        assert "已收件" in page
        assert "云审批〔2026〕3 号" in page
        for personal in ("赵某某", "13800000000", "样本 经办人", "公开.pdf"):
            assert personal not in page
        spoken = " ".join(code[1][i : i + 4] for i in range(0, 20, 4)).lower()
        assert anyone.get("/t", params={"code": spoken}).headers["location"] == f"/t/{code[1]}"
        signer.act(address, "refuse", note="不符合条件")
        page = anyone.get(f"/t/{code[1]}").text
        assert "不予办理" in page
        assert "不符合条件" not in page, "reasons are told by the department"
        assert anyone.get("/t/00000000000000000000").status_code == 404


def test_codes_cannot_be_tried_out_without_end(service: Service) -> None:
    with service.client() as anyone:
        answers = [anyone.get(f"/t/{n:020d}", headers={"Accept": "text/html"}).status_code for n in range(40)]
    assert set(answers) == {404, 429}


def test_another_department_does_not_know_of_it(service: Service) -> None:
    with people(service, "handler", "other", "other-keeper") as (handler, other, keeper):
        draft = handler.upload(("内部.pdf", APPROVAL))
        address = handler.apply("内部申请.pdf")
        for stranger in (other, keeper):
            for path in (
                draft,
                f"{draft}/1/1.png",
                address,
                f"{address}/1.pdf",
                f"{address}/1/1.png",
                f"{address}/confirm?do=refuse",
            ):
                assert stranger.get(path).status_code == 404, path
            for path, fields in ((draft, {"do": "submit"}), (address, {"do": "sign-off"}), (f"{address}/amend", {})):
                assert stranger.post(path, **fields).status_code == 404, path
            assert stranger.post(f"{address}/void/1", reason="x").status_code == 404
            assert "内部申请" not in stranger.get("/desk?view=all").text
            assert "内部申请" not in stranger.get("/desk/list.csv").text
            assert stranger.get(f"/desk/seals/{service.seal()['id']}.png").status_code in (403, 404)
        assert handler.get(draft).status_code == 200, "and it is still there"


def test_nothing_is_done_without_the_form_of_the_session(service: Service) -> None:
    with people(service, "handler") as (handler,):
        address, draft = handler.apply("令牌.pdf"), handler.upload(("令牌.pdf", APPROVAL))
        for path in (address, draft, f"{address}/amend", f"{address}/void/1", "/desk/new"):
            for token in ("", "0" * 64):
                assert handler.http.post(path, data={"csrf": token, "do": "withdraw"}).status_code == 403, path
        with service.client() as nobody:
            assert nobody.get(address, headers={"Accept": "text/html"}).headers["location"].startswith("/signin")
            assert nobody.post(address, data={"do": "withdraw"}, headers={"Accept": "text/html"}).status_code == 401


def test_lists_are_searched_and_written_out_safely(service: Service) -> None:
    with people(service, "handler") as (handler,):
        handler.apply("=1+1 公式.pdf", number="云审批〔2026〕77 号")
        found = handler.get("/desk?view=mine&q=〔2026〕77").text
        assert "公式" in found
        assert "内部申请" not in found
        rows = list(csv.DictReader(io.StringIO(handler.get("/desk/list.csv?view=mine&q=公式").text.removeprefix("\ufeff"))))
        assert [row["标题"] for row in rows] == ["'=1+1 公式"]
        assert rows[0]["状态"] == "办理中"


def test_the_register_of_use_is_a_page_and_a_table(service: Service) -> None:
    with people(service, "handler", "signer", "keeper") as (handler, signer, keeper):
        address = handler.apply("登记样例.pdf", number="云审批〔2026〕88 号", applicant="孙某")
        signer.act(address, "sign-off")
        keeper.act(address, "seal")
        page = keeper.get("/register?q=登记样例").text
        for said in ("云审批〔2026〕88 号", "孙某", "样本 签发人", "样本 印章管理员"):
            assert said in page
        assert "没有符合条件的用印记录" in keeper.get("/register?q=登记样例&until=2020-01-01").text
        assert "登记样例" in keeper.get(f"/register.csv?q=登记样例&seal={service.seal()['id']}").text


def test_a_draft_waits_and_can_be_given_up(service: Service) -> None:
    with people(service, "handler") as (handler,):
        draft = handler.upload(("留着.pdf", APPROVAL), ("第二份.pdf", office_document("二")))
        handler.post(draft, **{"title": "留着再说", "x-1": "55", "y-1": "66", "page-1": "1", "do": "save"})
        assert "留着再说" in handler.get("/desk").text
        again = handler.get(draft).text
        assert 'name="x-1" inputmode="decimal" autocomplete="off" value="55"' in again
        more = handler.post(
            "/desk/new", [("file", ("第三份.pdf", office_document("三"), "application/pdf"))], draft=draft.split("/")[-1]
        )
        assert more.headers["location"] == draft
        assert "第三份.pdf" in handler.get(draft).text
        handler.post(draft, do="remove-2")
        assert "第二份.pdf" not in handler.get(draft).text
        assert handler.post(draft, do="discard").headers["location"] == "/desk"
        assert handler.get(draft).status_code == 404


def test_several_documents_are_one_application(service: Service) -> None:
    with people(service, "handler", "signer", "keeper") as (handler, signer, keeper):
        draft = handler.upload(("甲.pdf", office_document("甲")), ("乙.pdf", office_document("乙")))
        address = handler.post(draft, do="submit", title="两份").headers["location"]
        signer.act(address, "sign-off")
        keeper.act(address, "seal")
        for n in (1, 2):
            assert b"/ByteRange" in keeper.get(f"{address}/{n}.pdf?sealed=1").content


def test_handing_in_twice_makes_one_application(service: Service) -> None:
    with people(service, "handler") as (handler,):
        draft = handler.upload(("一次.pdf", office_document("一次")))
        name = DRAFT.search(draft)
        assert name
        uploads, account = service.app.state.uploads, service.node.accounts.get("handler")
        upload = uploads.get(account.id, name[1])
        one = handler.post(draft, do="submit").headers["location"]
        uploads.directory.joinpath(upload.id).mkdir(exist_ok=True)
        uploads.add(upload.__class__(**{**vars(upload), "documents": ()}), [("一次.pdf", office_document("一次"))])
        two = handler.post(draft, do="submit").headers["location"]
        assert APPLICATION.search(one)[0] == APPLICATION.search(two)[0]  # type: ignore[index]


def test_names_of_files_do_no_harm(service: Service) -> None:
    with people(service, "handler") as (handler,):
        draft = handler.upload(("../../etc/<script>alert(1)</script>\u202efdp.pdf", APPROVAL))
        page = handler.get(draft).text
        assert "<script>alert" not in page
        assert "etc" not in page
        assert "\u202e" not in page


def test_an_upload_that_cannot_be_kept_leaves_nothing_behind(service: Service) -> None:
    uploads, account = service.app.state.uploads, service.node.accounts.get("handler")
    with people(service, "handler") as (handler,):
        before = len(uploads.list(account.id))
        for files in (
            [],
            [("file", ("a.txt", b"hello", "text/plain"))],
            [("file", ("a.pdf", b"%PDF-1.7 broken", "application/pdf"))],
        ):
            assert handler.post("/desk/new", files or None).status_code == 400
        assert len(uploads.list(account.id)) == before


def test_forgotten_drafts_are_removed(service: Service) -> None:
    uploads, account = service.app.state.uploads, service.node.accounts.get("handler")
    kept = uploads.create(account.id, [("a.pdf", APPROVAL)])
    assert uploads.tidy() == 0
    assert uploads.tidy(older_than=-1) >= 1
    with pytest.raises(XinyinError):
        uploads.get(account.id, kept.id)
