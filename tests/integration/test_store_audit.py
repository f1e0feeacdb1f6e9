"""The audit log is whole, and whoever tampers with it is found out: in the database and in a file without one."""

from __future__ import annotations

import io
import json
import shutil
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats import merkle
from formats.auditlog import BadAuditFile, LogReport, load_keys, verify_proof, verify_stream
from formats.canonical import NotCanonical
from formats.checkpoint import BadCheckpoint, Checkpoint, parse_note, signed_note, verify_note
from store.audit import AuditLog, CheckpointKey, LeafPending, LogDamaged, NoSuchLeaf
from store.db import Database
from store.models import AuditHeadRow, AuditLeafRow, AuditNodeRow, IntentRow

KEY = SoftwareKey.generate(Suite.P256)
OTHER = SoftwareKey.generate(Suite.P256)
SIGNER = CheckpointKey("gen_log", KEY)
KEYS = [KEY.public_key]
ON_POSTGRESQL = {
    "test_leaves_are_numbered_in_order_and_signed_for",
    "test_a_log_of_several_batches_has_one_root_whatever_the_batches_were",
    "test_pending_leaves_show_and_too_long_a_delay_is_an_alarm",
    "test_history_tells_what_happened_to_one_object_newest_first",
    "test_a_leaf_is_proved_to_be_in_the_log_without_the_database",
    "test_an_export_is_verified_without_a_database",
    "test_leaves_appended_while_two_sequencers_run_are_each_numbered_once",
}


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=3)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(database: Database, tmp_path: Path, clock: Clock) -> AuditLog:
    return AuditLog(database, "310000", witness=tmp_path / "log" / "checkpoint", now=clock)


def fill(log: AuditLog, count: int, seal: str = "seal_1") -> list[str]:
    def append(session: Any) -> list[str]:
        return [
            log.append(
                session,
                kind="seal.applied",
                actor="account_1",
                rule="default-matter",
                subject={"seal": seal, "impression": f"imp_{number}"},
                data={"document": f"{number:064x}", "pages": number},
            )
            for number in range(count)
        ]

    return log.db.run(append)


@pytest.fixture
def whole(log: AuditLog) -> AuditLog:
    """Twelve leaves in three batches, three checkpoints."""
    for count in (5, 1, 6):
        fill(log, count)
        assert log.sequence(SIGNER) is not None
    return log


def codes(report: LogReport) -> set[str]:
    return {finding.code for finding in report.findings}


def change(log: AuditLog, sql: str, **values: Any) -> None:
    with log.db.write() as session:
        assert session.execute(sa.text(sql), values).rowcount > 0  # type: ignore[attr-defined]


def check_file(lines: list[str], keys: Any = KEYS) -> LogReport:
    return verify_stream(io.StringIO("".join(lines)), keys)


# -- growing ----------------------------------------------------------------------------------------------------


def test_leaves_are_numbered_in_order_and_signed_for(whole: AuditLog) -> None:
    state = whole.state()
    assert (state.size, state.pending, state.alarm) == (12, 0, False)
    assert state.checkpoint is not None
    with whole.db.read() as session:
        rows = session.scalars(sa.select(AuditLeafRow).order_by(AuditLeafRow.seq)).all()
    assert [row.seq for row in rows] == list(range(12))
    assert [row.at for row in rows] == sorted(row.at for row in rows)
    assert state.checkpoint.root == merkle.root([merkle.leaf_hash(row.body.encode()) for row in rows])
    report = whole.verify(KEYS)
    assert (report.ok, report.size, report.checkpoints, report.unsigned, report.pending) == (True, 12, 3, 0, 0)
    assert report.checkpoint == state.checkpoint


def test_a_log_of_several_batches_has_one_root_whatever_the_batches_were(log: AuditLog) -> None:
    fill(log, 23)
    checkpoint = log.sequence(SIGNER, batch=4)
    assert checkpoint is not None
    assert log.verify(KEYS).root == checkpoint.root.hex()


def test_with_nothing_new_nothing_is_signed(whole: AuditLog) -> None:
    assert whole.sequence(SIGNER) is None
    assert whole.verify(KEYS).checkpoints == 3


def test_a_leaf_belongs_to_the_transaction_that_it_tells_of(log: AuditLog) -> None:
    def fail(session: Any) -> None:
        log.append(session, kind="seal.applied", actor="a", subject={}, data={})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        log.db.run(fail)
    assert log.state().pending == 0


