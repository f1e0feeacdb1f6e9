"""What the rules are told of an object that is named by its identifier: for explaining decisions, not for making them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from crypto.errors import NotFound

if TYPE_CHECKING:
    from ceremonies.node import Node


class NoSuchObject(NotFound):
    """No object that rules speak of has this identifier."""

    code = "no-such-object"


def facts_of(node: Node, reference: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The facts of an object, and the circumstances that come with it (an application's handler, state and matter).

    :param reference: identifier of a seal, impression, application, licence, key generation, key role, account
    :raises NoSuchObject: none of these has it
    """
    from hsm.models import KeyGenerationRow, KeyRoleRow
    from licences.models import LicenceRow
    from people.models import AccountRow
    from seals.models import ApplicationRow, ImpressionRow, SealRow

    with node.db.read() as session:

        def find(row: Any) -> Any:
            return session.scalars(sa.select(row).where(row.id == reference, row.region == node.region)).one_or_none()

        facts: dict[str, Any] = {"id": reference, "region": node.region}
        if (impression := find(ImpressionRow)) is not None:
            return facts | {"department": session.get_one(SealRow, impression.seal_id).owner_uscc}, {}
        if (seal := find(SealRow)) is not None:
            return facts | {"department": seal.owner_uscc, "sample": seal.sample, "status": seal.status, "kind": seal.kind}, {}
        if (application := find(ApplicationRow)) is not None:
            context = {"handler": application.handler, "matter": application.matter}
            return facts | {"department": application.department, "status": application.status}, context
        if (licence := find(LicenceRow)) is not None:
            return facts | {"department": licence.issuer_uscc, "kind": licence.type_id}, {}
        if (generation := find(KeyGenerationRow)) is not None:
            role = session.get_one(KeyRoleRow, generation.role_id)
            return facts | {"purpose": role.purpose, "custody": generation.custody, "status": generation.state}, {}
        if (role := find(KeyRoleRow)) is not None:
            return facts | {"purpose": role.purpose, "custody": role.custody}, {}
        if find(AccountRow) is not None:
            return facts, {}
    raise NoSuchObject(
        f"No seal, sealed document, application, licence, key or account has the ID {reference[:80]}.",
        f"没有编号为 {reference[:80]} 的印章、用印记录、申请、证照、密钥或账户。",
    )
