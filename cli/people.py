"""``xinyin department …``, ``delegation …``, and of ``account`` what concerns one that is there already."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from ceremonies.plain import plain
from cli.output import emit, emit_list
from cli.support import opened
from crypto.errors import Usage
from formats.dates import BEIJING
from people.errors import BadToken
from people.schemas import Account, Delegation

if TYPE_CHECKING:
    from ceremonies.node import Node

departments_app = typer.Typer(help="部门 / departments")
delegations_app = typer.Typer(help="代签授权 / who stands in for whom")

Who = Annotated[str, typer.Argument(metavar="ACCOUNT", help="登录名或账户 ID / sign-in name or ID")]
Department = Annotated[str, typer.Argument(metavar="DEPARTMENT", help="部门 ID、代码或名称 / ID, code or name")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000)]
Cursor = Annotated[str | None, typer.Option("--cursor")]
Reason = Annotated[str, typer.Option("--reason", help="说明，不进入审计日志 / a note; it stays out of the log")]

_DELEGATION = (
    ("id", "编号", "ID"),
    ("from_name", "授权人", "For"),
    ("to_name", "代签人", "Stands in"),
    ("roles", "权限", "Roles"),
    ("until", "至", "Until"),
    ("status", "状态", "Status"),
)


# -- one account ------------------------------------------------------------------------------------------------------------


def register(app: typer.Typer) -> None:
    """Add the commands about one account to ``xinyin account``."""
    for name, command in (
        ("show", show),
        ("change", change),
        ("disable", disable),
        ("enable", enable),
        ("hand-over", hand_over),
        ("tokens", tokens),
        ("revoke-token", revoke_token),
        ("end-sessions", end_sessions),
        ("requests", requests),
        ("bind", bind),
    ):
        app.command(name)(command)


def show(account: Who) -> None:
    """查看账户、登录方式与代签 / show an account, its ways to sign in, and for whom it may act."""
    with opened() as (node, actor):
        found = node.accounts.get(account)
        node.authorise(actor, "people.show", {"id": found.id})
        accounts = node.accounts
        emit(
            {
                **_shown(found),
                "password": accounts.has_password(found.id),
                "passkeys": plain(accounts.passkeys.owned(found.id)),
                "identities": plain(accounts.identities.of(found.id)),
                "sessions": len(accounts.sessions(found.id)),
                "stands_in_for": [one.on_behalf_of for one in found.stand_ins],
            }
        )


def change(
    account: Who,
    role: Annotated[list[str] | None, typer.Option("--role", help="角色（可多次，替换原有）/ the roles, all of them")] = None,
    department: Annotated[str | None, typer.Option("--department", help="部门 / department")] = None,
    display_name: Annotated[str | None, typer.Option("--display-name", help="姓名 / the person's name")] = None,
) -> None:
    """变更角色、部门或姓名 / change roles, department or name."""
    if role is None and department is None and display_name is None:
        raise Usage("Say what changes: --role, --department or --display-name.", "请指明要变更的内容：角色、部门或姓名。")
    with opened() as (node, actor):
        found = node.accounts.get(account)
        rule = node.authorise(actor, "people.change", {"id": found.id})
        if role is not None:
            node.accounts.set_roles(found.id, role, actor=actor.id)
        if department is not None or display_name is not None:
            place = node.department(department) if department else None
            node.accounts.change(found.id, display_name=display_name, department=place, actor=actor.id, rule=rule)
        emit(_shown(node.accounts.get(found.id)))


def disable(account: Who) -> None:
    """停用账户：登录与令牌立即失效 / close an account; sessions and tokens stop at once."""
    _set_status(account, "disabled")


def enable(account: Who) -> None:
    """重新启用账户 / open an account again."""
    _set_status(account, "active")


def _set_status(account: str, status: str) -> None:
    with opened() as (node, actor):
        found = node.accounts.get(account)
        node.authorise(actor, "people.change", {"id": found.id})
        emit(_shown(node.accounts.set_status(found.id, status, actor=actor.id)))


def hand_over(
    account: Who,
    successor: Annotated[str, typer.Option("--to", help="接任人 / the successor")],
    role: Annotated[list[str] | None, typer.Option("--role", help="移交的角色，默认全部 / which roles; default all")] = None,
    leaves: Annotated[bool, typer.Option("--leaves", help="移交人离开，停用其账户 / close the old account as well")] = False,
    reason: Reason = "",
) -> None:
    """岗位交接：角色与未办结的工作转给接任人 / pass a post on, with its open work."""
    with opened() as (node, actor):
        found = node.accounts.get(account)
        rule = node.authorise(actor, "people.hand-over", {"id": found.id})
        done = node.accounts.hand_overs.hand_over(
            found.id, successor, roles=role, leaves=leaves, reason=reason, actor=actor.id, rule=rule
        )
        emit({**plain(done), "status": "done"})


def tokens(account: Who) -> None:
    """列出接口令牌 / list an account's API tokens."""
    columns = (("id", "编号", "ID"), ("name", "用途", "For"), ("status", "状态", "Status"), ("expires_at", "到期", "Expires"))
    with opened() as (node, actor):
        node.authorise(actor, "people.list")
        emit_list(node.accounts.tokens(account), columns)


