"""What officers see of keys: every role with its generations, where its rotation stands, and what the next step would do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ceremonies.models import KeyStepRow
from ceremonies.plain import plain
from ceremonies.steps import ACTIONS, AUTHORITIES, DISTRIBUTED, OWN_WORK, PURPOSES, STATES, SUITES, WORDS, needed
from formats.dates import shown_time
from hsm.schemas import Generation, KeyPurpose, KeyRole, KeyState
from policies.limits import DISTRIBUTION

if TYPE_CHECKING:
    from ceremonies.rotation import Rotation
    from people.schemas import Actor

_ENOUGH = 2
"""Approvals that every rule is content with; how many one needs is the rules' own matter."""


class KeyBook:
    """Reads; :class:`ceremonies.rotation.Rotation` acts."""

    def __init__(self, rotation: Rotation) -> None:
        self._rotation = rotation
        self._node = rotation.node

    def roles(self, actor: Actor) -> list[dict[str, Any]]:
        """Every role in a line or two, those in the middle of something first.

        :raises NotAllowed: not for this caller
        """
        self._node.authorise(actor, "key.list")
        found = [self._summary(role, self._node.keys.generations(role.id)) for role in self._node.keys.roles()]
        found = [one for one in found if one["purpose"] != KeyPurpose.drill]
        order = {"stopped": 0, "rotating": 1, "draining": 2}
        return sorted(found, key=lambda r: (order.get(r["rotation"], 3), list(PURPOSES).index(r["purpose"]), r["label_zh"]))

    def role(self, actor: Actor, role_id: str) -> dict[str, Any]:
        """One role: its generations, newest first, and its rotation as steps.

        :raises NoSuchRole: none; :raises NotAllowed: not for this caller
        """
        self._node.authorise(actor, "key.show", {"id": role_id})
        role = self._node.keys.role(role_id)
        generations = self._node.keys.generations(role_id)
        target = _target(role, generations)
        return {
            **self._summary(role, generations),
            "generations": [self.generation(one) for one in reversed(generations)],
            "target": target.id if target else None,
            "steps": self._steps(actor, role, generations, target),
        }

    def plan(self, actor: Actor, role_id: str) -> dict[str, Any]:
        """What the rotation of a role will do from here on, step by step, and what each step needs.

        :raises NoSuchRole: none; :raises NotAllowed: not for this caller
        """
        self._node.authorise(actor, "key.plan", {"id": role_id})
        found = self.role(actor, role_id)
        open_ = [s for s in found["steps"] if s["state"] != "done"]
        return {key: value for key, value in found.items() if key != "generations"} | {"remaining": len(open_)}

    def generation(self, one: Generation) -> dict[str, Any]:
        """One key with its certificates and how much it has to do."""
        doubted = self._rotation.compromised().get(one.id)
        certificates = [
            {
                "serial": r.serial,
                "subject": r.subject,
                "issuer": r.issuer,
                "origin": r.origin,
                "status": r.status,
                "not_after": shown_time(r.not_after),
            }
            for r in self._node.ca.records(generation_id=one.id, limit=20)
        ]
        return {
            **shown(one),
            "status_en": STATES[str(one.state)][0],
            "status_zh": STATES[str(one.state)][1],
            "certificates": certificates,
            "running": self._rotation.running(one.id) if one.state in (KeyState.active, KeyState.draining) else 0,
            "compromised_since": shown_time(doubted) if doubted else None,
        }

    def label(self, role: KeyRole) -> tuple[str, str]:
        """What people call a role, in English and Chinese: the seal's name, else the purpose and the suite."""
        en, zh = PURPOSES[role.purpose]
        suite = SUITES[role.suite]
        if role.purpose is KeyPurpose.seal_holder:
            seal = self._node.seals.remaker.seal_of(role.id)
            if seal is None:
                return f"{role.name} ({suite})", f"{role.name}（{suite}）"
            return f"{en}: {seal.name} ({suite})", f"{zh}：{seal.name}（{suite}）"
        if role.purpose is KeyPurpose.licence_issuer:
            name = {r: n for n, r in self._node.licences.issuing_roles()}.get(role.id, role.name)
            return f"{en}: {name} ({suite})", f"{zh}：{name}（{suite}）"
        return f"{en} ({suite})", f"{zh}（{suite}）"

    # -- within -----------------------------------------------------------------------------------------------------------

    def _summary(self, role: KeyRole, generations: list[Generation]) -> dict[str, Any]:
        active = next((g for g in generations if g.state is KeyState.active), None)
        staged = any(g.state is KeyState.staged for g in generations)
        draining = any(g.state is KeyState.draining for g in generations)
        en, zh = self.label(role)
        doing = "stopped" if active is None and generations else "rotating" if staged else "draining" if draining else "steady"
        seal = self._node.seals.remaker.seal_of(role.id) if role.purpose is KeyPurpose.seal_holder else None
        return {
            **plain(role),
            "label": en,
            "label_zh": zh,
            "active": active.id if active else None,
            "active_number": active.number if active else None,
            "active_since": shown_time(active.activated_at) if active and active.activated_at else None,
            "rotation": doing,
            "seal": {"id": seal.id, "name": seal.name, "status": seal.status} if seal else None,
        }

    def _steps(
        self, actor: Actor, role: KeyRole, generations: list[Generation], target: Generation | None
    ) -> list[dict[str, Any]]:
        rows = self._rotation.step_rows(target.id) if target else {}
        found, current = [], False
        for step in needed(role.purpose):
            if target is None:
                state = "current" if step == "stage" else "waiting"
            elif self._rotation.done(target, step, rows):
                state = "done"
            else:
                state = "waiting" if current else "current"
            current = current or state == "current"
            words = WORDS[step]
            key = _key_of(step, target, generations)
            found.append(
                {
                    "step": step,
                    "name": words.name,
                    "name_zh": words.name_zh,
                    "text": words.text,
                    "text_zh": words.text_zh,
                    "state": state,
                    "generation": key.id if key else None,
                    **self._when(step, target, key, rows),
                    "needs": [] if state == "done" else self._needs(actor, step, role, key),
                    "details": self._details(step, role, generations, target, key),
                }
            )
        return found

    def _when(
        self, step: str, target: Generation | None, key: Generation | None, rows: Mapping[str, KeyStepRow]
    ) -> dict[str, Any]:
        if step in rows:
            row = rows[step]
            return {"at": shown_time(row.done_at) if row.done_at else None, "actor": row.actor, "facts": row.facts}
        moments = {
            "stage": target.created_at if target else None,
            "activate": target.activated_at if target else None,
            "retire": key.retired_at if key else None,
            "destroy": key.destroyed_at if key else None,
        }
        at = moments.get(step)
        return {"at": shown_time(at) if at else None, "actor": None, "facts": {}}

    def _needs(self, actor: Actor, step: str, role: KeyRole, key: Generation | None) -> list[dict[str, str]]:
        """What must be there before this step can be taken, in words."""
        needs = []
        if step not in OWN_WORK and not self._allowed(actor, step, role, key, 0):
            if self._allowed(actor, step, role, key, _ENOUGH):
                needs.append(_need("approvals", "Two officers approve exactly this.", "两名密钥管理员批准该步骤。"))
            else:
                needs.append(_need("officer", "A security officer takes this step.", "由密钥管理员执行该步骤。"))
        if step in ("stage", "prove", "certify", "destroy") and (
            role.purpose is KeyPurpose.root_ca or (role.purpose is KeyPurpose.issuing_ca and step == "certify")
        ):
            needs.append(_need("root-token", "The root CA's token is logged in.", "根 CA 的令牌已登录。"))
        if step == "certify" and key is not None and role.purpose not in AUTHORITIES:
            model = self._rotation.model(key)
            if model is not None and model.origin == "outside":
                text = f"The certificate comes from outside: {model.issuer}."
                needs.append(_need("outside-ca", text, f"证书由外部 CA 签发：{model.issuer}。"))
        if step == "activate" and role.purpose in DISTRIBUTED and self._node.mode == "production":
            hours = int(DISTRIBUTION.total_seconds() // 3600)
            needs.append(_need("wait", f"{hours} hours since the new key was published.", f"新密钥发布已满 {hours} 小时。"))
        if step == "retire":
            seconds = int(self._rotation.drain.total_seconds())
            text = f"Nothing that names the old key is under way, {seconds} s after it gave way."
            needs.append(_need("drained", text, f"旧密钥让位满 {seconds} 秒，且无在途请求。"))
        return needs

    def _allowed(self, actor: Actor, step: str, role: KeyRole, key: Generation | None, approvals: int) -> bool:
        from ceremonies.rotation import key_facts, role_facts

        facts = key_facts(key) if key is not None and step != "stage" else role_facts(role)
        context = {"approvals": approvals} if approvals else {}
        facts = {"region": self._node.region, **facts}
        return self._node.authoriser.decide(actor, ACTIONS[step], facts, context).allowed

    def _details(
        self, step: str, role: KeyRole, generations: list[Generation], target: Generation | None, key: Generation | None
    ) -> list[dict[str, str]]:
        """What exactly would be done, as name and value; times and numbers as they are."""
        number = target.number if target else 1 + max((g.number for g in generations), default=0)
        if step == "stage":
            token = (generations[-1].token_label if generations else "") or role.custody
            kind = f"{SUITES[role.suite]}{f' {role.bits}' if role.suite == 'rsa' else ''}"
            return [_detail("Key", "密钥", f"{kind} · {number}"), _detail("Token", "令牌", token)]
        if target is None:
            return []
        if step in ("prove", "distribute", "activate"):
            return [_detail("Key", "密钥", str(number)), _fingerprint(target)]
        if step == "certify":
            model = self._rotation.model(target)
            return [
                _detail("Name", "名称", model.subject if model else "—"),
                _detail("Issuer", "颁发者", model.issuer if model else "—"),
            ]
        if step == "file":
            seal = self._node.seals.remaker.seal_of(role.id)
            version = self._rotation.node.seals.remaker.filed(role.id, target.id)
            next_ = version.number if version else (seal.version + 1 if seal else 1)
            return [_detail("Seal", "印章", seal.name if seal else "—"), _detail("Version", "版本", str(next_))]
        return [_detail("Key", "密钥", str(key.number)), _fingerprint(key)] if key else []


def shown(one: Generation) -> dict[str, Any]:
    """A key as plain JSON with its ``status``: what a step answers."""
    return {**plain(one), "status": str(one.state), "public_key_sha256": one.public_key.fingerprint}


def _target(role: KeyRole, generations: list[Generation]) -> Generation | None:
    """The key that the stepper is about: the one being prepared, else the active one while an earlier key is not at its end.
    A CA's earlier key goes on signing revocation lists for years: that is an end too.
    """
    staged = next((g for g in generations if g.state is KeyState.staged), None)
    if staged is not None:
        return staged
    active = next((g for g in generations if g.state is KeyState.active), None)
    waiting = {KeyState.draining} | (set() if role.purpose in AUTHORITIES else {KeyState.retired})
    return active if active is not None and any(g.state in waiting for g in generations) else None


def _key_of(step: str, target: Generation | None, generations: list[Generation]) -> Generation | None:
    """The key that a step acts on: the new one, or for its last two the one that gave or will give way."""
    if step not in ("retire", "destroy"):
        return target
    earlier = [g for g in generations if (target is None or g.number < target.number)]
    wanted = (KeyState.draining, KeyState.active) if step == "retire" else (KeyState.retired,)
    return next((g for g in reversed(earlier) if g.state in wanted), earlier[-1] if earlier and target else None)


def _fingerprint(one: Generation) -> dict[str, str]:
    return _detail("Fingerprint", "指纹", one.public_key.fingerprint)


def _need(code: str, text: str, text_zh: str) -> dict[str, str]:
    return {"code": code, "text": text, "text_zh": text_zh}


def _detail(name: str, name_zh: str, value: str) -> dict[str, str]:
    return {"name": name, "name_zh": name_zh, "value": value}
