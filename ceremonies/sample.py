"""The fictitious organs of demo and training: 云江市 does not exist."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ceremonies.plain import plain
from formats.identifiers import uscc_check_char
from people.demo import PERSONAS, create_demo_people, demo_passwords

if TYPE_CHECKING:
    from ceremonies.node import Node

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
CITY = "云江市人民政府"
APPROVER = "云江市行政审批局"
REGISTRAR = "云江市市场监督管理局"
FEDERATION = "云江市残疾人联合会"
_ORGANS = {CITY: "MB0X7000", APPROVER: "MB0X7001", REGISTRAR: "MB0X7002", FEDERATION: "MB0X7003"}


def sample_uscc(region: str, name: str) -> str:
    """A well-formed social credit code (GB 32100) of a sample organ; no real organ has one of these."""
    body = f"11{region}{_ORGANS[name]}5"
    return body + uscc_check_char(body)


def sample_seal(node: Node, owner: str) -> tuple[dict[str, Any], bool]:
    """The seal in force of a sample organ, and whether it was made just now."""
    operator = node.actor(None)
    for seal in plain(node.seals.list(operator, limit=1000, cursor=None).items):
        if seal["name"] == owner and seal["status"] == "in-force":
            return dict(seal), False
    uscc = sample_uscc(node.region, owner)
    made = node.seals.create(operator, owner_name=owner, owner_uscc=uscc, name=owner, kind="statutory", sample=True)
    return dict(plain(made)), True


def make_sample_people(node: Node) -> None:
    """The city, its two bureaus and its federation of disabled persons, and one person a role who reaches them all.

    What is there already stays.
    """
    city = _department(node, CITY, None)
    for name in (APPROVER, REGISTRAR, FEDERATION):
        _department(node, name, city)
    folder = node.home / "secrets"
    passwords = demo_passwords(folder)
    if not passwords:
        create_demo_people(node.accounts, folder, mode=node.mode, department=city)
        return
    there = {account.name for account in node.accounts.accounts(limit=1000)}
    for name, display, roles in PERSONAS:
        if name not in there:  # a founding that was interrupted between two people
            node.accounts.create(name, passwords[name], roles=roles, department=city, display_name=display)


def _department(node: Node, name: str, parent: str | None) -> str:
    for one in node.accounts.departments():
        if one.name == name:
            return one.id
    return node.accounts.create_department(name, uscc=sample_uscc(node.region, name), parent=parent).id
