"""The gate before every step on keys: the rules decide, and where they want officers, their approval is spent.

Fills :class:`hsm.gate.Gate`. One place for all callers: pages, HTTP, commands, ceremonies and the node's own work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.orm import Session

from people.approvals import ApprovalService
from people.schemas import Actor
from policies.authorise import NotAllowed, Principal


class ApprovalNeeded(NotAllowed):
    """The rules want officers to approve this step first; ``detail`` says which."""

    code = "approval-needed"


class QuorumGate:
    """Asks the rules in ``policies/rules`` with all that is known of a step.

    :param founding: whether the node is being founded: before there are people, nobody can approve
    """

    def __init__(self, approvals: ApprovalService, *, founding: Callable[[Session], bool] = lambda _: False) -> None:
        self.approvals = approvals
        self._founding = founding

    def check(
        self,
        session: Session,
        action: str,
        subject: Mapping[str, str],
        statement: Mapping[str, Any],
        approval: str | None = None,
        *,
        actor: Principal | str = "system",
        also: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Allow a step in the caller's transaction, or raise: ``{"rule", "approval", "digest", "approvals"}``.

        :param statement: what will happen; ``purpose``, ``custody``, ``status`` and ``number`` in it are facts for the rules
        :param actor: whoever acts; ``system`` is the node itself, in the course of something that was authorised as such
        :raises ApprovalNeeded: the rules want officers' approval and none was named
        :raises NotAllowed: the rules say no
        :raises XinyinError: an approval was named and does not hold (:meth:`people.approvals.ApprovalService.demand`)
        """
        who = self._who(actor)
        spent = None
        if approval is not None:
            spent = self.approvals.demand(session, approval, action, subject, statement, actor=who.id, also=also)
        names = ("purpose", "custody", "status")
        facts = {name: statement[name] for name in names if isinstance(statement.get(name), str)}
        identifier = subject.get("key") or subject.get("role") or subject.get("certificate") or ""
        context = {
            "approvals": spent.count if spent else 0,
            "quorum": self.approvals.needed,
            "officers": self.approvals.keys.officers(session),
            "first": action == "key.create" or statement.get("number") == 1,
            "founding": self._founding(session),
        }
        resource = {"id": identifier, "region": self.approvals.region, **facts}
        decision = self.approvals.authoriser.decide(who, action, resource, context)
        if not decision.allowed and approval is None and decision.closest == "keys-by-quorum":
            raise ApprovalNeeded(
                f"{self.approvals.needed} officers must approve this step first: ask with `xinyin key ask STEP ID`, or on the "
                "officers' page, and name the approval.",
                f"该步骤须先由 {self.approvals.needed} 名密钥管理员批准：请用 `xinyin key ask 步骤 编号` 或在密钥管理页面申请，"
                "并指明批准编号。",
                action=action,
                subject=dict(subject),
                needed=self.approvals.needed,
            )
        rule = decision.require().rule
        return {
            "rule": rule,
            "approval": spent.approval if spent else None,
            "digest": spent.digest if spent else None,
            "approvals": spent.count if spent else 0,
        }

    def _who(self, actor: Principal | str) -> Principal:
        if not isinstance(actor, str):
            return actor
        if actor != "system":  # an account's identifier is no account: it must not pass for the node
            raise ValueError(f"{actor} must be given as the actor that it is")
        return Actor(actor, actor, region=self.approvals.region, kind="node")
