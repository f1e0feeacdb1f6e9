"""What the audit log says about an object, in words: what happened, who did it, when, and under which rule.

Each kind of leaf has a sentence ``leaf_KIND`` in ``locale/*/history.po``; rules speak for themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.texts import known, text
from formats import masking
from formats.dates import shown_time
from formats.regions import region_name

if TYPE_CHECKING:
    from ceremonies.node import Node
    from store.audit import Entry


_DIGEST = re.compile(r"[0-9a-f]{64}")
"""A reason whose words are kept elsewhere: the log holds nothing personal."""


@dataclass(frozen=True)
class Event:
    """One thing that happened, as a reader of ``lang`` understands it.

    :ivar at: RFC 3339 in UTC
    :ivar behalf: for whom it was done, where it was done for somebody else (代)
    :ivar rule: the rule's own sentence; empty where none decided
    :ivar note: the reason that was given, where the log holds one
    :ivar number: the leaf's number in the log; None while it waits for one
    """

    at: str
    what: str
    who: str
    behalf: str
    rule: str
    note: str
    leaf: str
    number: int | None


def of(node: Node, subject: str, lang: str, *, limit: int = 100) -> list[Event]:
    """What happened to the object ``subject`` (its identifier), newest first."""
    return told(node, node.audit.history(subject, limit=limit), lang)


def told(node: Node, entries: Iterable[Entry], lang: str) -> list[Event]:
    """Entries of the log in words, in the order given."""
    found = list(entries)
    names = people(node, {one.actor for one in found} | {_behalf(one) for one in found}, lang)
    return [_event(node, one, names, lang) for one in found]


def people(node: Node, ids: Iterable[str], lang: str) -> dict[str, str]:
    """What people call those who act: accounts by their names, citizens by masked ones, the node's own processes in words."""
    wanted = [one for one in ids if one]
    found = node.accounts.display_names(one for one in wanted if not known(f"actor_{one}"))
    citizens = [one for one in wanted if one.startswith("citizen_")]
    if citizens:
        found |= {one: masking.name(name) for one, name in node.citizens.names(citizens).items()}
    return {"": "", **{one: _called(one, found, lang) for one in wanted}}


def _called(one: str, found: Mapping[str, str], lang: str) -> str:
    if known(f"actor_{one}"):
        return text(lang, f"actor_{one}")
    if one.startswith("region_"):  # another region's node, known by its trust list
        return text(lang, "actor_region", region=region_name(one.removeprefix("region_"))[lang == "zh"])
    return found.get(one, one)


def _event(node: Node, entry: Entry, names: dict[str, str], lang: str) -> Event:
    rule = node.authoriser.rules.get(entry.rule or "")
    reason = entry.data.get("reason") or entry.data.get("basis")
    return Event(
        at=shown_time(entry.at),
        what=words_of(entry.kind, lang),
        who=names[entry.actor],
        behalf=names[_behalf(entry)],
        rule=(rule.zh if lang == "zh" else rule.en) if rule else "",
        note=reason if isinstance(reason, str) and not _DIGEST.fullmatch(reason) else "",
        leaf=entry.id,
        number=entry.seq,
    )


def _behalf(entry: Entry) -> str:
    """The account that was stood in for (代签授权); empty for one's own right."""
    return str(entry.subject.get("on_behalf_of") or entry.data.get("on_behalf_of") or "")


def words_of(kind: str, lang: str) -> str:
    """What a kind of leaf is called; its own name where no sentence was written for it."""
    return text(lang, f"leaf_{kind}") if known(f"leaf_{kind}") else text(lang, "leaf_other", kind=kind)
