"""What runs out, the most urgent first: keys, certificates, revocation lists, trust lists, seals, and steps left half done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ca.models import CrlRow
from ceremonies.models import CeremonyRow
from formats.dates import shown_time
from hsm.schemas import KeyPurpose, KeyState
from policies.limits import SEAL_KEY_AGE, WARN_BEFORE
from seals.models import SealRow
from store.db import utc_now

if TYPE_CHECKING:
    from ceremonies.node import Node
    from people.schemas import Actor

_SIGNING = (KeyState.staged, KeyState.active, KeyState.draining)
_CUT_SHORT = timedelta(days=3 * 365)
"""A CA is succeeded before the certificates that it issues would outlive it."""
_RENEWED_BY_WORKER = timedelta(days=2)
"""What the worker renews at half of its life and still is this near its end: the worker stands still."""


@dataclass(frozen=True)
class Due:
    """Something that ends at ``at`` and what to do about it; ``role`` leads to the key's page."""

    kind: str
    at: datetime
    what: str
    what_zh: str
    do: str
    do_zh: str
    role: str | None = None


class Expiry:
    """Looks through every room for what ends."""

    def __init__(self, node: Node, *, now: Callable[[], datetime] = utc_now) -> None:
        self.node = node
        self._now = now

    def overview(self, actor: Actor, *, within: timedelta = WARN_BEFORE) -> list[dict[str, Any]]:
        """What ends within this time or has ended, the most urgent first.

        :raises NotAllowed: not for this caller
        """
        self.node.authorise(actor, "key.list")
        moment = self._now()
        parts = (self._stopped, self._certificates, self._authorities, self._keys, self._seals, self._lists, self._trust)
        found = [due for part in parts for due in part(moment) if due.at <= moment + within]
        return [_shown(due, moment) for due in sorted(found, key=lambda due: due.at)]

    def _stopped(self, moment: datetime) -> Iterator[Due]:
        with self.node.db.read() as session:
            open_ = session.scalars(sa.select(CeremonyRow).where(CeremonyRow.status.in_(("running", "incomplete")))).all()
        for row in open_:
            if row.kind == "compromise" and row.generation_id:
                role = self.node.keys.generation(row.generation_id).role_id
                yield Due(
                    "compromise", row.created_at, "A compromise is not dealt with to the end", "失密处置尚未完成",
                    "Declare it again: what is left is done then.", "请再次执行失密处置，系统将完成剩余部分。", role,
                )  # fmt: skip
        for role_ in self.node.keys.roles():
            if role_.status in ("retired", "staged") and role_.purpose is not KeyPurpose.drill:
                en, zh = self.node.rotation.book.label(role_)
                yield Due(
                    "no-key", moment, f"{en}: no key in use", f"{zh}：没有启用的密钥", "Put the next key to use.",
                    "请生成并启用新密钥。", role_.id,
                )  # fmt: skip

    def _certificates(self, moment: datetime) -> Iterator[Due]:
        for record in self.node.ca.expiring(WARN_BEFORE):
            if record.generation_id is None or record.profile == "ocsp" or record.certificate.is_ca:
                continue
            generation = self.node.keys.generation(record.generation_id)
            if generation.state not in _SIGNING or self._has_later(generation.id, record.not_after):
                continue
            role = self.node.keys.role(generation.role_id)
            en, zh = self.node.rotation.book.label(role)
            yield Due(
                "certificate", record.not_after, f"{en}: certificate", f"{zh}：证书", "Rotate the key, which brings a new one.",
                "请轮换密钥并取得新证书。", role.id,
            )  # fmt: skip

    def _has_later(self, generation_id: str, end: datetime) -> bool:
        return any(c.not_after > end for c in self.node.ca.usable(generation_id))

    def _authorities(self, moment: datetime) -> Iterator[Due]:
        for one in self.node.ca.authorities():
            if one.status != "active":
                continue
            role = self.node.keys.generation(one.generation_id).role_id
            en, zh = self.node.rotation.book.label(self.node.keys.role(role))
            yield Due(
                "authority", one.certificate.not_after - _CUT_SHORT, f"{en}: successor", f"{zh}：后继 CA",
                "Rotate its key, or the certificates that it issues are cut short.",
                "请轮换其密钥，否则其签发的证书有效期将被缩短。", role,
            )  # fmt: skip

    def _keys(self, moment: datetime) -> Iterator[Due]:
        for role in self.node.keys.roles(KeyPurpose.seal_holder):
            for one in self.node.keys.generations(role.id):
                if one.state is KeyState.active and one.activated_at is not None:
                    en, zh = self.node.rotation.book.label(role)
                    yield Due(
                        "key-age", one.activated_at + SEAL_KEY_AGE, f"{en}: age of the key", f"{zh}：密钥使用年限",
                        "Rotate the key.", "请轮换密钥。", role.id,
                    )  # fmt: skip

    def _seals(self, moment: datetime) -> Iterator[Due]:
        statement = sa.select(SealRow).where(SealRow.region == self.node.region, SealRow.status == "in-force")
        with self.node.db.read() as session:
            for row in session.scalars(statement):
                yield Due(
                    "seal", row.valid_to, f"Seal {row.name}", f"印章：{row.name}",
                    "Rotate one of its keys: the seal is made again with a new term.",
                    "请轮换其密钥：印章随之重新制作并延长有效期。",
                )  # fmt: skip

    def _lists(self, moment: datetime) -> Iterator[Due]:
        newest = sa.select(CrlRow.authority, sa.func.max(CrlRow.number).label("n")).group_by(CrlRow.authority).subquery()
        statement = sa.select(CrlRow.authority, CrlRow.next_update).join(
            newest, sa.and_(newest.c.authority == CrlRow.authority, newest.c.n == CrlRow.number)
        )
        with self.node.db.read() as session:
            ends = {row.authority: row.next_update for row in session.execute(statement)}
        for one in self.node.ca.authorities():
            end = ends.get(one.name, moment)
            if one.kind == "root":
                do = "Log the root token in and sign it: xinyin ca root-login."
                yield Due(
                    "crl", end, f"Revocation list of {one.name}", f"吊销列表：{one.name}", do,
                    "请登录根 CA 令牌并签发：xinyin ca root-login。",
                )  # fmt: skip
            elif end <= moment + _RENEWED_BY_WORKER:
                yield Due(
                    "crl", end, f"Revocation list of {one.name}", f"吊销列表：{one.name}",
                    "Start xinyin worker, which renews it.", "请启动 xinyin worker，由其自动续签。",
                )  # fmt: skip

    def _trust(self, moment: datetime) -> Iterator[Due]:
        for one in self.node.trust_store().lists:
            if one.next_update is None:
                continue
            own = one.region == self.node.region
            if own and one.next_update > moment + timedelta(days=10):
                continue  # the worker renews it at half of its thirty days
            do = "Start xinyin worker, or publish: xinyin trust publish." if own else "Fetch the region's newest list."
            do_zh = "请启动 xinyin worker，或执行 xinyin trust publish。" if own else "请获取该地区最新的信任列表。"
            if own or one.next_update <= moment + timedelta(days=14):
                yield Due("trust-list", one.next_update, f"Trust list of {one.name}", f"信任列表：{one.name}", do, do_zh)


def _shown(due: Due, moment: datetime) -> dict[str, Any]:
    days = (due.at - moment).days
    urgency = "overdue" if due.at <= moment else "urgent" if days < 14 else "soon"
    return {
        "kind": due.kind,
        "what": due.what,
        "what_zh": due.what_zh,
        "at": shown_time(due.at),
        "days": days,
        "urgency": urgency,
        "do": due.do,
        "do_zh": due.do_zh,
        "role": due.role,
    }
