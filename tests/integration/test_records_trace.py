"""A document is traced to who sealed it, when, with which key, under which rule and on whose approval, with proof."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ceremonies.node import Node
from ceremonies.sample import APPROVER, sample_uscc
from formats.auditlog import verify_proof
from policies.authorise import NotAllowed
from records import agreement
from records.trace import NothingOnRecord
from seals.placement import Placement
from tests.node_home import EXAMPLES, founded_home

APPROVAL = (EXAMPLES / "approval.pdf").read_bytes()
PLACE = Placement(page=2, x_mm=137, y_mm=175)


class Sealed:
    """A node on real tokens, in which an application was handled, signed off and used."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.auditor = node.actor("auditor")
        self.handler, self.signer, self.keeper = (node.actor(name) for name in ("handler", "signer", "keeper"))
        uscc = sample_uscc(node.region, APPROVER)
        self.seal = node.seals.create(node.actor(None), owner_name=APPROVER, owner_uscc=uscc, idempotency_key="trace")
        applications = node.seals.applications
        self.application = applications.submit(
            self.handler, purpose="use-seal", department=uscc, matter="A-118", seal_id=self.seal["id"]
        )["id"]
        applications.sign_off(self.signer, self.application)
        self.impression, self.document = node.seals.apply(
            self.keeper, APPROVAL, seal_id=self.seal["id"], placement=PLACE, application=self.application, level="LTA"
        )
        node.settle()
        if node.audit.state().pending:
            node.audit.sequence(node.checkpoint_key())
        self.tracer = node.tracer

    def change(self, sql: str, **values: Any) -> None:
        """As somebody with the database in hand does it: past the service, and past its constraints."""
        with closing(sqlite3.connect(str(self.node.db.url.database))) as database, database:
            assert database.execute(sql, values).rowcount > 0

    def findings(self) -> list[Any]:
        with self.node.db.read() as session:
            return [one.finding() for one in agreement.check(session, self.node.region)]


@pytest.fixture(scope="module")
def sealed() -> Iterator[Sealed]:
    with closing(Node.open(founded_home("trace"))) as node:
        yield Sealed(node)


@pytest.fixture
def edited(sealed: Sealed, tmp_path: Path) -> Iterator[Sealed]:
    """The same, its database put back afterwards as it was."""
    path, kept = str(sealed.node.db.url.database), tmp_path / "kept.sqlite"
    with closing(sqlite3.connect(path)) as live, closing(sqlite3.connect(kept)) as copy:
        live.backup(copy)
    yield sealed
    sealed.node.db.close()
    with closing(sqlite3.connect(path)) as live, closing(sqlite3.connect(kept)) as copy:
        copy.backup(live)


def codes(use: dict[str, Any], ok: bool) -> set[str]:
    return {check["code"] for check in use["checks"] if check["ok"] is ok}


def test_a_sealed_document_tells_who_when_which_key_which_rule_and_on_whose_approval(sealed: Sealed) -> None:
    found = sealed.tracer.file(sealed.auditor, sealed.document)
    assert found["status"] == "sealed"
    (use,) = found["uses"]
    assert use["id"] == sealed.impression["id"]
    assert use["who"]["id"] == sealed.keeper.id
    assert use["rule"]["id"] == "signed-off-application"
    assert "签发" in use["rule"]["zh"]
    steps = [(step["kind"], step["who"]["id"]) for step in use["application"]["steps"]][:2]
    assert steps == [("application.submitted", sealed.handler.id), ("application.signed-off", sealed.signer.id)]
    assert (use["key"]["number"], use["key"]["role"]["purpose"]) == (1, "seal_holder")
    assert use["certificate"]["status"] == "good"
    assert not codes(use, False)
    assert {"on-record", "rows", "same-file", "signed-off", "key-used", "key-in-force", "certificate"} <= codes(use, True)


def test_the_proof_that_comes_with_it_is_checked_without_the_database(sealed: Sealed) -> None:
    (use,) = sealed.tracer.file(sealed.auditor, sealed.document)["uses"]
    report = verify_proof(json.loads(json.dumps(use["proof"])), sealed.node.audit_keys())
    assert report.ok
    assert report.leaf is not None
    assert report.leaf["subject"]["impression"] == use["id"]