def revoke_token(token: Annotated[str, typer.Argument(metavar="TOKEN", help="令牌编号 / token ID")]) -> None:
    """撤销接口令牌 / revoke an API token."""
    with opened() as (node, actor):
        node.authorise(actor, "people.change")
        if token.startswith("xinyin_"):
            raise BadToken(
                "Give the token's ID, not the token itself; see: xinyin account tokens", "请填写令牌编号，而非令牌本身。"
            )
        node.accounts.revoke_token(token, actor=actor.id)
        emit({"id": token, "status": "revoked"})


def end_sessions(account: Who) -> None:
    """结束账户的全部登录 / sign an account out everywhere."""
    with opened() as (node, actor):
        found = node.accounts.get(account)
        node.authorise(actor, "people.change", {"id": found.id})
        emit({"id": found.id, "status": "signed-out", "sessions": node.accounts.end_sessions(found.id)})


def requests() -> None:
    """列出已在统一认证登录、尚未绑定账户的人员 / who signed in at the OpenID provider and is bound to no account."""
    columns = (
        ("id", "编号", "ID"),
        ("shown_name", "姓名", "Name"),
        ("subject", "标识", "Subject"),
        ("created_at", "时间", "At"),
    )
    with opened() as (node, actor):
        node.authorise(actor, "people.list")
        emit_list(node.accounts.identities.waiting(), columns)


def bind(
    account: Who,
    request: Annotated[str | None, typer.Option("--request", help="登录请求编号 / ID of the request")] = None,
    issuer: Annotated[str | None, typer.Option("--issuer", help="认证系统 / the provider's issuer")] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="其中的人员标识 / the person's subject there")] = None,
) -> None:
    """把统一认证中的人员绑定到账户 / bind a person at the OpenID provider to an account."""
    if (request is None) == (issuer is None or subject is None):
        raise Usage("Give --request, or --issuer and --subject.", "请指定 --request，或同时指定 --issuer 与 --subject。")
    with opened() as (node, actor):
        found = node.accounts.get(account)
        rule = node.authorise(actor, "people.change", {"id": found.id})
        identities = node.accounts.identities
        if request is not None:
            emit(identities.bind(request, found.id, actor=actor.id, rule=rule))
        else:
            emit(identities.bind_subject(issuer or "", subject or "", found.id, actor=actor.id, rule=rule))


def _shown(account: Account) -> dict[str, object]:
    document: dict[str, object] = plain(account)
    document.pop("departments")
    return document


# -- departments ------------------------------------------------------------------------------------------------------------


@departments_app.command("list")
def list_departments() -> None:
    """列出部门 / list departments."""
    columns = (("id", "编号", "ID"), ("name", "名称", "Name"), ("uscc", "代码", "Code"), ("parent", "上级", "Above"))
    with opened() as (node, actor):
        node.authorise(actor, "people.departments")
        emit_list(node.accounts.departments(), columns)


