"""``xinyin doctor``: the chain from driver to signature, link by link, each with one sentence that says what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from crypto.errors import XinyinError
from crypto.keys import PublicKey
from crypto.suites import Suite, default_scheme
from hsm.config import HsmConfig, load_config
from hsm.errors import SignerUnreachable
from hsm.models import KeyGenerationRow, KeyRoleRow
from hsm.rules import PROBE_PREFIX
from hsm.schemas import KeyState
from hsm.signer import Custody, SignerClient, open_custodian
from store.db import Database

_KEYS_A_PURPOSE = 30
"""Keys tried of each purpose, newest first: a node may have thousands of seals."""


@dataclass(frozen=True)
class Check:
    """One link: ``message`` is what was found, or what to do."""

    name: str
    ok: bool
    message: str
    message_zh: str


def checks(home: Path) -> Iterator[Check]:
    """Every link in order; after the first that breaks, those that hang on it are left out."""
    try:
        config = load_config(home)
        library = config.library
    except XinyinError as exc:
        yield _failed("configuration", exc)
        return
    yield Check(
        "configuration",
        True,
        f"Profile {config.profile.name}, library {library}, {config.mode}.",
        f"厂商配置 {config.profile.name}，库 {library}，模式 {config.mode}。",
    )
    yield _files(config)
    yield _socket(config)
    custody = open_custodian(home)
    try:
        found = yield from _tokens(custody)
        if found is not None:
            yield from _keys(config, custody)
    finally:
        custody.close()


def _files(config: HsmConfig) -> Check:
    """PIN files, readable by their owner alone."""
    wrong = []
    for token in (config.main_token, config.root_token):
        path = config.pin_file(token)
        if not path.is_file():
            wrong.append(f"{path} is missing")
        elif path.stat().st_mode & 0o077:
            wrong.append(f"{path} may be read by others: chmod 0600")
    if wrong:
        return Check(
            "pin-files",
            False,
            f"Mend the PIN files: {'; '.join(wrong)}.",
            f"请修正 PIN 文件（缺失或权限过宽，应为 0600）：{config.secrets}。",
        )
    return Check("pin-files", True, "The PIN files are there and private.", "PIN 文件齐备，权限正确。")


def _socket(config: HsmConfig) -> Check:
    client = SignerClient(config, patience=0)
    try:
        pid = client.status()["pid"]
        return Check("signer-socket", True, f"The signer answers (process {pid}).", f"签名进程有响应（进程 {pid}）。")
    except SignerUnreachable:
        return Check(
            "signer-socket",
            True,
            "No signer runs; the tokens are opened in this process for this check. Start one with xinyin "
            "serve or xinyin signer.",
            "签名进程未运行；本次检查在当前进程内打开令牌。可用 xinyin serve 或 xinyin signer 启动。",
        )
    except XinyinError as exc:
        return _failed("signer-socket", exc)
    finally:
        client.close()


def _tokens(custody: Custody) -> Generator[Check, None, list[dict[str, Any]] | None]:
    """Library, locking, tokens, PINs, mechanisms and the profile's probe: what the custodian does when it opens."""
    try:
        links = custody.examine()
    except XinyinError as exc:
        yield _failed("tokens", exc)
        return None
    for link in links:
        yield Check(link["name"], link["ok"], link["message"], link["message_zh"])
    return links if all(link["ok"] for link in links) else None


def _keys(config: HsmConfig, custody: Custody) -> Iterator[Check]:
    """Active keys are in their tokens and sign something that verifies."""
    db = Database.open(config.database_url)
    try:
        if db.is_sqlite and not Path(str(db.url.database)).exists():
            return
        with db.read() as session:
            if not sa.inspect(session.connection()).has_table(KeyGenerationRow.__tablename__):
                return
            rows = session.execute(
                sa.select(KeyGenerationRow, KeyRoleRow)
                .join(KeyRoleRow, KeyRoleRow.id == KeyGenerationRow.role_id)
                .where(KeyGenerationRow.state == str(KeyState.active))
                .order_by(KeyRoleRow.purpose, KeyRoleRow.suite, KeyGenerationRow.activated_at.desc())
            ).all()
        seen: Counter[str] = Counter()
        for row, role in rows:
            seen[role.purpose] += 1
            if seen[role.purpose] <= _KEYS_A_PURPOSE:
                yield _key(custody, row, role)
        for purpose, count in seen.items():
            if count > _KEYS_A_PURPOSE:
                left = count - _KEYS_A_PURPOSE
                yield Check(
                    f"keys {purpose}", True, f"{left} older ones were not tried.", f"另有 {left} 个较早的密钥未逐一检查。"
                )
    finally:
        db.close()


def _key(custody: Custody, row: KeyGenerationRow, role: KeyRoleRow) -> Check:
    name = f"key {role.purpose} {role.suite} {role.name}"
    message = PROBE_PREFIX + row.id.encode()
    scheme = default_scheme(Suite(role.suite))
    try:
        signature = custody.sign(row.id, message, scheme.name, "probe")
    except XinyinError as exc:
        return _failed(name, exc)
    if row.public_key is None or not PublicKey.from_spki(row.public_key).verify(message, signature, scheme):
        return Check(
            name,
            False,
            "The signature does not verify with the key in the database; restore database and token from the same backup.",
            "签名与数据库中的公钥不符；请从同一备份恢复数据库与令牌。",
        )
    return Check(
        name, True, f"Signs, and the signature verifies ({row.token_label}).", f"可签名且验证通过（{row.token_label}）。"
    )


def _failed(name: str, exc: XinyinError) -> Check:
    return Check(name, False, exc.message, exc.message_zh)