def test_material_added_behind_a_signature_still_leads_to_its_use(sealed: Sealed) -> None:
    (use,) = sealed.tracer.file(sealed.auditor, sealed.document + b"\n% more")["uses"]
    assert "same-signed-part" in codes(use, True)


def test_an_original_leads_to_what_became_of_it_and_a_changed_document_to_nothing(sealed: Sealed) -> None:
    original = sealed.tracer.file(sealed.auditor, APPROVAL)
    assert (original["status"], original["uses"][0]["id"]) == ("original", sealed.impression["id"])
    changed = bytearray(sealed.document)
    changed[100] ^= 1
    unknown = sealed.tracer.file(sealed.auditor, bytes(changed))
    assert (unknown["status"], unknown["uses"]) == ("unknown", [])


@pytest.mark.parametrize("what", ["impression", "application", "document", "input", "intent", "leaf"])
def test_every_identifier_of_it_leads_to_the_same_use(sealed: Sealed, what: str) -> None:
    shown = sealed.impression
    reference = {
        "impression": shown["id"],
        "application": sealed.application,
        "document": shown["document_sha256"].upper(),
        "input": shown["input_sha256"],
        "intent": shown["intent"],
        "leaf": sealed.node.audit.history(shown["id"])[-1].id,
    }[what]
    assert [use["id"] for use in sealed.tracer.find(sealed.auditor, reference)["uses"]] == [shown["id"]]


def test_what_is_on_record_without_a_use_says_so_and_what_is_not_is_not_found(sealed: Sealed) -> None:
    assert sealed.tracer.find(sealed.auditor, sealed.seal["id"])["status"] == "unsealed"
    for nothing in ("impression_none", "leaf_none", "0" * 64, "", "' OR 1=1 --"):
        with pytest.raises(NothingOnRecord):
            sealed.tracer.find(sealed.auditor, nothing)


def test_only_who_may_read_the_log_may_trace(sealed: Sealed) -> None:
    assert sealed.tracer.find(sealed.node.actor(None), sealed.impression["id"])["uses"]
    for name in ("handler", "keeper", "officer", "admin"):
        with pytest.raises(NotAllowed):
            sealed.tracer.find(sealed.node.actor(name), sealed.impression["id"])
        with pytest.raises(NotAllowed):
            sealed.tracer.file(sealed.node.actor(name), sealed.document)


def test_a_whole_set_of_registers_agrees_with_the_log(sealed: Sealed) -> None:
    assert sealed.findings() == []


EDITS = {
    "impressions": [
        "account='someone'",
        "rule='other'",
        "matter='B'",
        "document_sha256='00'",
        "input_sha256='00'",
        "status='voided'",
        "created_at='2020-01-01 00:00:00.000000'",
        "application_id=NULL",
        "level='B'",
    ],
    "seals": ["status='revoked'", "owner_uscc='x'", "kind='other'", "sample=0", "picture_pdf='00'"],
    "ca_certificates": ["status='good'", "profile='root'", "der=x'00'"],
    "key_generations": ["state='destroyed'", "number=7", "public_key=(SELECT public_key FROM key_generations LIMIT 1)"],
    "accounts": ["roles='[\"signer_off\"]'", "kind='system'", "status='disabled'", "department_id=NULL"],
    "applications": ["handler='x'", "signer_off='x'", "matter='B'", "status='submitted'", "content_sha256='00'", "round=7"],
}


@pytest.mark.parametrize(("table", "edit"), [(table, edit) for table, edits in EDITS.items() for edit in edits])
def test_an_edited_database_row_is_noticed_and_named(edited: Sealed, table: str, edit: str) -> None:
    if table == "ca_certificates" and edit.startswith("status"):
        edited.node.ca.revoke(edited.node.ca.records(es_id=edited.seal["es_id"])[0].serial, "superseded", actor="x")
        edited.change("UPDATE ca_certificates SET status='good', reason=NULL WHERE status='revoked'")
    else:
        edited.change(f"UPDATE {table} SET {edit}")
    findings = edited.findings()
    assert findings
    column = edit.partition("=")[0]
    assert {f.code for f in findings} == {"row-edited"}
    assert all(column in f.message and column in f.message_zh for f in findings)


