"""What officers are asked to approve: a rotation's step, exactly and in words, and the request that stands for it already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ceremonies.steps import ACTIONS, OWN_WORK
from crypto.errors import BadInput
from formats.x509 import Certificate
from hsm.gate import Step
from hsm.schemas import Generation

if TYPE_CHECKING:
    from ceremonies.node import Node
    from people.schemas import Actor

_OF_KEYS = frozenset({"stage", "activate", "retire", "destroy"})
"""Steps that the key service takes and words itself."""
_STANDING = ("granted", "open")


class Asking:
    """Words steps, and asks for their approval."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def foresee(self, step: str, target: str, said: Mapping[str, Any] | None = None) -> Step:
        """What a step would do now.

        :param target: a role for ``stage``, a key generation for the others
        :param said: what more the step is to do: a filing number, an outside certificate's digest
        :raises BadInput: no step that officers approve; :raises KeyStateForbids: not open to this key
        """
        if step not in ACTIONS or step in OWN_WORK:
            raise BadInput(
                f"Officers approve {', '.join(s for s in ACTIONS if s not in OWN_WORK)}.",
                "该步骤不需要密钥管理员批准，或步骤名称有误。",
            )
        if step in _OF_KEYS:
            return self._node.keys.foresee(ACTIONS[step], target)
        return self.own_step(self._node.keys.generation(target), step, said or {})

    def own_step(self, generation: Generation, step: str, said: Mapping[str, Any]) -> Step:
        """``certify``, ``file`` or ``distribute``, as it is approved and as it is carried out."""
        label_en, label_zh = self._node.rotation.book.label(self._node.keys.role(generation.role_id))
        words = {
            "certify": (
                f"Certify generation {generation.number} of “{label_en}” by this node's own CA, under the names it had.",
                f"由本节点 CA 按原名称为“{label_zh}”的第 {generation.number} 代密钥签发证书。",
            ),
            "file": (
                f"Make the seal of “{label_en}” again, naming generation {generation.number}, and file it.",
                f"以第 {generation.number} 代密钥重新制作“{label_zh}”并备案。",
            ),
            "distribute": (
                f"Publish generation {generation.number} of “{label_en}” in this region's trust list.",
                f"在本地区信任列表中发布“{label_zh}”的第 {generation.number} 代密钥。",
            ),
        }
        en, zh = words.get(step, (f"{step}: {label_en}", f"{step}：{label_zh}"))
        if "certificate" in said:
            short = f"{said['certificate'][:16]}…"
            en = f"Take an outside CA's certificate {short} for generation {generation.number} of “{label_en}”."
            zh = f"为“{label_zh}”的第 {generation.number} 代密钥导入外部 CA 的证书（{short}）。"
        if "number" in said:
            en, zh = f"{en} Filing number: {said['number']}.", f"{zh}备案编号：{said['number']}。"
        statement = {
            "step": step,
            "purpose": str(generation.purpose),
            "suite": str(generation.suite),
            "custody": generation.custody,
            "number": generation.number,
            "status": str(generation.state),
            "public_key_sha256": generation.public_key.fingerprint,
            **{key if key != "number" else "filing_number": value for key, value in said.items()},
        }
        action = "ca.import" if "certificate" in said else ACTIONS[step]
        return Step(action, {"role": generation.role_id, "key": generation.id}, statement, en, zh)

    def ask(self, actor: Actor, step: str, target: str, said: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask officers to approve a step; the same asked before is given back while it is open.

        :raises NotAllowed: not by this caller
        """
        self._node.authorise(actor, "approval.request")
        wanted = self.foresee(step, target, said)
        standing = self.standing(actor, wanted)
        if standing is not None:
            return standing
        return self._node.approvals.request(
            actor,
            action=wanted.action,
            subject=wanted.subject,
            statement=wanted.statement,
            words_zh=wanted.words_zh,
            words_en=wanted.words_en,
        )

    def standing(self, actor: Actor, wanted: Step) -> dict[str, Any] | None:
        """The request for exactly this that is granted, else one that is open; None if there is neither."""
        return next((one for one in self._about(actor, wanted) if dict(one["statement"]) == dict(wanted.statement)), None)

    def standing_for(self, actor: Actor, step: str, target: str) -> dict[str, Any] | None:
        """The same, whatever filing number or outside certificate the request names."""
        wanted = self.foresee(step, target)
        for one in self._about(actor, wanted):
            said = {key: value for key, value in one["statement"].items() if key not in ("filing_number", "certificate")}
            if said == dict(wanted.statement):
                return one
        return None

    def _about(self, actor: Actor, wanted: Step) -> list[dict[str, Any]]:
        actions = {wanted.action} | ({"ca.import"} if wanted.action == "ca.issue" else set())
        return [
            one
            for status in _STANDING
            for one in self._node.approvals.list(actor, status=status, limit=200)[0]
            if one["action"] in actions and dict(one["subject"]) == dict(wanted.subject)
        ]


def said_of(step: str, *, number: str | None = None, certificate: bytes | None = None) -> dict[str, str]:
    """What a caller adds to a step, as officers approve it.

    :raises BadInput: it does not go with the step
    """
    said: dict[str, str] = {}
    if number:
        said["number"] = number
    if certificate is not None:
        said["certificate"] = Certificate.parse(certificate).sha256
    if (number and step != "file") or (certificate is not None and step != "certify"):
        raise BadInput(
            "A filing number goes with the step file, a certificate with certify.",
            "备案编号用于重新制作并备案（file），证书用于取得证书（certify）。",
        )
    return said
