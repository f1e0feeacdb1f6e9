"""The prepared cases of the demo's five doors; the same set is the training mode (培训模式).

Every case is made by the real rooms: licences that are valid, expired, withdrawn, edited and forged; applications to seal that
wait for somebody. Preparing looks for what it made before; ``fresh`` puts new cases beside the old ones. Never in production.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ceremonies import training_desk
from ceremonies.forgery import forge, tampered
from ceremonies.node import Node
from ceremonies.practice import practice_approval
from ceremonies.sample import APPROVER, EXAMPLES, FEDERATION, REGISTRAR, sample_seal
from crypto.errors import Forbidden
from crypto.suites import Suite
from formats.dates import shown_time
from hsm.schemas import KeyPurpose
from people.demo import demo_citizen, represented_by
from store.locks import alone

VERSION = 5
"""Of what is prepared: a set of an older version is prepared anew."""
_FILE = "cases.json"

LICENCES = ("valid", "expired", "withdrawn", "edited", "forged")
"""What a counter is shown, in the order of the lesson."""


@dataclass
class Cases:
    """One prepared set.

    :ivar set: which set it is: a number that grows when cases are prepared afresh
    :ivar licences: by case, the file's name in the folder
    :ivar licence: the identifier of the shop owner's licence, the valid one
    :ivar code: what the valid licence's printed code leads to (after ``/v#``)
    :ivar applications: by case, the identifier of the application to seal
    :ivar track: by case, the code by which an applicant follows it
    :ivar role: the key role whose next key an officer learns to plan
    :ivar approval: what another officer asked to be approved
    """

    version: int = VERSION
    set: int = 1
    prepared_at: str = ""
    licences: dict[str, str] = field(default_factory=dict)
    code: str = ""
    licence: str = ""
    applications: dict[str, str] = field(default_factory=dict)
    track: dict[str, str] = field(default_factory=dict)
    role: str = ""
    approval: str = ""


def folder(node: Node) -> Path:
    """Where the cases lie in the node's home."""
    return node.home / "training"


def prepared(node: Node) -> Cases | None:
    """The newest prepared set; None on a production node and where none was prepared."""
    found = None if node.mode == "production" else _read(folder(node))
    return found if found is not None and found.version == VERSION else None


def _read(home: Path) -> Cases | None:
    path = home / _FILE
    if not path.is_file():
        return None
    names = {one.name for one in fields(Cases)}
    return Cases(**{name: value for name, value in json.loads(path.read_text("utf-8")).items() if name in names})


def prepare(node: Node, *, fresh: bool = False) -> Cases:
    """Prepare a set if there is none, or with ``fresh`` another one; takes a few seconds.

    :raises Forbidden: the node is a production node
    """
    if node.mode == "production":
        raise Forbidden("A production node has no training mode.", "生产节点没有培训模式。")
    home = folder(node)
    home.mkdir(mode=0o700, exist_ok=True)
    with alone(home / ".lock"):  # a second preparation waits, and finds the work done
        before = _read(home)
        if before is not None and before.version == VERSION and not fresh:
            return before
        cases = Cases(set=before.set + 1 if before else 1, prepared_at=shown_time(datetime.now(UTC)))
        _licences(node, cases, home)
        _certificate(node)
        cases.applications, cases.track = training_desk.prepare(node, cases.set)
        cases.role, cases.approval = _officers(node)
        node.audit.sequence(node.checkpoint_key())
        _write(home / _FILE, json.dumps(asdict(cases), ensure_ascii=False, indent=2).encode())
    return cases


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    path.with_suffix(".new").write_bytes(data)
    path.with_suffix(".new").replace(path)


# -- licences: what shop owner and counter look at --------------------------------------------------------------------------


def _licences(node: Node, cases: Cases, home: Path) -> None:
    """Five licences of five shops, each with one thing to find out."""
    operator = node.actor(None)
    seal, _ = sample_seal(node, REGISTRAR)
    today = datetime.now(UTC).date()
    shops = json.loads((EXAMPLES / "training-shops.json").read_text("utf-8"))
    made: dict[str, tuple[dict[str, Any], bytes]] = {}
    for case in LICENCES:
        data = dict(shops[case])
        if case == "valid":  # the shop of the citizen who puts it on a phone
            data |= represented_by("owner")
        if case == "expired":
            data["valid_to"] = (today - timedelta(days=40)).isoformat()
        made[case] = node.licences.issue(
            operator, "business-licence", data, seal_id=seal["id"], idempotency_key=f"training-{cases.set}-{case}"
        )
    withdrawn = made["withdrawn"][0]["id"]
    if node.licences.show(operator, withdrawn)["status"] == "in-force":
        node.licences.revoke(operator, withdrawn, kind="撤销", effective=None, basis="培训案例：以欺骗手段取得登记")
    node.renew_trust()
    documents = {case: document for case, (_, document) in made.items()}
    documents["edited"] = tampered(documents["edited"])
    documents["forged"] = forge(documents["forged"], REGISTRAR)
    for number, case in enumerate(LICENCES, 1):
        cases.licences[case] = f"licence-{number}.pdf"  # the name gives nothing away
        _write(home / cases.licences[case], documents[case])
    cases.code = str(made["valid"][0]["code"]).partition("#")[2]
    cases.licence = str(made["valid"][0]["id"])


def _certificate(node: Node) -> None:
    """The certificate of a person who comes to the counter without a phone; one for all sets."""
    seal, _ = sample_seal(node, FEDERATION)
    elder = demo_citizen("elder")
    data = json.loads((EXAMPLES / "disability-certificate.json").read_text("utf-8"))
    data |= {"name": elder.name, "id_number": elder.id_number}
    node.licences.issue(node.actor(None), "disability-certificate", data, seal_id=seal["id"], idempotency_key="training-elder")
    node.renew_trust()


# -- keys: what an officer looks at -----------------------------------------------------------------------------------------


def _officers(node: Node) -> tuple[str, str]:
    """The approval bureau's RSA seal key, and another officer's wish to make the next one, which a third has approved; the
    same wish is asked once.
    """
    seal, _ = sample_seal(node, APPROVER)
    role = next(one for one in node.keys.roles(KeyPurpose.seal_holder) if one.suite is Suite.RSA and seal["es_id"] in one.name)
    asked = node.rotation.ask(node.accounts.get("officer2"), "stage", role.id)
    practice_approval(node, "officer3", asked["id"])
    return role.id, str(asked["id"])
