"""``xinyin key …``: key roles and their generations, from the making of the next key to the end of the one before it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ceremonies.plain import plain
from cli.output import emit, emit_list
from cli.support import can_write, opened, write_out
from cli.verify import read_file

if TYPE_CHECKING:
    from hsm.schemas import Generation

app = typer.Typer(help="密钥：用途、代次、轮换、停用与销毁 / key roles, generations and their rotation")
RoleId = Annotated[str, typer.Argument(metavar="ROLE", help="密钥用途 ID / key role")]
GenerationId = Annotated[str, typer.Argument(metavar="GENERATION", help="密钥代 ID / key generation")]
ApprovalId = Annotated[str | None, typer.Option("--approval", help="多人共管的批准编号 / approval by the officers")]


def _done(found: Generation) -> None:
    emit(plain(found))


@app.command("list")
def list_keys() -> None:
    """列出密钥用途及其各代 / list key roles with their generations."""
    with opened() as (node, actor):
        node.authorise(actor, "key.list")
        columns = (
            ("id", "编号", "ID"),
            ("purpose", "用途", "Purpose"),
            ("suite", "算法", "Suite"),
            ("status", "状态", "Status"),
        )
        emit_list(node.list_keys(), columns)


@app.command("plan")
def plan(role: RoleId) -> None:
    """轮换要做什么、到了哪一步、每步需要什么 / what a rotation will do, where it stands, what each step needs."""
    with opened() as (node, actor):
        emit(node.rotation.plan(actor, role))


@app.command("stage")
def stage(role: RoleId, approval: ApprovalId = None) -> None:
    """在令牌内生成新一代密钥 / make the next generation in the token."""
    with opened() as (node, actor):
        _done(node.rotation.stage(actor, role, approval=approval))


@app.command("prove")
def prove(generation: GenerationId) -> None:
    """用新密钥试签并验证 / have the new key sign a test phrase, and verify it."""
    with opened() as (node, actor):
        _done(node.rotation.prove(actor, generation))


@app.command("request")
def request(
    generation: GenerationId,
    out: Annotated[Path, typer.Option("--out", help="写到（PEM）/ write the PKCS#10 request here")],
) -> None:
    """按原名称生成证书请求（PKCS#10），送外部 CA / a request to an outside CA with the names of the certificate before."""
    from formats.x509 import to_pem

    can_write(out)
    with opened() as (node, actor):
        der = node.rotation.request(actor, generation)
        write_out(out, to_pem(der, "CERTIFICATE REQUEST").encode())
        emit({"id": generation, "status": "requested", "out": str(out)})


@app.command("certify")
def certify(
    generation: GenerationId,
    certificate: Annotated[Path | None, typer.Option("--certificate", help="外部 CA 的证书 / from an outside CA")] = None,
    chain: Annotated[Path | None, typer.Option("--chain", help="上级证书直至根（PEM）/ its issuers up to the root")] = None,
    approval: ApprovalId = None,
) -> None:
    """为新密钥取得证书：本节点 CA 签发，或导入外部 CA 的（逐项检查）/ its certificate, ours or an outside CA's."""
    given: dict[str, Any] = {}
    if certificate is not None:
        issuers = read_file(chain, limit=1 << 22) if chain is not None else b""
        given = {"certificate": read_file(certificate, limit=1 << 20), "chain": issuers}
    with opened() as (node, actor):
        _done(node.rotation.certify(actor, generation, approval=approval, **given))


@app.command("file")
def file(
    generation: GenerationId,
    number: Annotated[str | None, typer.Option("--number", help="备案编号 / number given by the filing authority")] = None,
    approval: ApprovalId = None,
) -> None:
    """重新制作印章并备案 / make the seal again with the new key, and file it."""
    with opened() as (node, actor):
        _done(node.rotation.file(actor, generation, approval=approval, number=number))


@app.command("distribute")
def distribute(generation: GenerationId, approval: ApprovalId = None) -> None:
    """启用前对外发布新密钥 / publish the trust list with the new key in it."""
    with opened() as (node, actor):
        _done(node.rotation.distribute(actor, generation, approval=approval))


@app.command("activate")
def activate(
    generation: GenerationId,
    approval: ApprovalId = None,
    hurry: Annotated[
        bool, typer.Option("--hurry", help="不等其他地区取得新列表 / before others have fetched the list")
    ] = False,
) -> None:
    """启用；上一代转为收尾 / activate; the one before drains."""
    with opened() as (node, actor):
        _done(node.rotation.activate(actor, generation, approval=approval, hurry=hurry))


@app.command("retire")
def retire(
    generation: GenerationId,
    approval: ApprovalId = None,
    now: Annotated[
        bool, typer.Option("--now", help="不等在途请求（它们改用新密钥）/ do not wait for requests under way")
    ] = False,
) -> None:
    """退役：只能核验，不再签名 / retire: verifies only."""
    with opened() as (node, actor):
        _done(node.rotation.retire(actor, generation, approval=approval, now=now))


@app.command("destroy")
def destroy(generation: GenerationId, approval: ApprovalId = None) -> None:
    """销毁：不可恢复 / destroy the key in its token, for good."""
    with opened() as (node, actor):
        _done(node.rotation.destroy(actor, generation, approval=approval))