@pytest.mark.parametrize("data", [{"x": 1.5}, {"x": b"document"}, {"x": {1, 2}}, {1: 2}])
def test_what_has_no_canonical_form_is_not_recorded(log: AuditLog, data: dict[str, Any]) -> None:
    with pytest.raises(NotCanonical):
        log.db.run(lambda session: log.append(session, kind="k", actor="a", subject={}, data=data))


def test_pending_leaves_show_and_too_long_a_delay_is_an_alarm(log: AuditLog, clock: Clock) -> None:
    fill(log, 3)
    state = log.state()
    assert (state.size, state.pending, state.alarm) == (0, 3, False)
    assert log.verify(KEYS).ok
    clock.now += timedelta(minutes=3)
    assert log.state().alarm
    assert codes(log.verify(KEYS)) == {"sequencer-late"}
    log.sequence(SIGNER)
    assert not log.state().alarm
    assert log.verify(KEYS).ok


def test_history_tells_what_happened_to_one_object_newest_first(log: AuditLog) -> None:
    fill(log, 3, "seal_1")
    fill(log, 2, "seal_2")
    log.sequence(SIGNER)
    entries = log.history("seal_1")
    assert [entry.subject["impression"] for entry in entries] == ["imp_2", "imp_1", "imp_0"]
    assert (entries[0].kind, entries[0].actor, entries[0].rule, entries[0].seq) == (
        "seal.applied",
        "account_1",
        "default-matter",
        2,
    )
    assert [entry.id for entry in log.history("seal_1", before=entries[0].id)] == [entries[1].id, entries[2].id]
    assert len(log.entries(kind="seal.applied", limit=4)) == 4
    assert log.history("seal_3") == []


# -- proofs -----------------------------------------------------------------------------------------------------


def test_a_leaf_is_proved_to_be_in_the_log_without_the_database(whole: AuditLog) -> None:
    for entry in whole.history("seal_1"):
        proof = json.loads(json.dumps(whole.prove(entry.id)))
        report = verify_proof(proof, KEYS)
        assert report.ok, report.findings
        assert report.leaf is not None
        assert report.leaf["id"] == entry.id
        assert report.checkpoint is not None


def test_a_proof_also_shows_that_the_log_extends_an_earlier_checkpoint(log: AuditLog) -> None:
    ids = fill(log, 5)
    log.sequence(SIGNER)
    earlier = (log.witness or Path()).read_text()
    fill(log, 8)
    log.sequence(SIGNER)
    proof = log.prove(ids[2], since=earlier)
    assert verify_proof(proof, KEYS).ok
    said = Checkpoint(log.origin, 5, bytes(32), datetime(2026, 1, 1, tzinfo=UTC))
    other = signed_note(said, KEY.public_key, KEY.sign(said.body()))
    assert codes(verify_proof({**proof, "consistency": {**proof["consistency"], "from": other}}, KEYS)) == {"not-an-extension"}
    with pytest.raises(LogDamaged):
        log.prove(ids[2], since=other)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("index", 3, "not-included"),
        ("leaf", '{"id":"leaf_x"}', "not-included"),
        ("inclusion", [], "not-included"),
        ("inclusion", ["00" * 32] * 4, "not-included"),
    ],
)
def test_a_changed_proof_fails(whole: AuditLog, field: str, value: Any, code: str) -> None:
    proof = whole.prove(whole.history("seal_1")[-3].id)
    assert codes(verify_proof({**proof, field: value}, KEYS)) == {code}


def test_a_proof_under_an_untrusted_key_fails(whole: AuditLog) -> None:
    proof = whole.prove(whole.history("seal_1")[0].id)
    assert codes(verify_proof(proof, [OTHER.public_key])) == {"checkpoint-forged"}
    assert codes(verify_proof(proof, [])) == {"checkpoint-forged"}


def test_pending_and_unknown_leaves_are_not_proved(whole: AuditLog) -> None:
    pending = fill(whole, 1)[0]
    with pytest.raises(LeafPending):
        whole.prove(pending)
    with pytest.raises(NoSuchLeaf):
        whole.prove("leaf_none")


# -- tampering with the database ----------------------------------------------------------------------------------------------


def _edit_with_hash(log: AuditLog) -> None:
    with log.db.write() as session:
        row = session.scalars(sa.select(AuditLeafRow).where(AuditLeafRow.seq == 7)).one()
        row.body = row.body.replace("account_1", "account_2")
        row.actor = "account_2"
        row.leaf_hash = merkle.leaf_hash(row.body.encode()).hex()


