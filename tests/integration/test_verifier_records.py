"""Receipts say what was verified and nothing personal; uses reach the holder; what goes on provisionally has a supervisor."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from formats import jose
from people.schemas import Account
from policies.authorise import NotAllowed
from records.provisional import BadProvisional, NoSuchProvisional, ProvisionalStands
from records.receipts import NoSuchReceipt
from tests.edited_rows import findings_after
from tests.node_home import Service, founded_home, serving
from tests.verifier_world import DATA, Shown, jpeg, picture
from verify.receipt import BadReceipt, belongs, check

PERSONAL = (DATA["name"], DATA["representative"], DATA["uscc"])


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home("verifier-records")) as running:
        yield running


@pytest.fixture(scope="module")
def shown(service: Service) -> Shown:
    return Shown(service, "records")


def account(service: Service, name: str) -> Account:
    return service.node.accounts.get(name)


def verified(service: Service, data: bytes, who: str | None = "window", **form: str) -> dict[str, Any]:
    with service.client(who) as http:
        answer = http.post("/api/v1/verifications", files={"file": ("licence.pdf", data)}, data=form)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def doubtful(service: Service, shown: Shown) -> str:
    """A receipt whose answer was to check."""
    code = shown.suspended[0]["code"]
    verdict = service.app.state.verifier.verify_code(code, matter="open-bank-account")
    assert verdict["answer"]["decision"] == "check", verdict["answer"]
    return str(service.app.state.verifier.receipt(account(service, "window"), verdict)["id"])


def test_a_receipt_is_signed_by_the_listed_key_and_is_about_that_file(service: Service, shown: Shown) -> None:
    licence, document = shown.good
    verdict = verified(service, document, receipt="true", matter="open-bank-account")
    receipt = verdict["receipt"]
    found = check(receipt["jws"], service.node.trust_store())
    assert (found["status"], found["region"], found["matter"]) == ("genuine", "310000", "open-bank-account")
    assert found["answer"]["decision"] == verdict["answer"]["decision"] == receipt["decision"]
    assert found["licence"]["sha256"] == hashlib.sha256(licence["identifier"].encode()).hexdigest()
    assert belongs(found, document)
    assert not belongs(found, document + b" ")
    assert found["lists"][0]["sequence"] >= 1


def test_a_receipt_holds_nothing_personal(service: Service, shown: Shown) -> None:
    licence, document = shown.good
    receipt = verified(service, document, receipt="true")["receipt"]
    said = json.dumps(receipt["claims"], ensure_ascii=False)
    for word in (*PERSONAL, licence["identifier"], account(service, "window").display_name, "licence.pdf"):
        assert word not in said


def test_an_altered_receipt_or_one_of_a_strangers_key_is_refused(service: Service, shown: Shown) -> None:
    receipt = verified(service, shown.withdrawn[1], receipt="true")["receipt"]
    assert receipt["decision"] == "refuse"
    head, body, signature = receipt["jws"].split(".")
    claims = jose.claimed(receipt["jws"], max_payload=1 << 16)[1]
    from crypto.keys import SoftwareKey
    from crypto.suites import Suite

    stranger = jose.sign({"typ": "xinyin-receipt+jwt"}, claims, SoftwareKey.generate(Suite.P256))
    notice = jose.sign({"typ": "secevent+jwt"}, claims, service.node.receipt_signer())
    for forged in (f"{head}.{body[:-4]}AAAA.{signature}", stranger, notice, "x", ""):
        with pytest.raises(BadReceipt):
            check(forged, service.node.trust_store())


def test_receipts_need_an_account_and_are_seen_by_their_department(service: Service, shown: Shown) -> None:
    with service.client() as nobody:
        answer = nobody.post("/api/v1/verifications", files={"file": ("a", b"x")}, data={"receipt": "true"})
        assert answer.status_code == 401
    receipt = verified(service, shown.good[1], receipt="true")["receipt"]
    node = service.node
    other = node.accounts.create("elsewhere", "another window far away", roles=("window_clerk",), department=None)
    with pytest.raises(NoSuchReceipt):
        node.receipts.show(other, receipt["id"])
    assert node.receipts.show(account(service, "signer"), receipt["id"])["id"] == receipt["id"]
    assert receipt["id"] not in [one["id"] for one in node.receipts.list(other).items]


def test_the_command_checks_a_receipt_without_network_and_names_another_document(
    service: Service, shown: Shown, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "licence.pdf"
    document.write_bytes(shown.good[1])
    receipt = tmp_path / "receipt.jws"
    receipt.write_text(verified(service, shown.good[1], receipt="true")["receipt"]["jws"], "ascii")
    home = str(service.node.home)
    assert main(["receipt", "verify", str(receipt), "--document", str(document), "--home", home, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "genuine"
    document.write_bytes(b"another")
    assert main(["receipt", "verify", str(receipt), "--document", str(document), "--home", home, "--json"]) != 0
    assert main(["receipt", "verify", str(receipt), "--home", str(tmp_path), "--json"]) != 0  # a stranger's trust


def test_the_holders_licence_remembers_who_used_it_for_what(service: Service, shown: Shown) -> None:
    licence, document = shown.issue("used")
    before = service.node.uses.of_licence(licence["id"])
    verified(service, document, who=None)  # without an account nobody is named
    assert service.node.uses.of_licence(licence["id"]) == before
    seen = verified(service, document, matter="park-entry")  # whoever works here is, receipt or not
    assert [one["matter"] for one in service.node.uses.of_licence(licence["id"])] == ["park-entry"]
    service.app.state.verifier.receipt(account(service, "window"), seen)  # of the same verdict: no second use
    assert len(service.node.uses.of_licence(licence["id"])) == 1
    verified(service, b"%PDF-1.7 " + document[9:-40])  # what does not hold writes into nobody's list
    assert len(service.node.uses.of_licence(licence["id"])) == 1
    verified(service, document, receipt="true", matter="tax-registration")
    photo = jpeg(picture(licence["code"], angle=20))
    verified(service, photo, receipt="true", matter="open-bank-account")
    newest, older = service.node.uses.of_licence(licence["id"])[:2]
    assert (newest["matter"], newest["channel"], older["matter"]) == ("open-bank-account", "photo", "tax-registration")
    assert newest["organ"] == older["organ"] != ""
    leaves = service.node.audit.history(licence["id"])
    assert [leaf.kind for leaf in leaves].count("licence.used") == 3


def test_a_camera_frame_is_judged_when_it_shows_a_licence_code(service: Service, shown: Shown) -> None:
    with service.client() as http:
        blank = http.post("/api/v1/verifications/scan", files={"frame": ("f.jpg", jpeg(picture("https://example.net/x")))})
        assert (blank.status_code, blank.json()) == (200, {"found": False, "verdict": None})
        frame = jpeg(picture(shown.good[0]["code"], angle=10))
        found = http.post("/api/v1/verifications/scan", files={"frame": ("f.jpg", frame)}).json()
    assert found["found"]
    assert found["verdict"]["licence"]["number"] == DATA["uscc"]
    assert found["verdict"]["presented"]["channel"] == "camera"


def test_codes_are_seen_once_by_every_process_of_the_node(service: Service) -> None:
    from records.seen import SeenCodes

    until = datetime.now(UTC) + timedelta(minutes=2)
    assert service.node.seen_codes.first(b"one", until)
    assert not SeenCodes(service.node.db, service.node.region).first(b"one", until)
    assert service.node.seen_codes.first(b"two", until)
    later = SeenCodes(service.node.db, service.node.region, now=lambda: until + timedelta(seconds=1))
    assert later.first(b"one", until + timedelta(minutes=5))


def test_going_on_takes_a_supervisor_of_the_department_who_is_not_oneself(service: Service, shown: Shown) -> None:
    node, clerk, signer = service.node, account(service, "window"), account(service, "signer")
    receipt = doubtful(service, shown)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    wish: dict[str, Any] = {"reason": "颁发机构系统检修，已电话核实", "bring": "营业执照原件", "until": tomorrow}
    for supervisor in (clerk.id, account(service, "handler").id, "account_nobody"):
        with pytest.raises(NotAllowed):
            node.provisionals.record(clerk, receipt, supervisor=supervisor, **wish)
    with pytest.raises(BadProvisional):
        node.provisionals.record(clerk, receipt, supervisor=signer.id, **{**wish, "until": tomorrow - timedelta(days=9)})
    made = node.provisionals.record(clerk, receipt, supervisor=signer.id, **wish)
    assert made["status"] == "waiting"
    with pytest.raises(ProvisionalStands):
        node.provisionals.record(clerk, receipt, supervisor=signer.id, **wish)
    with pytest.raises(NotAllowed):
        node.provisionals.decide(clerk, made["id"], confirm=True)
    with pytest.raises(NotAllowed):
        node.provisionals.fulfil(clerk, made["id"])
    assert made["id"] in [one["id"] for one in node.provisionals.list(signer, waiting=True).items]
    assert node.provisionals.decide(signer, made["id"], confirm=True, note="同意")["status"] == "confirmed"
    with pytest.raises(NotAllowed):
        node.provisionals.decide(signer, made["id"], confirm=False)
    assert node.provisionals.fulfil(clerk, made["id"])["status"] == "fulfilled"
    kinds = [leaf.kind for leaf in node.audit.history(made["id"])]
    assert {"provisional.recorded", "provisional.confirmed", "provisional.fulfilled"} <= set(kinds)
    with pytest.raises(NoSuchProvisional):
        node.provisionals.show(_stranger(service), made["id"])


def _stranger(service: Service) -> Account:
    return service.node.accounts.create("yonder", "a window even farther", roles=("window_clerk",), department=None)


def test_what_is_refused_is_not_gone_on_with(service: Service, shown: Shown) -> None:
    clerk, signer = account(service, "window"), account(service, "signer")
    for which, decision in ((shown.withdrawn, "refuse"), (shown.good, "accept")):
        verdict = service.app.state.verifier.verify_code(which[0]["code"])
        assert verdict["answer"]["decision"] == decision
        receipt = service.app.state.verifier.receipt(clerk, verdict)["id"]
        with pytest.raises(NotAllowed):
            service.node.provisionals.record(
                clerk, receipt, supervisor=signer.id, reason="无须", bring="原件", until=datetime.now(UTC).date() + timedelta(1)
            )


def test_the_slip_says_what_happens_next_and_names_nobody(service: Service, shown: Shown) -> None:
    node, clerk, signer = service.node, account(service, "window"), account(service, "signer")
    receipt = doubtful(service, shown)
    code = node.receipts.slip(clerk, receipt)
    assert node.receipts.slip(clerk, receipt) == code
    with service.client() as nobody:
        first = nobody.get(f"/api/v1/slips/{code.lower()}").json()
        assert (first["status"], first["bring"]) == ("check", None)
        until = datetime.now(UTC).date() + timedelta(days=3)
        node.provisionals.record(
            clerk, receipt, supervisor=signer.id, reason="内部理由不外露", bring="营业执照原件", until=until
        )
        then = nobody.get(f"/api/v1/slips/{code}")
        assert (then.json()["status"], then.json()["bring"]) == ("waiting", "营业执照原件")
        for word in ("内部理由", clerk.display_name, signer.display_name, *PERSONAL):
            assert word not in then.text
        assert nobody.get("/api/v1/slips/" + "0" * 20).status_code == 404


def test_another_regions_notice_of_a_use_counts_once_and_a_strange_one_not_at_all(service: Service, shown: Shown) -> None:
    from records.peers import Message
    from records.uses import BadUse

    licence = shown.issue("abroad")[0]
    body = {
        "licence": licence["identifier"],
        "token": None,
        "organ": "云溪市农商银行（样本）",
        "matter": "open-bank-account",
        "decision": "accept",
        "channel": "camera",
        "at": "2026-11-20T08:00:00Z",
    }
    for _ in range(1):
        take = service.node.uses.handle(Message("m1", "330000", "use", body, datetime.now(UTC)))
        service.node.db.run(take)
    (found,) = service.node.uses.of_licence(licence["id"])
    assert (found["organ"], found["region"]) == ("云溪市农商银行（样本）", "330000")
    for wrong in ({"decision": "perhaps"}, {"at": "soon"}, {"more": 1}, {"organ": ""}, {"channel": "x"}, {"matter": 5}):
        with pytest.raises(BadUse):
            service.node.uses.handle(Message("m2", "330000", "use", {**body, **wrong}, datetime.now(UTC)))


@pytest.mark.parametrize(
    ("table", "edit"),
    [
        *[("receipts", edit) for edit in ("decision='accept'", "jws=jws||' '", "matter='other'", "account='x'", "slip='x'")],
        *[("provisionals", edit) for edit in ("status='fulfilled'", "reason='x'", "supervisor='x'", "bring='x'")],
    ],
)
def test_an_edited_receipt_or_what_was_gone_on_with_is_noticed(service: Service, shown: Shown, table: str, edit: str) -> None:
    signer = account(service, "signer").id
    day = datetime.now(UTC).date() + timedelta(days=3)
    service.node.provisionals.record(
        account(service, "window"), doubtful(service, shown), supervisor=signer, reason="已电话核实", bring="原件", until=day
    )
    assert findings_after(service.node, "SELECT 1") == []
    found = findings_after(service.node, f"UPDATE {table} SET {edit} WHERE id=(SELECT max(id) FROM {table})")
    assert [(one.code, edit.partition("=")[0] in one.message) for one in found] == [("row-edited", True)]
