"""Founding a node: from an empty folder to a node that can seal, issue and verify.

Every step looks for what it would make before it makes it. Interrupted anywhere, the ceremony is repeated and carries on; what
exists stays. ``node.toml`` says ``founded`` only at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy.orm import Session

from ceremonies.config import FILE, NodeConfig
from ceremonies.node import Node
from ceremonies.sample import make_sample_people
from crypto.errors import Conflict, Forbidden
from crypto.suites import Suite
from hsm.errors import NoSuchGeneration
from hsm.schemas import KeyPurpose
from hsm.tokens import init_tokens
from people.schemas import Actor
from store.locks import alone

Progress = Callable[[str, str], None]
"""Called with one sentence in Chinese and one in English before each step."""

_FOLDERS = ("blobs", "tokens", "secrets", "run", "trust", "audit", "log", "recognition")
_MODE = 0o700
"""Of the home and everything in it: documents and registers hold personal data, so nobody else on the machine sees them."""


_OWN_KEYS = (
    KeyPurpose.trust_list,
    KeyPurpose.audit_checkpoint,
    KeyPurpose.receipt,
    KeyPurpose.status_list,
    KeyPurpose.credential_issuer,
)
"""Keys of the node itself, P-256 as JOSE and the log's checkpoints want it; the CA and the licence issuers make their own."""


class HomeTaken(Conflict):
    """The folder holds something else."""

    code = "home-taken"


def found(
    home: Path, region: str, name: str, progress: Progress, *, database: str | None = None, base_url: str | None = None
) -> Node:
    """Make a node in ``home`` or finish one that was begun; the opened node.

    A finished node of the same region is left as it is and opened.

    :raises HomeTaken: the folder holds another region's node or other files
    :raises BadInput: the region is no code or the name is empty
    """
    wanted = NodeConfig.fresh(home, region, name, database, base_url)
    _prepare(home, wanted)
    with _alone(home):
        config = _begun(home, wanted)
        if config.founded:
            progress("节点已经建好，沿用原有节点", "The node is already there and stays as it is")
            node = Node(home, config)
            catch_up(node, progress)
            return node
        node = Node(home, config)
        _steps(node, progress)
        config.finish(home)
    node.close()
    return Node.open(home)


def _steps(node: Node, progress: Progress) -> None:
    progress("建立数据库", "Making the database")
    node.db.migrate()
    progress("初始化密码令牌（PIN 随机生成，保存在 secrets/）", "Initialising the tokens (random PINs in secrets/)")
    init_tokens(node.home)
    progress(
        "建立 CA 体系：SM2、RSA、P-256 各一套根 CA 与签发 CA，OCSP、时间戳与制章密钥",
        "Founding the CAs: a root and an issuing CA for SM2, RSA and P-256, with OCSP, timestamp and seal-maker keys",
    )
    node.ca.found()
    progress(
        "生成信任列表、审计日志、回执、状态列表与凭证的密钥",
        "Making the keys of trust list, audit log, receipts, status lists and credentials",
    )
    for purpose in _OWN_KEYS:
        _first_key(node, purpose)
    progress("发布信任列表", "Publishing the trust list")
    node.publish_trust()
    if node.mode != "production":
        progress(
            "建立演示账户（随机密码，见 secrets/demo-accounts.json）", "Making demo accounts (random passwords in secrets/)"
        )
        make_sample_people(node)
    _say_founded(node)
    progress("签署第一个审计检查点", "Signing the first audit checkpoint")
    node.audit.sequence(node.checkpoint_key())


def catch_up(node: Node, progress: Progress) -> None:
    """A node that an earlier version founded gets what this one needs: its tables (:attr:`Node.db`), and keys that it lacks.

    The trust list that names a new key is published at once: others believe what the key signs only when they know it.
    """
    have = {role.purpose for role in node.keys.roles()}
    for purpose in [purpose for purpose in _OWN_KEYS if purpose not in have]:
        try:
            _first_key(node, purpose, node.actor(None))
        except Forbidden as exc:  # in production the officers make it
            progress(f"缺少密钥 {purpose}：{exc.message_zh}", f"The key {purpose} is missing: {exc.message}")
        else:
            progress(f"补建密钥 {purpose}", f"Making the key {purpose}, which earlier versions did not have")
    with suppress(NoSuchGeneration):  # without a list key nothing can be published; the officers are told above
        node.renew_trust()


def _say_founded(node: Node) -> None:
    """From this leaf on no step on a key passes as a part of the founding."""

    def say(session: Session) -> None:
        if not node.audit.has(session, "node.founded"):
            subject, data = {"node": f"node_{node.region}"}, {"mode": node.mode, "quorum": node.approvals.needed}
            node.audit.append(
                session, kind="node.founded", actor="local-operator", subject=subject, data=data, rule="run-the-node"
            )

    node.db.run(say)


def _first_key(node: Node, purpose: KeyPurpose, actor: Actor | str = "system") -> None:
    """The role and its active key; what is there already stays."""
    role = node.keys.create_role(purpose, Suite.P256, purpose.value, actor=actor)
    if role.status != "active":
        node.keys.activate(node.keys.stage(role.id, actor=actor).id, actor=actor)


def _prepare(home: Path, wanted: NodeConfig) -> None:
    """The folder exists and is ours or empty."""
    if home.exists() and not home.is_dir():
        raise HomeTaken(f"{home} is a file; choose a folder with --home.", f"{home} 是文件；请用 --home 指定文件夹。")
    if home.is_dir() and not (home / FILE).exists():
        strangers = sorted(
            p.name for p in home.iterdir() if p.name not in {*_FOLDERS, f".{FILE}"} and not p.name.startswith(".")
        )
        if strangers:
            raise HomeTaken(
                f"{home} is not empty ({', '.join(strangers[:3])} …) and holds no node; choose another folder with --home.",
                f"{home} 不是空文件夹（{'、'.join(strangers[:3])} …），其中也没有节点；请用 --home 另选文件夹。",
                home=str(home),
            )
    home.mkdir(parents=True, exist_ok=True)
    for path in (home, *(home / folder for folder in _FOLDERS)):
        path.mkdir(exist_ok=True)
        path.chmod(_MODE)
    if (home / FILE).exists():
        existing = NodeConfig.load(home)
        if existing.region != wanted.region:
            raise HomeTaken(
                f"{home} already holds the node of region {existing.region} ({existing.name}); choose another with --home.",
                f"{home} 中已有区域 {existing.region}（{existing.name}）的节点；请用 --home 另选文件夹。",
                region=existing.region,
            )


def _begun(home: Path, wanted: NodeConfig) -> NodeConfig:
    """The configuration of a founding that was begun before, else the wanted one, written down."""
    if (home / FILE).exists():
        return NodeConfig.load(home)
    wanted.save(home)
    return wanted


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One founding at a time in a home.

    :raises Conflict: another one is at work
    """
    with alone(home / "run" / "founding.lock", wait=False) as free:
        if not free:
            raise Conflict(
                f"Another xinyin is founding the node in {home} right now; wait for it.",
                f"另一个 xinyin 正在 {home} 中建立节点，请等它完成。",
            )
        yield
