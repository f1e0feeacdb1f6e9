"""Practice 演练: the whole life of two keys in the real token, with certificates of the real CA, in half a minute.

The keys have a purpose of their own (``drill``), so that nothing they sign means anything; they are destroyed and their
certificates revoked in the end, whatever happened. What each step did and how long it took stays on record.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from ceremonies.models import CeremonyRow
from crypto.errors import Misconfigured, XinyinError
from crypto.suites import Suite
from formats.x509 import Certificate, Subject
from hsm.errors import KeyStateForbids
from hsm.schemas import Generation, KeyPurpose, KeyState
from store.db import utc_now
from store.ids import new_id
from store.intents import Attempt, Outcome

if TYPE_CHECKING:
    from ceremonies.node import Node
    from people.schemas import Actor

_WORDS: dict[str, tuple[str, str]] = {
    "stage": ("The token made a key.", "令牌生成了密钥。"),
    "prove": ("The key signed a test phrase, and the signature verified.", "密钥试签，签名验证通过。"),
    "certify": ("Our CA certified the key.", "本节点 CA 签发了证书。"),
    "activate": ("The key was put to use.", "密钥已启用。"),
    "sign": ("It signed within a request.", "密钥在签署请求内完成签名。"),
    "stage-next": (
        "The token made the next key, tried and certified like the first.",
        "令牌生成下一代密钥，并完成试签与取证。",
    ),
    "overlap": (
        "The next key took over while a request was under way, and the old key finished that request.",
        "在一个请求进行中启用下一代密钥，旧密钥完成了该请求。",
    ),
    "sign-next": ("New requests are signed with the next key.", "新请求由下一代密钥签名。"),
    "retire": ("The old key was retired.", "旧密钥已退役。"),
    "refused": ("The retired key refused to sign.", "退役密钥拒绝签名。"),
    "destroy": ("The old key was destroyed in the token.", "旧密钥已在令牌内销毁。"),
    "verify": ("What both keys signed still verifies.", "两代密钥的签名仍可验证。"),
    "clean": ("The certificates were revoked and the last key destroyed.", "证书已吊销，最后的密钥已销毁。"),
}


class DrillFailed(Misconfigured):
    """A step did what it must not, or did not do what it must."""

    code = "drill-failed"


class Drill:
    """One drill: :meth:`run` it once."""

    def __init__(self, node: Node, *, now: Callable[[], datetime] = utc_now) -> None:
        self.node = node
        self._now = now
        self._steps: list[dict[str, Any]] = []
        self._signed: list[tuple[Generation, bytes, bytes]] = []
        self._keys: list[Generation] = []
        self._certificates: list[Certificate] = []

    def run(self, actor: Actor, suite: Suite | str = Suite.SM2) -> dict[str, Any]:
        """Practise a rotation with keys of this suite; the record: ``{"id", "status", "steps": [{"step", "ok", "ms", …}]}``.

        A step that fails ends the practice and is on record; the scratch keys go in any case.

        :raises NotAllowed: not by this caller
        """
        rule = self.node.authorise(actor, "key.drill", {"purpose": "drill"})
        drill = new_id("ceremony")
        self._begin(actor, drill, Suite(suite), rule)
        parts: list[tuple[str, Callable[[], None]]] = [
            ("stage", lambda: self._stage(drill, Suite(suite))),
            ("prove", lambda: self.node.keys.probe(self._keys[0].id)),
            ("certify", lambda: self._certify(self._keys[0])),
            ("activate", lambda: self._activate(self._keys[0])),
            ("sign", lambda: self._sign(actor, self._keys[0])),
            ("stage-next", lambda: self._next(self._keys[0].role_id)),
            ("overlap", lambda: self._overlap(actor)),
            ("sign-next", lambda: self._sign(actor, self._keys[1])),
            ("retire", lambda: self._retire(self._keys[0])),
            ("refused", lambda: self._refused(actor)),
            ("destroy", lambda: self._destroy(self._keys[0])),
            ("verify", self._verify),
        ]
        good = all(self._timed(name, work) for name, work in parts)
        good = self._timed("clean", self._clean) and good
        return self._close(actor, drill, "done" if good else "failed", rule)

    # -- the steps --------------------------------------------------------------------------------------------------------

    def _stage(self, drill: str, suite: Suite) -> None:
        role = self.node.keys.create_role(KeyPurpose.drill, suite, f"drill {drill}")
        self._keys.append(self.node.keys.stage(role.id))

    def _certify(self, key: Generation) -> None:
        subject = Subject(f"密钥演练 {key.id[-8:]}", organization=self.node.name)
        self._certificates.append(self.node.ca.issue(profile="receipt", generation=key, subject=subject))

    def _activate(self, key: Generation) -> None:
        self.node.keys.activate(key.id)

    def _next(self, role_id: str) -> None:
        self._keys.append(self.node.keys.stage(role_id))
        self.node.keys.probe(self._keys[1].id)
        self._certify(self._keys[1])

    def _sign(self, actor: Actor, key: Generation, meanwhile: Callable[[], None] | None = None) -> None:
        """A request of its own, as sealing makes one; ``meanwhile`` happens between its beginning and the signature."""
        message = b"drill " + secrets.token_bytes(32)

        def work(attempt: Attempt) -> Outcome:
            if meanwhile is not None:
                meanwhile()
            return Outcome(value=self.node.keys.signer(key.id, attempt).sign(message))

        def commit(session: Session, outcome: Outcome, attempt: Attempt) -> dict[str, Any]:
            data = {"message": hashlib.sha256(message).hexdigest(), "attempt": attempt.number}
            self.node.audit.append(
                session, kind="key.drill-signed", actor=actor.id, subject={"key": key.id}, data=data, rule=None
            )
            return data

        kept: list[bytes] = []
        self.node.intents.perform(
            account=actor.id,
            operation="key.drill",
            key=None,
            request_digest=hashlib.sha256(message).hexdigest(),
            subject={"key": key.id},
            generation_ids=[key.id],
            work=lambda attempt: _keep(work(attempt), kept),
            commit=commit,
        )
        self._signed.append((key, message, kept[0]))

    def _overlap(self, actor: Actor) -> None:
        self._sign(actor, self._keys[0], meanwhile=lambda: self._activate(self._keys[1]))

    def _retire(self, key: Generation) -> None:
        self.node.keys.retire(key.id)

    def _refused(self, actor: Actor) -> None:
        try:
            self._sign(actor, self._keys[0])
        except KeyStateForbids:
            return
        raise DrillFailed(
            "The retired key signed. Stop sealing, and run `xinyin doctor`.",
            "退役密钥仍可签名：请停止用印并运行 `xinyin doctor`。",
        )

    def _destroy(self, key: Generation) -> None:
        self.node.keys.destroy(key.id)

    def _verify(self) -> None:
        for key, message, signature in self._signed:
            if not key.public_key.verify(message, signature):
                raise DrillFailed(
                    "A signature does not verify; run `xinyin doctor`.", "签名验证未通过；请运行 `xinyin doctor`。"
                )

    def _clean(self) -> None:
        """Nothing of the drill is left in force."""
        for certificate in self._certificates:
            self.node.ca.revoke(certificate.serial_hex, "cessationOfOperation")
        for key in self._keys:
            state = self.node.keys.generation(key.id).state
            if state in (KeyState.active, KeyState.draining):
                self.node.keys.retire(key.id)
            if state is not KeyState.destroyed:
                self.node.keys.destroy(key.id)

    # -- the record -------------------------------------------------------------------------------------------------------

    def _timed(self, name: str, work: Callable[[], None]) -> bool:
        started = time.monotonic()
        said: dict[str, Any] = {"step": name, "ok": True, "text": _WORDS[name][0], "text_zh": _WORDS[name][1]}
        try:
            work()
        except XinyinError as exc:
            said |= {"ok": False, "code": exc.code, "text": exc.message, "text_zh": exc.message_zh}
        self._steps.append({**said, "ms": round((time.monotonic() - started) * 1000)})
        return bool(said["ok"])

    def _begin(self, actor: Actor, drill: str, suite: Suite, rule: str) -> None:
        def write(session: Session) -> None:
            row = CeremonyRow(
                id=drill, region=self.node.region, kind="drill", status="running", generation_id=None, actor=actor.id,
                reason=f"practice, {suite.value}", since=None, facts={"suite": suite.value}, report_blob=None,
                created_at=self._now(), ended_at=None,
            )  # fmt: skip
            session.add(row)
            self.node.audit.append(
                session,
                kind="key.drill-begun",
                actor=actor.id,
                subject={"ceremony": drill},
                data={"suite": suite.value},
                rule=rule,
            )

        self.node.db.run(write)

    def _close(self, actor: Actor, drill: str, status: str, rule: str) -> dict[str, Any]:
        def write(session: Session) -> None:
            row = session.get_one(CeremonyRow, drill)
            row.status, row.ended_at = status, self._now()
            row.facts = {**row.facts, "steps": self._steps, "keys": [key.id for key in self._keys]}
            data = {"status": status, "steps": {s["step"]: s["ok"] for s in self._steps}}
            self.node.audit.append(
                session, kind="key.drilled", actor=actor.id, subject={"ceremony": drill}, data=data, rule=rule
            )

        self.node.db.run(write)
        return self.node.compromise.report(actor, drill)


def _keep(outcome: Outcome, kept: list[bytes]) -> Outcome:
    kept.append(outcome.value)
    return outcome