@departments_app.command("create")
def create_department(
    name: Annotated[str, typer.Argument(metavar="NAME", help="部门名称 / its name")],
    uscc: Annotated[str | None, typer.Option("--uscc", help="统一社会信用代码 / unified social credit code")] = None,
    parent: Annotated[str | None, typer.Option("--parent", help="上级部门 / the one above it")] = None,
) -> None:
    """建立部门 / create a department."""
    with opened() as (node, actor):
        node.authorise(actor, "people.change")
        above = node.department(parent) if parent else None
        emit(node.accounts.create_department(name, uscc=uscc, parent=above, actor=actor.id))


@departments_app.command("change")
def change_department(
    department: Department,
    name: Annotated[str | None, typer.Option("--name", help="新名称 / another name")] = None,
    parent: Annotated[str | None, typer.Option("--parent", help="新的上级部门 / another place")] = None,
) -> None:
    """变更部门名称或上级 / rename or move a department."""
    with opened() as (node, actor):
        found = node.department(department)
        rule = node.authorise(actor, "people.change", {"id": found})
        above = node.department(parent) if parent else None
        emit(node.accounts.change_department(found, name=name, parent=above, actor=actor.id, rule=rule))


# -- delegations ------------------------------------------------------------------------------------------------------------


@delegations_app.command("list")
def list_delegations(
    account: Annotated[str | None, typer.Option("--account", help="某人授出或持有的 / given or held by somebody")] = None,
    open_only: Annotated[bool, typer.Option("--open", help="仅未结束的 / those not over")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> None:
    """列出代签授权 / list delegations, newest first."""
    with opened() as (node, actor):
        whose = node.accounts.get(account).id if account else None
        node.authorise(actor, "people.delegations", {"id": whose} if whose else {})
        found = node.accounts.delegations.list(whose, open_only=open_only, limit=limit, after=cursor)
        emit_list(_named(node, found), _DELEGATION, next_cursor=found[-1].id if len(found) == limit else None)


@delegations_app.command("grant")
def grant(
    lender: Annotated[str, typer.Option("--from", help="授权人 / whose authority is lent")],
    to: Annotated[str, typer.Option("--to", help="代签人 / who stands in")],
    role: Annotated[list[str], typer.Option("--role", help="角色（可多次）/ role")],
    until: Annotated[str, typer.Option("--until", help="至（含当日）/ until, YYYY-MM-DD, that day included")],
    since: Annotated[str | None, typer.Option("--since", help="自 / from, YYYY-MM-DD; default now")] = None,
    department: Annotated[str | None, typer.Option("--department", help="部门，默认授权人所在部门 / where")] = None,
    only: Annotated[list[str] | None, typer.Option("--only-matter", help="仅限事项代码（可多次）/ only these matters")] = None,
    reason: Reason = "",
) -> None:
    """授权他人代签 / let somebody stand in."""
    with opened() as (node, actor):
        found = node.accounts.get(lender)
        rule = node.authorise(actor, "people.delegate", {"id": found.id})
        made = node.accounts.delegations.grant(
            found.id,
            to,
            roles=role,
            department=node.department(department) if department else None,
            matters=only or (),
            since=_day(since) if since else None,
            until=_day(until) + timedelta(days=1),
            reason=reason,
            actor=actor.id,
            rule=rule,
        )
        emit(_named(node, [made])[0])


@delegations_app.command("withdraw")
def withdraw(delegation: Annotated[str, typer.Argument(metavar="DELEGATION", help="授权编号 / delegation ID")]) -> None:
    """收回代签授权，立即生效 / withdraw a delegation at once."""
    with opened() as (node, actor):
        found = node.accounts.delegations.get(delegation)
        rule = node.authorise(actor, "people.delegate", {"id": found.from_account})
        emit(_named(node, [node.accounts.delegations.withdraw(found.id, actor=actor.id, rule=rule)])[0])


def _named(node: Node, delegations: Sequence[Delegation]) -> list[dict[str, object]]:
    """Delegations with the names of the two people."""
    names = node.accounts.display_names({x for one in delegations for x in (one.from_account, one.to_account)})
    return [{**plain(one), "from_name": names[one.from_account], "to_name": names[one.to_account]} for one in delegations]


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=BEIJING)
    except ValueError as exc:
        raise Usage(f"“{text}” is no date; write YYYY-MM-DD.", f"“{text}”不是日期；请写成 年-月-日，例如 2026-12-31。") from exc
