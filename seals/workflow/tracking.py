"""What the applicant outside sees of an application, by a code that nobody can guess: states in words, nothing personal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from seals.models import ApplicationDeliveryRow, ApplicationDocumentRow, ApplicationRow, ApplicationStepRow, ImpressionRow
from seals.schemas import shown_time
from seals.workflow.book import none_such
from seals.workflow.directory import Directory
from seals.workflow.states import APPROVING

if TYPE_CHECKING:
    from seals.workflow.service import ApplicationService

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})
LENGTH = 20
"""100 bits."""

WORDS = {
    "received": ("Received; it will be looked at.", "已收件，等待办理。"),
    "under-review": ("Under review.", "正在审核。"),
    "returned": (
        "Sent back to the clerk to be corrected or completed. The department will tell you if something is needed from you.",
        "已退回经办人补正；如需您补充材料，办理部门会与您联系。",
    ),
    "approved": ("Approved; it will be sealed next.", "已签发，等待用印。"),
    "sealed": ("Sealed; it will be delivered next.", "已用印，等待送达。"),
    "delivered": ("Delivered.", "已送达。"),
    "refused": ("Refused. Ask the department for the reasons.", "不予办理；具体原因请咨询办理部门。"),
    "withdrawn": ("Withdrawn.", "已撤回。"),
    "voided": (
        "The sealed document was voided: it no longer counts. Ask the department what takes its place.",
        "已用印文件已作废，不再有效；请向办理部门了解后续处理。",
    ),
    "replaced": (
        "The sealed document was replaced by a corrected one; only the new one counts.",
        "已用印文件已由更正后的文件替换，请以新文件为准。",
    ),
}
_STATES = {"signed-off": "approved", "used": "delivered"}


def new_code(choice: Callable[[str], str]) -> str:
    """Twenty characters that a person can read out; ``choice`` draws one, such as :func:`secrets.choice`."""
    return "".join(choice(_ALPHABET) for _ in range(LENGTH))


def normal(code: str) -> str:
    """A code as it is kept, from what somebody typed."""
    return code.strip().upper().translate(_READ_AS)


def track(service: ApplicationService, code: str) -> dict[str, Any]:
    """Department, matter, number, state in words, and when it came to each state.

    :raises NoSuchApplication: no application has the code
    """
    wanted = normal(code)
    with service.db.read() as session:
        row = session.scalars(
            sa.select(ApplicationRow).where(ApplicationRow.track_code == wanted, ApplicationRow.region == service.region)
        ).one_or_none()
        if row is None or len(wanted) != LENGTH:
            raise none_such(code)
        steps, matter = service.steps(session, row), service.matters.of(row.matter)
        documents = _documents(session, service.documents(session, row))
        state = _state(row, steps, documents)
        return {
            "code": row.track_code,
            "status": state,
            "words": WORDS[state][0],
            "words_zh": WORDS[state][1],
            "department_name": Directory(session, service.region).department(row.department),
            "matter_name": matter.en,
            "matter_name_zh": matter.zh,
            "number": row.number,
            "copies": row.copies,
            "received_at": shown_time(row.created_at),
            "since": shown_time(row.since),
            "history": _history(session, row, steps),
            "documents": documents,
        }


def _state(row: ApplicationRow, steps: Sequence[ApplicationStepRow], documents: Sequence[dict[str, Any]]) -> str:
    gone = [one["status"] for one in documents if one["status"] in ("voided", "replaced")]
    if gone and len(gone) == len(documents):
        return "voided" if "voided" in gone else "replaced"
    if row.status == "submitted":
        begun = any(step.state == "done" for step in steps if step.step in APPROVING)
        return "under-review" if begun or row.round > 1 else "received"
    return _STATES.get(row.status, row.status)


def _documents(session: Session, rows: Sequence[ApplicationDocumentRow]) -> list[dict[str, Any]]:
    """The public state of each sealed document: what every verifier is told too."""
    found = []
    for row in rows:
        impression = session.get(ImpressionRow, row.impression_id) if row.impression_id else None
        status = "waiting" if impression is None else impression.status
        found.append({"n": row.n, "status": status, "sha256": row.sealed_sha256})
    return found


def _history(session: Session, row: ApplicationRow, steps: Sequence[ApplicationStepRow]) -> list[dict[str, str]]:
    """When it came to each state, oldest first; who acted is nobody's business outside."""
    states = {"sign-off": "approved", "seal": "sealed", "deliver": "delivered"}
    found = [("received", row.created_at)]
    found += [(states[step.step], step.at) for step in steps if step.step in states and step.state == "done" and step.at]
    delivered = session.scalar(
        sa.select(sa.func.min(ApplicationDeliveryRow.at)).where(ApplicationDeliveryRow.application_id == row.id)
    )
    if delivered is not None and "delivered" not in dict(found):
        found.append(("delivered", delivered))
    if row.status in ("returned", "refused", "withdrawn"):
        found.append((row.status, row.since))
    return [{"status": name, "at": shown_time(at), "words": WORDS[name][0], "words_zh": WORDS[name][1]} for name, at in found]
