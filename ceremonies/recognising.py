"""Putting rules of recognition in place: checked with those that are there, on record, replaced in one step; and noticing where
somebody changed them otherwise.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from crypto.errors import BadInput
from formats.auditlog import Finding
from people.schemas import Actor
from policies.presenting import matters
from policies.recognition import FOLDER, BadRecognition, RecognitionRules, digest_of, read_files

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ceremonies.node import Node

CHANGED = "recognition.changed"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\.cedar")


def put(node: Node, actor: Actor, name: str, text: str) -> dict[str, Any]:
    """Put ``HOME/recognition/NAME`` in place; from the next verification on it counts.

    :raises BadInput: a name that is none
    :raises BadRecognition: the rules, together with the other files, cannot be used; nothing was changed
    :raises NotAllowed: the rules of the node say no
    """
    rule = node.authorise(actor, "trust.recognise")
    if not _NAME.fullmatch(name):
        raise BadInput(
            "A file of rules is called like zhejiang.cedar: lower-case letters, digits and hyphens.",
            "规则文件名须为小写字母、数字和连字符，以 .cedar 结尾，例如 zhejiang.cedar。",
        )
    folder = node.home / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    rules = RecognitionRules({**read_files(folder), name: text}, matters(node.home))

    def write(session: Session) -> None:
        node.audit.append(
            session,
            kind=CHANGED,
            actor=actor.id,
            subject={"node": f"node_{node.region}"},
            data={"file": name, "digest": rules.digest, "rules": sorted(rules.rules)},
            rule=rule,
        )
        draft = folder / f".{name}.{os.getpid()}.new"
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, folder / name)

    node.db.run(write)
    return {"status": "in-place", "file": str(folder / name), "rules": len(rules.rules), "digest": rules.digest}


def off_record(node: Node) -> Finding | None:
    """The rules as they lie in the folder are not those that were last put in place; None where they are.

    They decide what other regions' licences count for, so a hand in the folder has to show (``audit verify``).
    """
    leaves = node.audit.entries(kind=CHANGED, limit=1)
    recorded = leaves[0].data["digest"] if leaves else None
    try:
        files = read_files(node.home / FOLDER)
    except BadRecognition:
        files = {"": ""}  # nobody put what cannot be read in place
    if (digest_of(files) if files else None) == recorded:
        return None
    return Finding(
        "recognition-off-record",
        "The rules of recognition are not those that were last put on record: look at HOME/recognition, then put them in place"
        " with `xinyin recognition put`.",
        "互认规则与最近一次登记的不一致：请检查主目录下 recognition 文件夹，确认后用 xinyin recognition put 重新登记。",
    )
