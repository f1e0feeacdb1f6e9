"""``xinyin account …``: local people and API tokens."""

from __future__ import annotations

import getpass
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ceremonies.plain import plain
from cli.output import emit, emit_list
from cli.state import STATE
from cli.support import opened
from cli.verify import read_file
from crypto.errors import Usage

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(help="账户与接口令牌 / accounts and API tokens")
Name = Annotated[str, typer.Argument(metavar="NAME", help="登录名或账户 ID / sign-in name or ID")]
Stdin = Annotated[bool, typer.Option("--password-stdin", help="从标准输入读密码 / read the password from stdin")]


def _password(from_stdin: bool) -> tuple[str, bool]:
    """``(password, made)``: from stdin, asked on a terminal, else made here. Never an argument: those show in process lists."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\n"), False
    if sys.stdin.isatty() and not STATE.json:
        first = getpass.getpass(STATE.pick("密码（直接回车则自动生成）：", "Password (Enter makes one): "))
        if first:
            if getpass.getpass(STATE.pick("再输一次：", "Again: ")) != first:
                raise Usage("The two passwords differ; try again.", "两次输入不一致，请重试。")
            return first, False
    return secrets.token_urlsafe(15), True


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="登录名：小写字母、数字 / sign-in name")],
    role: Annotated[list[str], typer.Option("--role", help="角色（可多次）/ role: handler, seal_keeper, licensing_clerk, …")],
    department: Annotated[str | None, typer.Option("--department", help="部门 ID、代码或名称 / department")] = None,
    display_name: Annotated[str | None, typer.Option("--display-name", help="姓名 / the person's name")] = None,
    system: Annotated[bool, typer.Option("--system", help="业务系统（令牌或密钥）/ a system, with tokens or keys")] = False,
    password_stdin: Stdin = False,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="仅用统一认证或通行密钥登录 / sign-in service or passkey only")
    ] = False,
) -> None:
    """建立账户 / create an account."""
    password, made = (None, False) if system or no_password else _password(password_stdin)
    with opened() as (node, actor):
        node.authorise(actor, "people.create")
        account = node.accounts.create(
            name,
            password,
            roles=role,
            department=node.department(department) if department else None,
            display_name=display_name,
            kind="system" if system else "staff",
            actor=actor.id,
        )
        document = plain(account)
    if made:
        document["password"] = password

    def human(console: Console) -> None:
        console.print(f"[bold green]✔[/] {account.name}  [dim]{account.id}[/]  {', '.join(sorted(account.roles))}")
        if made:
            console.print(STATE.pick(f"  密码（仅显示一次）：{password}", f"  Password (shown once): {password}"), markup=False)

    emit(document, human)


@app.command("list")
def list_accounts(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 100,
    cursor: Annotated[str | None, typer.Option("--cursor")] = None,
) -> None:
    """列出账户 / list accounts."""
    with opened() as (node, actor):
        node.authorise(actor, "people.list")
        found = node.accounts.accounts(limit=limit, after=cursor)
        columns = (
            ("name", "登录名", "Name"),
            ("display_name", "姓名", "Person"),
            ("roles", "角色", "Roles"),
            ("status", "状态", "Status"),
        )
        emit_list(found, columns, next_cursor=found[-1].id if len(found) == limit else None)


@app.command("passwd")
def passwd(name: Name, password_stdin: Stdin = False) -> None:
    """更换密码 / set a new password."""
    password, made = _password(password_stdin)
    with opened() as (node, actor):
        node.authorise(actor, "people.change")
        node.accounts.set_password(name, password, actor=actor.id)
    emit({"id": name, "status": "changed", **({"password": password} if made else {})})


@app.command("token")
def token(
    name: Name,
    label: Annotated[str, typer.Option("--label", help="用途 / what it is for")] = "cli",
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="有效天数 / days it lasts")] = 365,
) -> None:
    """生成接口令牌（仅显示一次）/ make an API token, shown once."""
    with opened() as (node, actor):
        node.authorise(actor, "people.change")
        made, secret = node.accounts.issue_token(name, label, days=days, actor=actor.id)
    document = {**plain(made), "token": secret}

    def human(console: Console) -> None:
        console.print(f"[bold]{secret}[/]")
        console.print(STATE.pick("  请立即保存，此后不再显示。", "  Keep it now; it is not shown again."), style="dim")

    emit(document, human)


@app.command("add-key")
def add_key(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="业务系统的账户 / the system's account")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="公钥：JWK 或 PEM / public key, JWK or PEM")],
    name: Annotated[str, typer.Option("--name", help="密钥名称 / what it is called in lists")] = "key",
) -> None:
    """登记业务系统的公钥（private_key_jwt）/ register a system's public key."""
    text = read_file(file).decode("utf-8", "replace")
    with opened() as (node, actor):
        rule = node.authorise(actor, "people.change")
        emit(node.accounts.clients.add(account, text, name=name, actor=actor.id, rule=rule))


@app.command("keys")
def list_keys(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="业务系统的账户 / the system's account")],
) -> None:
    """列出业务系统的公钥 / list a system's public keys."""
    columns = (("id", "编号", "ID"), ("name", "名称", "Name"), ("status", "状态", "Status"), ("expires_at", "到期", "Expires"))
    with opened() as (node, actor):
        node.authorise(actor, "people.list")
        emit_list(node.accounts.clients.list(account), columns)


@app.command("revoke-key")
def revoke_key(key: Annotated[str, typer.Argument(metavar="KEY", help="密钥编号 / key ID")]) -> None:
    """撤销业务系统的公钥 / revoke a system's public key."""
    with opened() as (node, actor):
        rule = node.authorise(actor, "people.change")
        emit(node.accounts.clients.revoke(key, actor=actor.id, rule=rule))
