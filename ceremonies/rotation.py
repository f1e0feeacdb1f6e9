"""Rotation 轮换: the next key of a role from its making to the end of the one before it, one step at a time.

A step looks at what is there before it does anything, so that one that was killed anywhere is simply asked for again. What a
key's own state tells (made, active, retired, destroyed) is not written twice; the other steps are rows of ``key_steps``,
written with the approval that allowed them before the work begins. Sealing never stops: requests name the active key, the one
before it finishes what it began, and verifiers learn of the new key before it signs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ceremonies.asking import Asking, said_of
from ceremonies.keybook import KeyBook
from ceremonies.models import CeremonyRow, KeyStepRow
from ceremonies.steps import AUTHORITIES, needed
from crypto.errors import Conflict
from formats.dates import shown_time
from formats.x509 import Certificate, Subject
from hsm.schemas import Generation, KeyPurpose, KeyRole, KeyState
from policies.limits import DISTRIBUTION, DRAIN
from store.crashpoints import crash_point
from store.db import utc_now
from store.ids import new_id
from store.models import IntentRow

if TYPE_CHECKING:
    from ca.schemas import CertificateRecord
    from ceremonies.node import Node
    from people.schemas import Actor


class StepRefused(Conflict):
    """The step is not the key's next one; the message says which is, or what to wait for."""

    code = "rotation-step"


