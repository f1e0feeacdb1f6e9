"""What a step on a key will do, exactly and in words: asked for approval with it, checked against it when it happens."""

from __future__ import annotations

import hashlib

from crypto.keys import PublicKey
from crypto.suites import Suite
from hsm.gate import Step
from hsm.models import KeyGenerationRow, KeyRoleRow
from hsm.schemas import KeyPurpose

_P = KeyPurpose
PURPOSE_WORDS: dict[KeyPurpose, tuple[str, str]] = {
    _P.root_ca: ("根 CA", "root CA"),
    _P.issuing_ca: ("签发 CA", "issuing CA"),
    _P.ocsp: ("证书状态应答（OCSP）", "certificate status (OCSP)"),
    _P.tsa: ("时间戳", "timestamp"),
    _P.seal_maker: ("制章", "seal maker"),
    _P.seal_holder: ("电子印章", "seal"),
    _P.licence_issuer: ("证照签发", "licence issuer"),
    _P.credential_issuer: ("凭证签发", "credential issuer"),
    _P.status_list: ("状态列表", "status list"),
    _P.trust_list: ("信任列表", "trust list"),
    _P.audit_checkpoint: ("审计检查点", "audit checkpoint"),
    _P.receipt: ("回执", "receipt"),
    _P.drill: ("演练", "drill"),
}
_SUITES = {Suite.RSA: "RSA", Suite.P256: "P-256", Suite.SM2: "SM2"}


def create(purpose: KeyPurpose, suite: Suite, name: str, custody: str, bits: int) -> Step:
    """A new role. The name may be an organ's or a person's seal: its digest stands in the statement, the name in the words."""
    zh, en = PURPOSE_WORDS[purpose]
    statement = {
        "purpose": str(purpose),
        "suite": str(suite),
        "bits": bits,
        "custody": custody,
        "name_sha256": hashlib.sha256(name.encode()).hexdigest(),
    }
    return Step(
        "key.create",
        {"role": "new"},
        statement,
        f"Create the key role “{name}” ({en}, {_algorithm(suite, bits)}); no key is made yet.",
        f"新建密钥用途“{name}”（{zh}，{_algorithm(suite, bits)}）；尚不生成密钥。",
    )


def stage(role: KeyRoleRow, number: int, token: str) -> Step:
    """The role's next key is made in its token."""
    statement = {
        "purpose": role.purpose,
        "suite": role.suite,
        "bits": role.bits,
        "custody": role.custody,
        "number": number,
        "token": token,
    }
    zh, en = _which(role)
    return Step(
        "key.stage",
        {"role": role.id},
        statement,
        f"Make generation {number} of the {en} in the token {token}. It signs no document until it is activated.",
        f"在令牌 {token} 中为{zh}生成第 {number} 代密钥。启用之前，该密钥不签署任何文件。",
    )


def activate(row: KeyGenerationRow, role: KeyRoleRow, before: KeyGenerationRow | None) -> Step:
    """A staged key takes over; the one before it drains."""
    zh, en = _which(role)
    drained_en = f" Generation {before.number} finishes what it has begun and takes nothing new." if before is not None else ""
    drained_zh = f"第 {before.number} 代只完成已开始的签署，不再接受新的签署。" if before is not None else ""
    return Step(
        "key.activate",
        _subject(row, role),
        {**_facts(row, role), "previous": before.id if before is not None else None},
        f"Activate generation {row.number} of the {en}: from now on it signs.{drained_en}",
        f"启用{zh}的第 {row.number} 代密钥：此后由它签署。{drained_zh}",
    )


def retire(row: KeyGenerationRow, role: KeyRoleRow) -> Step:
    """A key signs no more."""
    zh, en = _which(role)
    return Step(
        "key.retire",
        _subject(row, role),
        _facts(row, role),
        f"Retire generation {row.number} of the {en}: it signs no more. What it signed stays verifiable.",
        f"停用{zh}的第 {row.number} 代密钥：不再签署。此前的签署仍可核验。",
    )


def stop(row: KeyGenerationRow, role: KeyRoleRow) -> Step:
    """A key that may be in wrong hands stops at once."""
    zh, en = _which(role)
    return Step(
        "key.compromise",
        _subject(row, role),
        _facts(row, role),
        f"Stop generation {row.number} of the {en} at once: it may be in wrong hands.",
        f"立即停用{zh}的第 {row.number} 代密钥：该密钥可能已失密。",
    )


def destroy(row: KeyGenerationRow, role: KeyRoleRow) -> Step:
    """A key is destroyed in its token."""
    zh, en = _which(role)
    return Step(
        "key.destroy",
        _subject(row, role),
        _facts(row, role),
        f"Destroy generation {row.number} of the {en} in the token {row.token_label}, for good. What it signed stays "
        "verifiable.",
        f"在令牌 {row.token_label} 中永久销毁{zh}的第 {row.number} 代密钥。此前的签署仍可核验。",
    )


def _subject(row: KeyGenerationRow, role: KeyRoleRow) -> dict[str, str]:
    return {"role": role.id, "key": row.id}


def _facts(row: KeyGenerationRow, role: KeyRoleRow) -> dict[str, object]:
    fingerprint = PublicKey.from_spki(row.public_key).fingerprint if row.public_key is not None else None
    return {
        "purpose": role.purpose,
        "suite": role.suite,
        "custody": row.custody,
        "number": row.number,
        "status": row.state,
        "token": row.token_label,
        "public_key_sha256": fingerprint,
    }


def _which(role: KeyRoleRow) -> tuple[str, str]:
    zh, en = PURPOSE_WORDS[KeyPurpose(role.purpose)]
    algorithm = _algorithm(Suite(role.suite), role.bits)
    return f"“{role.name}”（{zh}，{algorithm}）", f"role “{role.name}” ({en}, {algorithm})"


def _algorithm(suite: Suite, bits: int) -> str:
    return f"RSA {bits}" if suite is Suite.RSA else _SUITES[suite]
