"""Files that claim to be parts of an audit log: whatever is in them, a report or a named refusal comes out."""

from __future__ import annotations

import contextlib
import io
import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats import merkle
from formats.auditlog import BadAuditFile, export_lines, load_keys, proof_document, verify_proof, verify_stream
from formats.canonical import NotCanonical, canonical_json
from formats.checkpoint import BadCheckpoint, Checkpoint, parse_note, signed_note

KEY = SoftwareKey.generate(Suite.P256)
ORIGIN = "310000.xinyin/audit"
LEAVES = [f'{{"id":"leaf_{n}"}}' for n in range(5)]
HASHES = [merkle.leaf_hash(leaf.encode()) for leaf in LEAVES]


def note(size: int = 5) -> str:
    said = Checkpoint(ORIGIN, size, merkle.root(HASHES[:size]), datetime(2026, 11, 21, tzinfo=UTC))
    return signed_note(said, KEY.public_key, KEY.sign(said.body()))


def export() -> str:
    head = note()
    return "".join(export_lines(ORIGIN, head, [*enumerate(LEAVES), head]))


def node(level: int, index: int) -> bytes:
    return merkle.root(HASHES[index << level : (index + 1) << level])


PROOF = proof_document(
    2, LEAVES[2], merkle.inclusion_proof(2, 5, node), note(), (note(3), merkle.consistency_proof(3, 5, node))
)
EXPORT, NOTE = export(), note()  # once: ECDSA signs differently each time
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4),
    max_leaves=12,
)
BOUNDED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check(text: str) -> bool:
    try:
        return verify_stream(io.StringIO(text), [KEY.public_key]).ok
    except BadAuditFile:
        return False


def test_the_untouched_files_are_good() -> None:
    assert check(EXPORT)
    assert check(json.dumps(PROOF))
    assert check(NOTE)


@BOUNDED
@given(st.text(max_size=400))
def test_any_text_is_refused_by_name(text: str) -> None:
    assert not check(text)
    with contextlib.suppress(BadCheckpoint):
        parse_note(text)


@BOUNDED
@given(st.data())
def test_no_file_with_one_changed_character_is_good(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([EXPORT, json.dumps(PROOF, ensure_ascii=False), NOTE]))
    place = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.characters(exclude_characters=whole[place] + " \t\r\n"))
    changed = whole[:place] + other + whole[place + 1 :]
    if json_equal(changed, whole):
        return  # the same value in another spelling (an escape, a letter of hex in upper case)
    assert not check(changed)


def json_equal(left: str, right: str) -> bool:
    """Whether two files say the same: line by line as JSON, hex without regard to case."""
    try:
        pairs = zip(left.splitlines(), right.splitlines(), strict=True)
        return all(json.loads(a.lower()) == json.loads(b.lower()) for a, b in pairs)
    except ValueError:
        return False


@BOUNDED
@given(st.sampled_from(sorted(PROOF)), JSON)
def test_a_proof_with_any_other_field_is_no_good(field: str, value: Any) -> None:
    if value == PROOF[field] or (field == "consistency" and value is None):
        return
    try:
        report = verify_proof({**PROOF, field: value}, [KEY.public_key])
    except BadAuditFile:
        return
    assert not report.ok or field == "format"


@BOUNDED
@given(JSON)
def test_lines_of_any_json_are_reported(value: Any) -> None:
    lines = EXPORT.splitlines(keepends=True)
    assert not check("".join([*lines[:3], json.dumps(value) + "\n", *lines[3:]]))


@BOUNDED
@given(st.binary(max_size=200))
def test_any_bytes_as_keys_are_refused_by_name(data: bytes) -> None:
    with contextlib.suppress(BadAuditFile):
        load_keys(data)


@BOUNDED
@given(JSON)
def test_canonical_json_means_the_same_value_or_is_refused(value: Any) -> None:
    try:
        text = canonical_json(value)
    except NotCanonical:
        return
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text
