"""``xinyin approval …``: what waits for officers, approving it with a certificate, and the keys that they approve with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ceremonies.plain import plain
from cli.output import emit, emit_list
from cli.state import STATE
from cli.support import can_write, opened, write_out
from cli.verify import read_file
from crypto.errors import BadInput, Usage

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(help="批准：多人共管 / approvals by several officers")
keys_app = typer.Typer(help="审批密钥：登记、确认、停用 / the keys that officers approve with")
app.add_typer(keys_app, name="key")

Id = Annotated[str, typer.Argument(metavar="APPROVAL", help="批准编号 / approval ID")]
KeyId = Annotated[str, typer.Argument(metavar="KEY", help="审批密钥编号 / officer's key ID")]
Pkcs12 = Annotated[Path | None, typer.Option("--pkcs12", help="PKCS#12 文件 / file with key and certificate")]
KeyFile = Annotated[Path | None, typer.Option("--key", help="PKCS#8 私钥（含 SM2）/ private key, SM2 too")]
CertFile = Annotated[Path | None, typer.Option("--certificate", help="其证书 / its certificate")]
Pkcs11 = Annotated[Path | None, typer.Option("--pkcs11", help="本人令牌的 PKCS#11 模块 / module of the officer's own token")]
Token = Annotated[str | None, typer.Option("--token", help="令牌标签 / the token's label")]
Label = Annotated[str | None, typer.Option("--label", help="证书标签 / the certificate's label in the token")]
Secret = Annotated[
    Path | None, typer.Option("--secret-file", help="存放密码或 PIN 的文件；缺省则询问 / file with password or PIN")
]
_COLUMNS = (
    ("id", "编号", "ID"),
    ("status", "状态", "Status"),
    ("action", "操作", "Action"),
    ("expires_at", "有效期至", "Good until"),
)


@app.command("list")
def list_approvals(
    status: Annotated[str | None, typer.Option("--status", help="open、granted、used、refused、withdrawn、expired")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 100,
    cursor: Annotated[str | None, typer.Option("--cursor")] = None,
) -> None:
    """列出批准事项 / list what officers were asked, newest first."""
    with opened() as (node, actor):
        items, more = node.approvals.list(actor, status=status, limit=limit, cursor=cursor)
        words = ("words_en" if STATE.lang == "en" else "words_zh", "将执行", "What")
        emit_list(items, (*_COLUMNS, words), next_cursor=more)


@app.command("show")
def show(
    approval: Id,
    out: Annotated[Path | None, typer.Option("--out", help="把待签内容写到 / write what is signed here")] = None,
) -> None:
    """查看将要执行的操作、已有何人批准 / what will happen, and who approved it."""
    with opened() as (node, actor):
        found = node.approvals.show(actor, approval)
        if out is not None:
            write_out(out, node.approvals.document(actor, approval))
    show_approval(found)


@app.command("sign")
def sign(
    approval: Annotated[str | None, typer.Argument(metavar="[APPROVAL]", help="批准编号 / approval ID")] = None,
    statement: Annotated[
        Path | None, typer.Option("--statement", help="脱机签署：待签内容文件 / offline: the file that is to be signed")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="脱机签署：签名写到 / offline: write the signature here")] = None,
    signature: Annotated[
        Path | None, typer.Option("--signature", help="用其他程序做好的签名 / a signature made elsewhere")
    ] = None,
    pkcs12: Pkcs12 = None,
    key: KeyFile = None,
    certificate: CertFile = None,
    pkcs11: Pkcs11 = None,
    token: Token = None,
    label: Label = None,
    secret_file: Secret = None,
    yes: Annotated[bool, typer.Option("--yes", help="不再询问 / do not ask")] = False,
) -> None:
    """以证书批准（--as 本人账户）；或脱机签署，再上传签名 / approve with a certificate; or sign offline, to be uploaded."""
    from cli.officer_key import Ways, officer_signer

    ways = Ways(pkcs12, key, certificate, pkcs11, token, label, secret_file)
    if statement is not None:
        if approval is not None or out is None or signature is not None:
            raise Usage(
                "Offline: --statement FILE --out FILE and a key.", "脱机签署：--statement 文件 --out 文件，并指定密钥。"
            )
        can_write(out, statement)
        message = read_file(statement, limit=1 << 20)
        _show_statement(message)
        _ask(yes)
        with officer_signer(ways) as own:
            write_out(out, own.cms(message))
        emit({"id": hashlib.sha256(message).hexdigest(), "status": "signed", "out": str(out)})
        return
    if approval is None:
        raise Usage("Name the approval, or a --statement to sign offline.", "请指明批准编号，或用 --statement 脱机签署。")
    with opened() as (node, actor):
        found = node.approvals.show(actor, approval)
        message = node.approvals.document(actor, approval)
        _check_words(found, message)
        if not STATE.json:
            _print_to(found)
        _ask(yes)
        if signature is not None:
            given = read_file(signature, limit=1 << 20)
        else:
            with officer_signer(ways) as own:
                given = own.cms(message)
        show_approval(node.approvals.sign_with_certificate(actor, approval, given))


@app.command("refuse")
def refuse(approval: Id, reason: Annotated[str, typer.Option("--reason", help="理由 / why")]) -> None:
    """否决（--as 本人账户）/ refuse it."""
    with opened() as (node, actor):
        show_approval(node.approvals.refuse(actor, approval, reason=reason))


@app.command("withdraw")
def withdraw(approval: Id) -> None:
    """撤回申请 / take the request back."""
    with opened() as (node, actor):
        show_approval(node.approvals.withdraw(actor, approval))


# -- the keys that officers approve with ---------------------------------------------------------------------------------------


@keys_app.command("list")
def list_keys() -> None:
    """列出密钥管理员的审批密钥 / list the keys that officers approve with."""
    columns = (("id", "编号", "ID"), ("name", "姓名", "Officer"), ("kind", "种类", "Kind"), ("status", "状态", "Status"))
    with opened() as (node, actor):
        emit_list(node.approvals.keys.list(actor), columns)


@keys_app.command("enrol")
def enrol(
    pkcs12: Pkcs12 = None,
    key: KeyFile = None,
    certificate: CertFile = None,
    pkcs11: Pkcs11 = None,
    token: Token = None,
    label: Label = None,
    secret_file: Secret = None,
) -> None:
    """登记本人的证书（--as 本人账户），由系统管理员确认 / put one's own certificate forward; an administrator confirms it."""
    from cli.officer_key import Ways, officer_signer

    ways = Ways(pkcs12, key, certificate, pkcs11, token, label, secret_file)
    with officer_signer(ways) as own, opened() as (node, actor):
        proof = own.cms(node.approvals.keys.challenge(actor, own.certificate.der))
        emit(node.approvals.keys.propose_certificate(actor, own.certificate.der, proof))


