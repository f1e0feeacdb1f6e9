"""The other officers of demo and training: each with a key of their own, so that one visitor can see what two officers do.

Never in production: the keys lie in files, and the rules there let no officer confirm an own key.
"""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from crypto.errors import Forbidden
from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats.x509 import Certificate, CertificateSpec, Subject, build_certificate
from people.errors import AlreadyApproved
from people.schemas import Account

if TYPE_CHECKING:
    from ceremonies.node import Node


def practice_approval(node: Node, name: str, approval: str) -> None:
    """The demo officer ``name`` approves; done once, whoever asks again.

    :raises Forbidden: the node is a production node
    """
    if node.mode == "production":
        raise Forbidden("A production node has no demo officers.", "生产节点没有演示用的密钥管理员。")
    account = node.accounts.get(name)
    key = _key(node, account)
    signature = key.sign(node.approvals.document(account, approval))
    try:
        node.approvals.sign_with_certificate(account, approval, signature)
    except AlreadyApproved:
        return


def _key(node: Node, account: Account) -> SoftwareKey:
    """The officer's key in ``secrets/``, made and enrolled when it is not there."""
    path = node.home / "secrets" / f"practice-{account.name}.p8"
    if not path.exists():
        _write(path, SoftwareKey.generate(Suite.P256).to_pkcs8())
    key = SoftwareKey.from_pkcs8(path.read_bytes())
    keys = node.approvals.keys
    known = [one for one in keys.list(account, account=account.id) if one["sha256"] == key.public_key.fingerprint]
    if not any(one["status"] == "confirmed" for one in known):
        waiting = [one for one in known if one["status"] == "proposed"] or [_propose(node, account, key)]
        keys.confirm(account, waiting[0]["id"])
    return key


def _propose(node: Node, account: Account, key: SoftwareKey) -> dict[str, str]:
    certificate = _certificate(account, key)
    proof = key.sign(node.approvals.keys.challenge(account, certificate.der))
    return node.approvals.keys.propose_certificate(account, certificate.der, proof, "培训用证书 for practice")


def _certificate(account: Account, key: SoftwareKey) -> Certificate:
    now = datetime.now(UTC).replace(microsecond=0)
    spec = CertificateSpec(
        Subject(account.display_name),
        key.public_key,
        1 + secrets.randbits(120),
        now - timedelta(minutes=5),
        now + timedelta(days=3650),
        key_usage=("digitalSignature",),
    )
    return build_certificate(spec, key)


def _write(path: os.PathLike[str], data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
