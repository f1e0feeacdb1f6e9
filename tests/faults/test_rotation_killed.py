"""``kill -9`` in the middle of a rotation's steps: asked for again under the same approval, each is done exactly once."""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ceremonies.models import KeyStepRow
from ceremonies.node import Node
from ceremonies.sample import APPROVER, sample_uscc
from ceremonies.steps import needed
from seals.models import SealVersionRow
from seals.placement import Placement
from store.crashpoints import arm
from tests.node_home import EXAMPLES, REGION, founded_home
from tests.officers import officer
from verify.service import verify_bytes

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.faults.test_rotation_killed"])
STEPS = ("certify", "file")
POINTS = ("rotation.step-begun", "rotation.step-worked")


def take(home: str, step: str, generation: str, approval: str, point: str | None = None) -> None:
    """The life of a process: open the node, take the step as an officer; killed at ``point`` if one is given."""
    node = Node.open(Path(home))
    if point is not None:
        arm(point)
    getattr(node.rotation, step)(node.accounts.get("officer"), generation, approval=approval)
    node.close()


def run(*arguments: Any) -> BaseProcess:
    process = PROCESSES.Process(target=take, args=arguments)
    process.start()
    process.join(120)
    return process


def asked(home: Path, step: str, generation: str) -> str:
    """An approval of the step by two officers."""
    node = Node.open(home)
    officers = [officer(node.accounts, node.approvals, name, node.actor(None)) for name in ("officer", "officer2")]
    approval = node.rotation.ask(officers[0].account, step, generation)["id"]
    for one in officers:
        one.approve(node.approvals, approval)
    node.close()
    return str(approval)


@pytest.mark.parametrize("point", POINTS)
def test_a_step_that_was_killed_is_carried_on_under_its_approval_and_done_once(point: str) -> None:
    home = founded_home("killed")
    node = Node.open(home)
    operator = node.actor(None)
    uscc = sample_uscc(REGION, APPROVER)
    seal = node.seals.create(operator, owner_name=APPROVER, owner_uscc=uscc, suites=("sm2",), idempotency_key=point)
    role = next(r["id"] for r in node.rotation.book.roles(operator) if r["seal"] and r["seal"]["id"] == seal["id"])
    key = node.rotation.stage(operator, role).id
    node.rotation.prove(operator, key)
    node.close()
    for step in STEPS:
        approval = asked(home, step, key)
        assert run(str(home), step, key, approval, point).exitcode == -signal.SIGKILL, f"{point} was not reached"
        assert run(str(home), step, key, approval).exitcode == 0
    node = Node.open(home)
    try:
        _holds(node, seal["id"], key)
    finally:
        node.close()


def _holds(node: Node, seal: str, key: str) -> None:
    """One certificate, one new version, one leaf a step; the approvals hold; what the key seals is accepted."""
    operator = node.actor(None)
    assert len(node.ca.certificates(key)) == 1
    with node.db.read() as session:
        versions = list(session.scalars(sa.select(SealVersionRow.number).where(SealVersionRow.seal_id == seal)))
        steps = {r.step: r for r in session.scalars(sa.select(KeyStepRow).where(KeyStepRow.generation_id == key))}
    assert sorted(versions) == [1, 2]
    assert all(row.done_at is not None for row in steps.values())
    kinds = [entry.kind for entry in node.audit.history(key)]
    for kind in ("key.certified", "key.filed"):
        assert kinds.count(kind) == 1
    assert kinds.count("key.step-begun") == len(steps)
    assert next(s for s in needed("seal_holder") if not node.rotation.done(node.keys.generation(key), s)) == "activate"
    node.rotation.activate(operator, key)
    document = (EXAMPLES / "approval.pdf").read_bytes()
    _, data = node.seals.apply(operator, document, seal_id=seal, suite="sm2", placement=Placement(1, 120.0, 230.0))
    verdict = verify_bytes(data, name="a.pdf", context=node.verification_context())
    assert verdict["answer"]["decision"] == "accept"
    node.audit.sequence(node.checkpoint_key())
    report = node.audit.verify(node.audit_keys())
    assert report.ok, report.findings
