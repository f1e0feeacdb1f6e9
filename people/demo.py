"""Demo people: made when a node is founded outside production, with random passwords, and never in production."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from people.errors import NoDemoPeople
from people.schemas import Account
from people.service import AccountService

PERSONAS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("handler", "样本 经办人", ("handler",)),
    ("reviewer", "样本 审核人", ("reviewer",)),
    ("signer", "样本 签发人", ("signer_off",)),
    ("keeper", "样本 印章管理员", ("seal_keeper",)),
    ("clerk", "样本 证照经办人", ("licensing_clerk",)),
    ("window", "样本 窗口人员", ("window_clerk",)),
    ("officer", "样本 密钥管理员", ("officer",)),
    ("officer2", "样本 密钥管理员乙", ("officer",)),
    ("officer3", "样本 密钥管理员丙", ("officer",)),
    ("auditor", "样本 审计员", ("auditor",)),
    ("admin", "样本 系统管理员", ("administrator",)),
)
_FILE = "demo-accounts.json"


@dataclass(frozen=True)
class DemoCitizen:
    """Somebody from outside, for development and training; the region code 990000 of the number does not exist."""

    key: str
    name: str
    id_number: str
    part: str
    part_en: str


CITIZENS = (
    DemoCitizen("owner", "样本 李店主", "990000198504120125", "演示企业的法定代表人", "represents the demo enterprise by law"),
    DemoCitizen("staff", "样本 王店员", "99000019960823034X", "演示企业的店员", "works in the demo enterprise"),
    DemoCitizen("elder", "样本 赵大爷", "990000195001010019", "残疾人证的持证人", "holds the certificate of a disabled person"),
    DemoCitizen("agent", "样本 钱代办", "990000197206190219", "代办人", "runs errands for others"),
)
"""Who may be chosen at the development identity provider (``api/devprovider.py``); never in production."""


def demo_citizen(key: str) -> DemoCitizen:
    """One of :data:`CITIZENS`. :raises KeyError: no such"""
    return {one.key: one for one in CITIZENS}[key]


def represented_by(key: str) -> dict[str, str]:
    """What the data of a business licence say that a demo citizen represents by law."""
    one = demo_citizen(key)
    return {"representative": one.name, "representative_id": one.id_number}


def create_demo_people(people: AccountService, secrets_dir: Path, *, mode: str, department: str) -> list[Account]:
    """One account a role in ``department`` (an identifier); name and password of each go to ``demo-accounts.json`` (mode 0600).

    :raises NoDemoPeople: the node is a production node
    """
    if mode == "production":
        raise NoDemoPeople(
            "Demo people are not made on a production node; create real accounts.", "生产节点不创建演示账户；请创建正式账户。"
        )
    # Words of no dictionary, yet typed without trouble: 20 of 32 unmistakable characters are 100 bits.
    letters = "abcdefghijkmnpqrstuvwxyz23456789"
    passwords = {
        name: "-".join("".join(secrets.choice(letters) for _ in range(5)) for _ in range(4)) for name, _, _ in PERSONAS
    }
    _write_secret(secrets_dir / _FILE, json.dumps(passwords, indent=2) + "\n")
    return [
        people.create(name, passwords[name], roles=roles, department=department, display_name=display)
        for name, display, roles in PERSONAS
    ]


def demo_passwords(secrets_dir: Path) -> dict[str, str]:
    """Name → password as written at the founding; empty where there are no demo people."""
    path = secrets_dir / _FILE
    if not path.exists():
        return {}
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _write_secret(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