@keys_app.command("confirm")
def confirm(
    key: KeyId,
    approval: Annotated[
        str | None, typer.Option("--approval", help="两名密钥管理员的批准 / two officers' approval, once there was a quorum")
    ] = None,
) -> None:
    """确认该密钥属于其持有人 / confirm that the key is the officer's."""
    with opened() as (node, actor):
        emit(node.approvals.keys.confirm(actor, key, approval=approval))


@keys_app.command("remove")
def remove(key: KeyId) -> None:
    """停用：丢失、更换或离任 / the key approves nothing more."""
    with opened() as (node, actor):
        emit(node.approvals.keys.remove(actor, key))


# -- words ---------------------------------------------------------------------------------------------------------------------


def _check_words(found: dict[str, Any], message: bytes) -> None:
    """The sentences on the screen are those that the signature covers, and the text is that of the digest."""
    said = json.loads(message)
    shown = {lang: hashlib.sha256(found[f"words_{lang}"].encode()).hexdigest() for lang in ("en", "zh")}
    if said["words"] != shown or hashlib.sha256(message).hexdigest() != found["digest"]:
        raise BadInput(
            "What this node shows is not what would be signed: sign nothing, and tell the auditor.",
            "本节点显示的内容与待签内容不一致：请勿签署，并告知审计员。",
        )


def _ask(yes: bool) -> None:
    if not yes and not STATE.json:
        typer.confirm(STATE.pick("签署并批准？", "Sign and approve?"), abort=True, err=True)


def _show_statement(message: bytes) -> None:
    """What is about to be signed offline, member by member.

    :raises BadInput: neither an approval's statement nor the enrolment of a key
    """
    from formats.approvals import KEY_TYPE, TYPE

    try:
        said = json.loads(message)
        if said["type"] not in (TYPE, KEY_TYPE):
            raise ValueError("type")
    except (ValueError, KeyError, TypeError) as exc:
        raise BadInput(
            "This file is no statement of an approval; get it with `xinyin approval show ID --out FILE`, or from the page.",
            "该文件不是待批准的内容；请用 `xinyin approval show 编号 --out 文件` 或从页面下载。",
        ) from exc
    if not STATE.json:
        from cli.output import err, print_members

        print_members(err(), said, 0)


def _print_to(found: dict[str, Any]) -> None:
    from cli.output import err

    _print(err(), found)


def show_approval(found: dict[str, Any]) -> None:
    """An approval for people: what will happen, who asked, who has approved, and what is left to do."""
    emit(found, lambda console: _print(console, found))


def _print(console: Console, approval: dict[str, Any]) -> None:
    from cli.words import worded

    found = plain(approval)
    console.print(f"[bold]{STATE.pick(found['words_zh'], found['words_en'])}[/]")
    console.print(f"  {STATE.pick('状态', 'Status')}  {worded('status', found['status'])}   [dim]{found['id']}[/]")
    asked = STATE.pick(f"由 {found['requested_by_name']} 申请", f"asked by {found['requested_by_name']}")
    console.print(f"  {asked}, {STATE.pick('有效期至', 'good until')} {worded('expires_at', found['expires_at'])}")
    for one in found["given"]:
        mark = "✔" if one["counts"] else "✘"
        console.print(f"  {mark} {one['name']}  {worded('at', one['at'])}")
    left = found["needed"] - sum(one["counts"] for one in found["given"])
    if found["status"] == "open" and left > 0:
        console.print(STATE.pick(f"  尚须 {left} 人批准", f"  {left} more needed"))
        command = f"xinyin approval sign {found['id']} --as …"
        console.print(f"  → {command}  {STATE.pick('（或在“共同批准”页面）', '(or on the page Approvals)')}", markup=False)
    console.print(f"  SHA-256 {found['digest']}", style="dim")