def _rewrite_everything(log: AuditLog) -> None:
    """An intruder with the database and without the key: an edited leaf, and every hash above it made to fit."""
    _edit_with_hash(log)
    with log.db.write() as session:
        session.execute(sa.delete(AuditNodeRow))
        edge = merkle.CompactRange()
        for row in session.scalars(sa.select(AuditLeafRow).order_by(AuditLeafRow.seq)):
            for level, index, value in edge.append(bytes.fromhex(row.leaf_hash)):
                session.add(AuditNodeRow(region="310000", level=level, index=index, hash=value.hex()))
        session.execute(sa.update(AuditHeadRow).values(root=edge.root().hex()))


def _remove_last(log: AuditLog) -> None:
    change(log, "DELETE FROM audit_subjects WHERE leaf_id IN (SELECT id FROM audit_leaves WHERE seq = 11)")
    change(log, "DELETE FROM audit_leaves WHERE seq = 11")


def _remove_middle_and_renumber(log: AuditLog) -> None:
    change(log, "DELETE FROM audit_subjects WHERE leaf_id IN (SELECT id FROM audit_leaves WHERE seq = 6)")
    change(log, "DELETE FROM audit_leaves WHERE seq = 6")
    for seq in range(7, 12):
        change(log, "UPDATE audit_leaves SET seq = :new WHERE seq = :old", new=seq - 1, old=seq)


def _swap(log: AuditLog) -> None:
    for old, new in ((3, 999), (4, 3), (999, 4)):
        change(log, "UPDATE audit_leaves SET seq = :new WHERE seq = :old", new=new, old=old)


def _forge_checkpoint(log: AuditLog) -> None:
    with log.db.read() as session:
        head = session.get(AuditHeadRow, "310000")
    assert head is not None
    said = Checkpoint(log.origin, 12, bytes.fromhex(head.root), datetime(2026, 11, 21, 9, tzinfo=UTC))
    note = signed_note(said, OTHER.public_key, OTHER.sign(said.body()))
    change(log, "UPDATE audit_checkpoints SET note = :note WHERE size = 12", note=note)


def _move_checkpoint(log: AuditLog) -> None:
    change(log, "UPDATE audit_checkpoints SET note = (SELECT note FROM audit_checkpoints WHERE size = 6) WHERE size = 12")


def sql(statement: str, **values: Any) -> Callable[[AuditLog], None]:
    return lambda log: change(log, statement, **values)


EDIT = "UPDATE audit_leaves SET body = replace(body, 'account_1', 'account_2') WHERE seq = 7"
EDIT_TIME = "UPDATE audit_leaves SET at = '2020-01-01 00:00:00.000000' WHERE seq = 2"

TAMPERING: list[tuple[str, Callable[[AuditLog], None], set[str]]] = [
    ("an edited row", sql(EDIT), {"leaf-edited"}),
    ("an edited row with its hash", _edit_with_hash, {"root-differs"}),
    ("every hash made to fit", _rewrite_everything, {"root-differs"}),
    ("an edited column", sql("UPDATE audit_leaves SET actor = 'account_2' WHERE seq = 2"), {"leaf-columns"}),
    ("an edited time", sql(EDIT_TIME), {"leaf-columns"}),
    ("a hidden subject", sql("DELETE FROM audit_subjects WHERE value = 'imp_4'"), {"leaf-columns"}),
    ("the last leaf removed", _remove_last, {"log-cut"}),
    ("a leaf removed and the rest renumbered", _remove_middle_and_renumber, {"log-cut"}),
    ("a number changed", sql("UPDATE audit_leaves SET seq = 50 WHERE seq = 4"), {"leaf-missing"}),
    ("two leaves swapped", _swap, {"root-differs"}),
    ("a forged checkpoint", _forge_checkpoint, {"checkpoint-forged"}),
    ("a checkpoint in another's place", _move_checkpoint, {"checkpoint-columns"}),
    (
        "a checkpoint that cannot be read",
        sql("UPDATE audit_checkpoints SET note = 'x' WHERE size = 6"),
        {"checkpoint-unreadable"},
    ),
    ("the head put back", sql("UPDATE audit_heads SET size = 6"), {"head-differs"}),
    ("a subtree hash changed", sql("UPDATE audit_nodes SET hash = :hash WHERE level = 3", hash="0" * 64), {"nodes-differ"}),
]


@pytest.mark.parametrize(("how", "expected"), [t[1:] for t in TAMPERING], ids=[t[0] for t in TAMPERING])
def test_tampering_with_the_database_is_found(whole: AuditLog, how: Callable[[AuditLog], None], expected: set[str]) -> None:
    how(whole)
    report = whole.verify(KEYS)
    assert not report.ok
    assert expected <= codes(report), report.findings
    assert all(finding.message and finding.message_zh for finding in report.findings)