def test_a_trace_names_the_edited_row_and_tells_what_the_log_says(edited: Sealed) -> None:
    edited.change("UPDATE impressions SET account='account_nobody', rule='default-matter'")
    found = edited.tracer.file(edited.auditor, edited.document)
    (use,) = found["uses"]
    assert found["status"] == "doubtful"
    assert (use["who"]["id"], use["rule"]["id"]) == (edited.keeper.id, "signed-off-application")
    named = [check["message"] for check in use["checks"] if check["code"] == "row-edited"]
    assert len(named) == 2
    assert any("account_nobody" in sentence for sentence in named)


def test_a_removed_row_and_one_that_nobody_recorded_are_noticed_and_named(edited: Sealed) -> None:
    edited.change("DELETE FROM applications WHERE id=:id", id=edited.application)
    names = [column["name"] for column in sa.inspect(edited.node.db.engine).get_columns("impressions")]
    copied = ", ".join("'impression_forged'" if name == "id" else name for name in names)
    edited.change(f"INSERT INTO impressions SELECT {copied} FROM impressions LIMIT 1")
    found = {f.code: f.message for f in edited.findings()}
    assert edited.application in found["row-missing"]
    assert "impression_forged" in found["row-without-leaf"]


def test_a_lost_copy_of_the_document_is_noticed(edited: Sealed) -> None:
    path = edited.node.blobs.path(edited.impression["document_sha256"])
    kept = path.read_bytes()
    path.unlink()
    try:
        (use,) = edited.tracer.find(edited.auditor, edited.impression["id"])["uses"]
        assert codes(use, False) == {"document-kept"}
    finally:
        path.write_bytes(kept)


def test_a_use_that_is_not_yet_under_a_checkpoint_is_told_without_proof(edited: Sealed) -> None:
    made, _ = edited.node.seals.apply(edited.keeper, APPROVAL, seal_id=edited.seal["id"], placement=PLACE)
    (use,) = edited.tracer.find(edited.auditor, made["id"])["uses"]
    assert use["proof"] is None
    assert "on-record-soon" in codes(use, True)
    assert not codes(use, False)


def test_the_command_says_by_its_exit_status_what_came_of_it(
    edited: Sealed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from cli.main import main

    home, file = ["--home", str(edited.node.home), "--lang", "en"], tmp_path / "sealed.pdf"
    file.write_bytes(edited.document)
    assert main([*home, "audit", "trace", str(file)]) == 0
    told = capsys.readouterr().out
    for words in ("样本 印章管理员", "signed-off-application", "byte for byte", "样本 签发人"):
        assert words in told
    file.write_bytes(edited.document + b" " * 3 + edited.document[:9])
    assert main([*home, "audit", "trace", edited.application, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["uses"][0]["id"] == edited.impression["id"]
    file.write_bytes(b"something else")
    assert main([*home, "audit", "trace", str(file)]) == 30
    assert main([*home, "audit", "trace", "nothing"]) == 1
    edited.change("UPDATE impressions SET matter='B'")
    assert main([*home, "audit", "trace", edited.impression["id"]]) == 1
    assert "was edited" in capsys.readouterr().out
    assert main([*home, "policy", "explain", "seal.apply", "--of", edited.seal["id"], "--as", "keeper", "--matter", "B"]) == 1
    assert "seal keeper" in capsys.readouterr().out


def test_a_post_that_was_handed_over_and_a_person_who_moved_are_no_contradiction(edited: Sealed) -> None:
    """What people may do and who handles what changes by deeds on record too: none of it is taken for an edited row."""
    accounts, node = edited.node.accounts, edited.node
    waiting = node.seals.applications.submit(
        edited.handler, purpose="use-seal", department=edited.seal["owner_uscc"], matter="A-118", seal_id=edited.seal["id"]
    )["id"]
    successor = accounts.create("successor", "correct horse battery", roles=["reviewer"], department=edited.handler.department)
    accounts.hand_overs.hand_over(edited.handler.id, successor.id, leaves=True, reason="调任", actor="local-operator")
    accounts.change("successor", department=accounts.create_department("新设科").id, actor="local-operator")
    assert node.seals.applications.show(node.actor(None), waiting)["handler"] != edited.handler.id
    assert edited.findings() == []
    edited.change("UPDATE accounts SET roles='[\"auditor\"]' WHERE name='successor'")
    assert [finding.code for finding in edited.findings()] == ["row-edited"]
