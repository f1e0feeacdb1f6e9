"""Demo people: made when a node is founded outside production, with random passwords, and never in production."""

from __future__ import annotations

import json
import os
import secrets
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