@pytest.mark.parametrize(
    "how",
    [
        _rewrite_everything,
        sql("UPDATE audit_heads SET size = 6"),
        sql("UPDATE audit_heads SET root = :root", root="0" * 64),
        sql("UPDATE audit_nodes SET hash = :hash WHERE level = 3", hash="0" * 64),
        sql("DELETE FROM audit_nodes WHERE level = 2"),
    ],
)
def test_nothing_more_is_signed_over_a_log_that_was_rewritten(whole: AuditLog, how: Callable[[AuditLog], None]) -> None:
    how(whole)
    fill(whole, 3)
    with pytest.raises(LogDamaged):
        whole.sequence(SIGNER)


def test_a_leaf_edited_while_it_waits_for_its_number_stops_the_sequencer(log: AuditLog) -> None:
    fill(log, 2)
    change(log, "UPDATE audit_leaves SET body = replace(body, 'account_1', 'account_2')")
    with pytest.raises(LogDamaged):
        log.sequence(SIGNER)


def test_a_database_put_back_to_an_earlier_day_is_found_by_its_witness_and_not_signed_for(
    whole: AuditLog, tmp_path: Path
) -> None:
    whole.db.close()
    shutil.copy(tmp_path / "db.sqlite", tmp_path / "old.sqlite")
    fill(whole, 4)
    whole.sequence(SIGNER)
    whole.db.close()
    for leftover in tmp_path.glob("db.sqlite*"):
        leftover.unlink()
    shutil.copy(tmp_path / "old.sqlite", tmp_path / "db.sqlite")
    assert codes(whole.verify(KEYS)) == {"rolled-back"}
    fill(whole, 1)
    with pytest.raises(LogDamaged):
        whole.sequence(SIGNER)


def test_a_result_whose_leaf_was_removed_before_it_had_a_number_is_found(log: AuditLog, clock: Clock) -> None:
    leaf = fill(log, 1)[0]
    with log.db.write() as session:
        session.add(
            IntentRow(
                id="intent_1",
                region="310000",
                account="a",
                operation="seal.apply",
                key="k",
                request_digest="0" * 64,
                subject={},
                generation_ids=[],
                status="done",
                attempt=1,
                lease_token="x",
                lease_owner="",
                lease_until=clock(),
                result={},
                blob=None,
                leaf_id=leaf,
                error=None,
                created_at=clock(),
                updated_at=clock(),
            )
        )
    assert log.verify(KEYS).ok
    change(log, "DELETE FROM audit_subjects")
    change(log, "DELETE FROM audit_leaves")
    assert codes(log.verify(KEYS)) == {"result-without-leaf"}


def test_an_untrusted_checkpoint_key_is_not_enough(whole: AuditLog) -> None:
    assert codes(whole.verify([OTHER.public_key])) >= {"checkpoint-forged"}


# -- files ------------------------------------------------------------------------------------------------------


def test_an_export_is_verified_without_a_database(whole: AuditLog) -> None:
    fill(whole, 2)  # not signed for yet: not exported
    lines = list(whole.export())
    report = check_file(lines)
    assert (report.ok, report.size, report.checkpoints) == (True, 12, 3)
    assert report.checkpoint is not None
    assert len(lines) == 1 + 12 + 3


def _leaf_line(lines: list[str], seq: int) -> int:
    return next(i for i, line in enumerate(lines) if json.loads(line).get("seq") == seq)


def test_every_change_of_an_export_is_found(whole: AuditLog) -> None:
    lines = list(whole.export())
    seven, eight = _leaf_line(lines, 7), _leaf_line(lines, 8)
    edited = [line.replace("account_1", "account_2") if i == seven else line for i, line in enumerate(lines)]
    removed = lines[:seven] + lines[seven + 1 :]
    swapped = [*lines]
    swapped[seven], swapped[eight] = (
        lines[eight].replace('"seq":8', '"seq":7'),
        lines[seven].replace('"seq":7', '"seq":8'),
    )
    without_checkpoints = [line for line in lines if "checkpoint" not in line]
    assert "root-differs" in codes(check_file(edited))
    assert "leaf-missing" in codes(check_file(removed))
    assert "root-differs" in codes(check_file(swapped))
    assert {"export-cut", "export-unsigned"} <= codes(check_file(without_checkpoints))
    assert "export-cut" in codes(check_file(lines[:-1]))
    assert "export-cut" in codes(check_file(lines[: seven + 1]))
    assert "line-unreadable" in codes(check_file([*lines[:seven], "{broken\n"]))
    assert "checkpoint-forged" in codes(check_file(lines, [OTHER.public_key]))
    assert "leaf-repeated" in codes(check_file([*lines[: seven + 1], *lines[seven:]]))