class Rotation:
    """The steps of every key of a node."""

    def __init__(self, node: Node, *, drain: timedelta = DRAIN, now: Callable[[], datetime] = utc_now) -> None:
        self.node = node
        self.drain = drain
        self._now = now
        self.book = KeyBook(self)
        self.asking = Asking(node)

    def plan(self, actor: Actor, role_id: str) -> dict[str, Any]:
        """See :meth:`ceremonies.keybook.KeyBook.plan`."""
        return self.book.plan(actor, role_id)

    def ask(self, actor: Actor, step: str, target: str, **said: Any) -> dict[str, Any]:
        """Ask officers to approve a step: see :meth:`ceremonies.asking.Asking.ask`."""
        return self.asking.ask(actor, step, target, said_of(step, **said))

    # -- what there is ----------------------------------------------------------------------------------------------------

    def step_rows(self, generation_id: str) -> dict[str, KeyStepRow]:
        """The steps on record for a key, by name."""
        with self.node.db.read() as session:
            rows = session.scalars(sa.select(KeyStepRow).where(KeyStepRow.generation_id == generation_id))
            return {row.step: row for row in rows}

    def unlisted(self) -> frozenset[str]:
        """Staged keys that no officer has let be distributed: our trust list does not name them yet."""
        with self.node.db.read() as session:
            begun = set(session.scalars(sa.select(KeyStepRow.generation_id).where(KeyStepRow.step == "distribute")))
        staged = {
            g.id for role in self.node.keys.roles() for g in self.node.keys.generations(role.id) if g.state is KeyState.staged
        }
        return frozenset(staged - begun)

    def compromised(self) -> dict[str, datetime]:
        """Keys that were declared compromised, with the time since when they are in doubt."""
        with self.node.db.read() as session:
            rows = session.scalars(sa.select(CeremonyRow).where(CeremonyRow.kind == "compromise"))
            return {row.generation_id: row.since or row.created_at for row in rows if row.generation_id}

    def running(self, generation_id: str) -> int:
        """Requests under way that name this key."""
        living = sa.select(IntentRow.generation_ids).where(IntentRow.status == "running", IntentRow.lease_until > self._now())
        with self.node.db.read() as session:
            return sum(generation_id in named for named in session.scalars(living))

    def certificate(self, generation: Generation) -> Certificate | None:
        """The newest certificate of a key that is good now."""
        return next(iter(self.node.ca.usable(generation.id)), None)

    def before(self, generation: Generation) -> list[Generation]:
        """Earlier keys of the same role, newest first."""
        earlier = [g for g in self.node.keys.generations(generation.role_id) if g.number < generation.number]
        return sorted(earlier, key=lambda g: -g.number)

    def model(self, generation: Generation) -> CertificateRecord | None:
        """The record of the role's newest certificate: whose names the next one carries."""
        for one in (generation, *self.before(generation)):
            found = self.node.ca.records(generation_id=one.id, limit=1)
            if found:
                return found[0]
        return None

    def done(self, generation: Generation, step: str, rows: Mapping[str, KeyStepRow] | None = None) -> bool:
        """Whether a step of this key's rotation is behind it. ``retire`` and ``destroy`` speak of the keys before it."""
        if step == "stage":
            return True
        if step == "activate":
            return generation.state is not KeyState.staged
        if step == "retire":
            return all(g.state not in (KeyState.active, KeyState.draining) for g in self.before(generation))
        if step == "destroy":
            return all(g.state is KeyState.destroyed for g in self.before(generation))
        row = (self.step_rows(generation.id) if rows is None else rows).get(step)
        if row is not None and row.done_at is not None:
            return True
        if generation.state is not KeyState.staged:
            return True  # a first key, made before there were steps
        if step == "certify":
            return self.certificate(generation) is not None
        return step == "file" and self.node.seals.remaker.filed(generation.role_id, generation.id) is not None

    # -- the steps --------------------------------------------------------------------------------------------------------

    def stage(self, actor: Actor, role_id: str, *, approval: str | None = None) -> Generation:
        """Make the role's next key in its token.

        :raises StepRefused: the key before last has not finished
        """
        open_ = [g for g in self.node.keys.generations(role_id) if g.state is KeyState.draining]
        if open_:
            raise StepRefused(
                f"Key {open_[0].number} of this role has not finished; retire it before the next one is made.",
                f"该用途的第 {open_[0].number} 代密钥尚在收尾；请先将其退役，再生成新密钥。",
                generation=open_[0].id,
            )
        return self.node.keys.stage(role_id, actor=actor, approval=approval)

    def prove(self, actor: Actor, generation_id: str) -> Generation:
        """Have the key sign a test phrase and verify it.

        :raises FaultySignature: the token signs wrongly
        """
        generation = self.node.keys.generation(generation_id)

        def work() -> dict[str, Any]:
            self.node.keys.probe(generation.id)
            return {"fingerprint": generation.public_key.fingerprint}

        return self._step(actor, generation, "prove", None, {}, work)

    def request(self, actor: Actor, generation_id: str) -> bytes:
        """DER PKCS#10 for an outside CA, with the names of the role's certificate before."""
        self.node.authorise(actor, "ca.csr")
        generation = self.node.keys.generation(generation_id)
        model = self.model(generation)
        if model is None:
            raise StepRefused(
                "This role never had a certificate whose names could be used; make the request with `xinyin ca csr`.",
                "该用途从未有过证书，无法沿用名称；请用 `xinyin ca csr` 生成证书请求。",
            )
        return self.node.ca.csr(generation, Subject.of(model.certificate), profile=model.profile, es_id=model.es_id)

    def certify(
        self,
        actor: Actor,
        generation_id: str,
        *,
        approval: str | None = None,
        certificate: bytes | None = None,
        chain: bytes | None = None,
    ) -> Generation:
        """A certificate for the staged key: from our own CA, or the one that an outside CA sent (checked).

        :param certificate: DER or PEM from an outside CA, ``chain`` its issuers up to the root
        :raises ImportRefused: what is wrong with it; :raises StepRefused: this role's certificates come from outside
        """
        generation = self._staged(generation_id, "certify")
        model = self.model(generation)
        outside = certificate is not None
        if model is not None and model.origin == "outside" and not outside:
            raise StepRefused(
                f"Certificates of this key come from outside ({model.issuer}): take the request, have it certified, import it.",
                f"该密钥的证书由外部 CA（{model.issuer}）签发：请导出证书请求，取得证书后导入。",
            )

        def work() -> dict[str, Any]:
            if certificate is not None:
                taken = self.node.ca.import_certificate(
                    generation,
                    certificate,
                    chain or b"",
                    profile=model.profile if model else "seal-holder",
                    es_id=model.es_id if model else None,
                    actor=actor.id,
                )
                return {"certificate": taken.certificate.sha256}
            return {"certificate": self._own_certificate(actor, generation, model).sha256}

        return self._step(actor, generation, "certify", approval, said_of("certify", certificate=certificate), work)

    def _own_certificate(self, actor: Actor, generation: Generation, model: CertificateRecord | None) -> Certificate:
        if generation.purpose is KeyPurpose.issuing_ca:
            return self.node.ca.succeed_issuing(generation.suite, generation).certificate
        if generation.purpose is KeyPurpose.root_ca:
            return self.node.ca.succeed_root(generation.suite, generation).certificate
        there = self.certificate(generation)
        if there is not None:
            return there
        if model is None:
            raise StepRefused(
                "This role never had a certificate; issue its first one with `xinyin ca csr` and an outside CA.",
                "该用途从未有过证书；请用 `xinyin ca csr` 向外部 CA 申请首张证书。",
            )
        return self.node.ca.issue_like(model, generation, actor=actor.id)

    def file(self, actor: Actor, generation_id: str, *, approval: str | None = None, number: str | None = None) -> Generation:
        """Make the seal again with the new key and file it (重新制作, 备案).

        :param number: the number under which the filing authority keeps it
        """
        generation = self._staged(generation_id, "file")

        def work() -> dict[str, Any]:
            made = self.node.seals.remaker.remake(
                generation.role_id, generation, actor=actor.id, reason="key rotation", number=number
            )
            return {"version": made.number, "ses": made.ses_blob, "filing": made.filing_blob}

        return self._step(actor, generation, "file", approval, said_of("file", number=number), work)

    def distribute(self, actor: Actor, generation_id: str, *, approval: str | None = None) -> Generation:
        """Publish the trust list with the new key in it, before it signs. A list whose own key was stopped cannot be signed:
        its next key is made known by another way, and publishes when it is put to use.
        """
        generation = self._staged(generation_id, "distribute")

        def work() -> dict[str, Any]:
            if generation.purpose is KeyPurpose.trust_list and not self._has_active(generation):
                return {"sequence": None}
            made = self.node.publish_trust()
            return {"sequence": made.sequence, "list": made.fingerprint}

        return self._step(actor, generation, "distribute", approval, {}, work)

    def activate(self, actor: Actor, generation_id: str, *, approval: str | None = None, hurry: bool = False) -> Generation:
        """Every new request uses this key from now on; the one before it finishes what it began.

        :param hurry: in production, before other regions have had the time to fetch the list
        :raises StepRefused: a step before it is missing
        """
        generation = self._staged(generation_id, "activate")
        if generation.state is KeyState.active:
            return generation
        if not hurry:
            self._check_distributed(generation)
        activated = self.node.keys.activate(generation_id, actor=actor, approval=approval)
        if generation.purpose is KeyPurpose.trust_list:
            self.node.publish_trust()  # signed with the new key, whose coming the list before announced
        return activated

    def retire(self, actor: Actor, generation_id: str, *, approval: str | None = None, now: bool = False) -> Generation:
        """The key signs no more, once nothing that names it is under way.

        :param now: do not wait for what is under way; those requests begin again with the active key
        :raises StepRefused: requests under way name it, or it gave way less than a lease ago
        """
        generation = self.node.keys.generation(generation_id)
        if generation.state is KeyState.retired:
            return generation
        if not now and generation.state is KeyState.draining:
            self._check_drained(generation)
        return self.node.keys.retire(generation_id, actor=actor, approval=approval)

    def destroy(self, actor: Actor, generation_id: str, *, approval: str | None = None) -> Generation:
        """Destroy the key in its token, for good.

        :raises StepRefused: a CA's key that still has certificates to answer for
        """
        generation = self.node.keys.generation(generation_id)
        if generation.state is KeyState.destroyed:
            return generation
        self._check_answers_no_more(generation)
        return self.node.keys.destroy(generation_id, actor=actor, approval=approval)

    # -- within -----------------------------------------------------------------------------------------------------------

    def _step(
        self,
        actor: Actor,
        generation: Generation,
        step: str,
        approval: str | None,
        said: Mapping[str, Any],
        work: Callable[[], dict[str, Any]],
    ) -> Generation:
        """Write the step down with what allows it, do it, write down what came of it."""
        row = self.step_rows(generation.id).get(step)
        if row is None:
            self._begin(actor, generation, step, approval, said)
            crash_point("rotation.step-begun")
        elif row.done_at is not None:
            return generation
        facts = work()
        crash_point("rotation.step-worked")

        def finish(session: Session) -> None:
            kept = session.scalars(
                sa.select(KeyStepRow)
                .where(KeyStepRow.generation_id == generation.id, KeyStepRow.step == step)
                .with_for_update()
            ).one()
            if kept.done_at is not None:
                return
            kept.done_at, kept.facts = self._now(), {**kept.facts, **facts}
            self.node.audit.append(
                session,
                kind=f"key.{_DONE[step]}",
                actor=actor.id,
                subject={"key": generation.id, "role": generation.role_id},
                data=facts,
                rule=kept.rule,
            )

        self.node.db.run(finish)
        return self.node.keys.generation(generation.id)

    def _begin(self, actor: Actor, generation: Generation, step: str, approval: str | None, said: Mapping[str, Any]) -> None:
        wanted = self.asking.own_step(generation, step, said)

        def begin(session: Session) -> None:
            under = self.node.gate.check(session, wanted.action, wanted.subject, wanted.statement, approval, actor=actor)
            row = KeyStepRow(
                id=new_id("step"),
                region=self.node.region,
                generation_id=generation.id,
                step=step,
                actor=actor.id,
                rule=under["rule"],
                facts={"statement": dict(wanted.statement), "approval": under["approval"]},
                begun_at=self._now(),
                done_at=None,
            )
            session.add(row)
            data = dict(wanted.statement)
            if under["approval"] is not None:
                data |= {"approval": under["approval"], "approval_digest": under["digest"]}
            self.node.audit.append(
                session,
                kind="key.step-begun",
                actor=actor.id,
                subject=dict(wanted.subject),
                data=data,
                rule=under["rule"],
            )

        self.node.db.run(begin)

    def _staged(self, generation_id: str, step: str) -> Generation:
        """The generation, if this step is open to it. :raises StepRefused: it is not, or another comes first"""
        generation = self.node.keys.generation(generation_id)
        if generation.state is not KeyState.staged and not (step == "activate" and generation.state is KeyState.active):
            raise StepRefused(
                f"Key {generation.number} is {generation.state}; this step is for a key that is being prepared.",
                f"第 {generation.number} 代密钥当前不是待启用状态，不能执行此步骤。",
                state=str(generation.state),
            )
        if generation.id in self.compromised():
            raise StepRefused(
                "This key was declared compromised; have it destroyed and make the next one.",
                "该密钥已按失密处置；请销毁后重新生成。",
            )
        if step not in needed(generation.purpose):
            raise StepRefused(
                "Keys of this purpose do not need this step.", "此用途的密钥不需要该步骤。", purpose=str(generation.purpose)
            )
        rows = self.step_rows(generation.id)
        for earlier in needed(generation.purpose):
            if earlier == step:
                return generation
            if not self.done(generation, earlier, rows):
                raise missing(earlier)
        return generation

    def _check_distributed(self, generation: Generation) -> None:
        if self.node.mode != "production" or "distribute" not in needed(generation.purpose) or not self._has_active(generation):
            return  # a role without a key waits for nothing
        row = self.step_rows(generation.id).get("distribute")
        if row is None or row.done_at is None or not self.before(generation):
            return
        ready = row.done_at + DISTRIBUTION
        if self._now() < ready:
            raise StepRefused(
                f"Other regions fetch our list once a day: this key can sign from {shown_time(ready)} on.",
                f"其他地区每天获取一次信任列表：该密钥自 {shown_time(ready)} 起方可启用。",
                ready=shown_time(ready),
            )

    def _has_active(self, generation: Generation) -> bool:
        return any(g.state is KeyState.active for g in self.node.keys.generations(generation.role_id))

    def _check_drained(self, generation: Generation) -> None:
        running = self.running(generation.id)
        if running:
            raise StepRefused(
                f"{running} requests that began with this key are under way; try again in a minute.",
                f"仍有 {running} 个请求正在使用该密钥；请一分钟后再试。",
                running=running,
            )
        since = generation.draining_at or self._now()
        if self._now() - since < self.drain:
            ready = shown_time(since + self.drain)
            raise StepRefused(
                f"The key gave way a moment ago; what was begun with it has until {ready}.",
                f"该密钥刚刚让位；在途请求可使用至 {ready}。",
                ready=ready,
            )

    def _check_answers_no_more(self, generation: Generation) -> None:
        if generation.purpose not in AUTHORITIES or generation.state is not KeyState.retired:
            return
        names = [a.name for a in self.node.ca.authorities() if a.generation_id == generation.id]
        living = [r for name in names for r in self.node.ca.records(authority=name, limit=1000) if r.not_after > self._now()]
        if living:
            last = max(r.not_after for r in living)
            raise StepRefused(
                f"This CA answers for certificates until {shown_time(last)}; its key signs their revocation lists until then.",
                f"该 CA 须对其签发的证书负责至 {shown_time(last)}；在此之前仍需其密钥签发吊销列表。",
                until=shown_time(last),
            )


_DONE = {"prove": "proved", "certify": "certified", "file": "filed", "distribute": "distributed"}


def key_facts(generation: Generation) -> dict[str, Any]:
    """What the rules are told of a key."""
    return {
        "id": generation.id,
        "purpose": str(generation.purpose),
        "custody": generation.custody,
        "status": str(generation.state),
    }


def role_facts(role: KeyRole) -> dict[str, Any]:
    """What the rules are told of a role whose next key is to be made."""
    return {"id": role.id, "purpose": str(role.purpose), "custody": role.custody, "status": role.status}


def missing(step: str) -> StepRefused:
    """For raising: which step comes first."""
    from ceremonies.steps import WORDS

    words = WORDS[step]
    return StepRefused(f"First: {words.name.lower()} ({step}).", f"请先完成“{words.name_zh}”（{step}）。", step=step)
