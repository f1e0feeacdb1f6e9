"""Putting rules of recognition in place: checked together with those that are there, on record, replaced in one step."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from crypto.errors import BadInput
from people.schemas import Actor
from policies.presenting import matters
from policies.recognition import FOLDER, RecognitionRules, read_files

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ceremonies.node import Node

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
            kind="recognition.changed",
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