def test_each_changed_byte_of_a_leaf_in_an_export_is_found(whole: AuditLog) -> None:
    lines = list(whole.export())
    at = _leaf_line(lines, 10)
    for position in range(12, len(lines[at]) - 3, 7):
        line = lines[at]
        changed = line[:position] + ("x" if line[position] != "x" else "y") + line[position + 1 :]
        assert not check_file([*lines[:at], changed, *lines[at + 1 :]]).ok


def test_a_bare_checkpoint_is_verified_too(whole: AuditLog) -> None:
    note = (whole.witness or Path()).read_text()
    assert check_file([note]).ok
    assert codes(check_file([note], [OTHER.public_key])) == {"checkpoint-forged"}


@pytest.mark.parametrize(
    "text",
    ["", "x", "{}", "[]", "[" * 100_000, '{"format":"xinyin-audit-log"}', '{"format":"xinyin-audit-proof"}', "\x00" * 99],
)
def test_other_files_are_refused_by_name(text: str) -> None:
    with pytest.raises(BadAuditFile):
        check_file([text])


def test_trusted_keys_are_read_from_keys_and_certificates_in_pem_and_der(whole: AuditLog) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "log")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(1)
        .not_valid_before(datetime(2026, 1, 1))
        .not_valid_after(datetime(2027, 1, 1))
        .sign(key, hashes.SHA256())
    )
    encodings = [certificate.public_bytes(encoding) for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER)]
    for data in (spki, pem, *encodings):
        assert [found.spki for found in load_keys(data)] == [spki]
    assert len(load_keys(pem + b"\n" + encodings[0])) == 2
    for rubbish in (b"", b"x", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"):
        with pytest.raises(BadAuditFile):
            load_keys(rubbish)


# -- checkpoints -------


@pytest.mark.parametrize("suite", list(Suite))
def test_checkpoints_are_signed_in_every_suite(suite: Suite) -> None:
    key = SoftwareKey.generate(suite)
    said = Checkpoint("310000.xinyin/audit", 7, bytes(range(32)), datetime(2026, 11, 21, 8, tzinfo=UTC))
    note = signed_note(said, key.public_key, key.sign(said.body()))
    assert verify_note(note, [OTHER.public_key, key.public_key]) == (said, key.public_key)
    assert verify_note(note.replace("\n7\n", "\n8\n"), [key.public_key])[1] is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda note: note.removesuffix("\n"),
        lambda note: note.replace("\n7\n", "\n07\n"),
        lambda note: note.replace("\n7\n", "\n-7\n"),
        lambda note: note.replace("time ", "tima "),
        lambda note: note.replace("Z\n", "+08:00\n"),
        lambda note: note.replace("\n\n", "\nmore\n\n"),
        lambda note: note.replace("— ", "- "),
        lambda note: note.replace("\n7\n", "\n7\r\n"),
        lambda note: note.replace("310000.xinyin/audit\n", "a b\n", 1),
        lambda note: "",
        lambda note: note * 9000,
    ],
)
def test_a_checkpoint_has_one_form(spoil: Callable[[str], str]) -> None:
    said = Checkpoint("310000.xinyin/audit", 7, bytes(range(32)), datetime(2026, 11, 21, 8, tzinfo=UTC))
    with pytest.raises(BadCheckpoint):
        parse_note(spoil(signed_note(said, KEY.public_key, KEY.sign(said.body()))))


def test_leaves_appended_while_two_sequencers_run_are_each_numbered_once(log: AuditLog) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as exc:  # noqa: BLE001 - collected for the assertion
                failures.append(exc)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def append() -> None:
        for _ in range(20):
            fill(log, 1)

    def sequence() -> None:
        while not stop.is_set():
            log.sequence(SIGNER, batch=7)
            time.sleep(0.02)

    sequencers = [guarded(sequence) for _ in range(2)]
    writers = [guarded(append) for _ in range(4)]
    for thread in writers:
        thread.join()
    stop.set()
    for thread in sequencers:
        thread.join()
    log.sequence(SIGNER)
    assert failures == []
    report = log.verify(KEYS)
    assert report.ok, report.findings
    assert (report.size, report.pending, report.unsigned) == (80, 0, 0)
