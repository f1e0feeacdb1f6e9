"""The seal desk's prepared cases: applications to seal, each waiting for somebody who learns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ceremonies.node import Node
from ceremonies.sample import APPROVER, EXAMPLES, sample_seal, sample_uscc
from seals.workflow.drafts import NewDocument

APPLICANT = {"name": "望江路青禾便民书店", "contact": "样本"}
RETURNED = "申请里填的文号与文件上的不一致：文件上是“云审受〔2026〕305号”。请改正后重新提交。"


@dataclass(frozen=True)
class Wanted:
    """An application to prepare: what is handed in, and how far it has gone when somebody opens the door."""

    title: str
    file: str
    number: str
    matter: str
    path: tuple[str, ...]


WANTED: Mapping[str, Wanted] = {
    "returned": Wanted("受理通知书（文号待改）", "notice.pdf", "云审受〔2026〕350号", "approval-reply", ("returned",)),
    "sealed": Wanted(
        "同意设立青禾便民服务站的批复", "approval.pdf", "云审批〔2026〕118号", "default", ("signed-off", "sealed")
    ),
    "waiting": Wanted("受理通知书", "notice.pdf", "云审受〔2026〕305号", "default", ()),
    "unfilled": Wanted("受理通知书（空白未填）", "notice-unfilled.pdf", "云审受〔2026〕306号", "default", ()),
    "mistaken": Wanted("受理通知书（错盖）", "notice.pdf", "云审受〔2026〕304号", "default", ("signed-off", "sealed")),
}
"""The handler corrects the first and delivers the second; the signer-off signs off, returns and voids the others, in turn."""


def prepare(node: Node, set_number: int) -> tuple[dict[str, str], dict[str, str]]:
    """Make them with the demo people; by case the identifier, and the code by which the applicant follows it."""
    applications, track = {}, {}
    for case, wanted in WANTED.items():
        shown = _case(node, wanted, f"training-{set_number}-{case}")
        applications[case], track[case] = shown["id"], shown["track_code"]
    return applications, track


def _case(node: Node, wanted: Wanted, key: str) -> dict[str, Any]:
    """Submitted once under its key, then taken along the path as far as it has not gone yet."""
    desk = node.seals.applications
    seal, _ = sample_seal(node, APPROVER)
    data = (EXAMPLES / wanted.file).read_bytes()
    handler, reviewer = node.accounts.get("handler"), node.accounts.get("reviewer")
    signer, keeper = node.accounts.get("signer"), node.accounts.get("keeper")
    shown = desk.submit(
        handler,
        purpose="use-seal",
        department=sample_uscc(node.region, APPROVER),
        matter=wanted.matter,
        seal_id=seal["id"],
        documents=[NewDocument(wanted.file, data)],
        number=wanted.number,
        applicant=APPLICANT,
        title=wanted.title,
        idempotency_key=key,
    )
    steps: dict[str, Callable[[], dict[str, Any]]] = {
        "returned": lambda: desk.return_(reviewer, shown["id"], reason=RETURNED),
        "signed-off": lambda: desk.sign_off(signer, shown["id"]),
        "sealed": lambda: desk.seal(keeper, shown["id"]),
    }
    gone = {"submitted": 0, "returned": 1, "signed-off": 1, "sealed": 2}.get(shown["status"], len(wanted.path))
    for step in wanted.path[gone:]:
        shown = steps[step]()
    return shown
