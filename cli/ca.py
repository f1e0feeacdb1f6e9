"""``xinyin ca …``: our CAs, certificate requests to outside CAs, imports, revocation."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ceremonies.plain import plain
from cli.output import emit, emit_list
from cli.state import STATE
from cli.support import opened, write_out
from cli.verify import read_file

if TYPE_CHECKING:
    from ceremonies.node import Node

app = typer.Typer(help="证书：CA、证书请求与导入、吊销列表 / certificates, requests, imports, revocation")
Serial = Annotated[str, typer.Argument(metavar="SERIAL", help="证书序列号（十六进制）或 ID / serial number or ID")]
Why = Annotated[str | None, typer.Option("--reason", help="事由 / why")]
_COLUMNS = (
    ("serial", "序列号", "Serial"),
    ("subject", "主体", "Subject"),
    ("profile", "类型", "Profile"),
    ("not_after", "有效期至", "Until"),
    ("status", "状态", "Status"),
)


@app.command("list")
def list_certificates(
    seal: Annotated[str | None, typer.Option("--seal", help="只看此印章编码 / of this esID only")] = None,
    status: Annotated[str | None, typer.Option("--status", help="good, hold, revoked")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 100,
) -> None:
    """列出证书 / list certificates."""
    wanted = {key: value for key, value in (("es_id", seal), ("status", status)) if value}
    with opened() as (node, actor):
        node.authorise(actor, "ca.show")
        emit_list(node.ca.records(limit=limit, **wanted), _COLUMNS)


@app.command("authorities")
def authorities() -> None:
    """本节点的 CA / this node's CAs."""
    with opened() as (node, actor):
        node.authorise(actor, "ca.show")
        items = [
            {
                "id": a.name,
                "kind": a.kind,
                "suite": a.suite.value,
                "subject": a.certificate.subject,
                "not_after": plain(a.certificate.not_after),
                "status": a.status,
                "sha256": a.certificate.sha256,
            }
            for a in node.ca.authorities()
        ]
        columns = (
            ("id", "名称", "Name"),
            ("suite", "算法", "Suite"),
            ("not_after", "有效期至", "Until"),
            ("status", "状态", "Status"),
        )
        emit_list(items, columns)


@app.command("show")
def show(serial: Serial) -> None:
    """查看一张证书 / show a certificate."""
    with opened() as (node, actor):
        node.authorise(actor, "ca.show")
        found = node.ca.record(serial)
        chain = node.ca.chain(found.certificate)
        emit({**plain(found), "chain": [c.subject for c in chain], "pem": "".join(c.pem() for c in chain)})


@app.command("renew")
def renew(
    serial: Serial,
    generation: Annotated[str | None, typer.Option("--generation", help="缺省为原密钥 / for the role's next key")] = None,
) -> None:
    """按原名称续发证书 / a new certificate with the same names, for the same key or the next."""
    with opened() as (node, actor):
        node.authorise(actor, "ca.issue")
        key = node.keys.generation(generation) if generation else None
        emit(plain(node.ca.record(node.ca.renew(serial, key, actor=actor.id).serial)))


@app.command("expiring")
def expiring(within: Annotated[int, typer.Option("--days", min=1, help="天数 / days from now")] = 90) -> None:
    """即将到期的证书 / certificates to renew soon."""
    with opened() as (node, actor):
        node.authorise(actor, "ca.show")
        emit_list(node.ca.expiring(timedelta(days=within)), _COLUMNS)


@app.command("lint")
def lint(serial: Annotated[str | None, typer.Argument(metavar="SERIAL", help="缺省为全部 / all if left out")] = None) -> None:
    """按现行规则检查已签发的证书 / check issued certificates by today's rules; exit status 1 when one is wrong."""
    with opened() as (node, actor):
        node.authorise(actor, "ca.show")
        serials = [serial] if serial else [r.id for r in node.ca.records(limit=100_000)]
        found = [{"certificate": s, **plain(finding)} for s in serials for finding in node.ca.lint(s)]
        columns = (("certificate", "证书", "Certificate"), ("code", "代码", "Code"), ("message_zh", "说明", "Message"))
        emit_list(found, columns)
    if any(f["severity"] == "error" for f in found):
        raise typer.Exit(1)


@app.command("refresh")
def refresh() -> None:
    """续签吊销列表与 OCSP 应答（平时由 worker 完成）/ renew lists and answers; log the root token in for the roots' lists."""
    with opened() as (node, actor):
        node.authorise(actor, "ca.publish")
        report = node.ca.refresh()
        emit({"id": node.region, "status": "incomplete" if report.failures else "done", **plain(report)})
    if report.failures:
        raise typer.Exit(1)


@app.command("csr")
def csr(
    generation: Annotated[str, typer.Argument(metavar="GENERATION", help="密钥代 ID，见 key list / key generation")],
    name: Annotated[str, typer.Option("--name", help="主体名称 / common name")],
    out: Annotated[Path, typer.Option("--out", help="写到（PEM）/ write the PKCS#10 request here")],
    organisation: Annotated[str | None, typer.Option("--organisation", help="机构 / organisation")] = None,
    seal: Annotated[str | None, typer.Option("--seal", help="印章编码 / esID")] = None,
) -> None:
    """为本节点的密钥生成证书请求（PKCS#10），送外部 CA / a request to an outside CA."""
    from formats.x509 import Subject, to_pem

    with opened() as (node, actor):
        node.authorise(actor, "ca.csr")
        subject = Subject(common_name=name, organization=organisation or name)
        der = node.ca.csr(node.keys.generation(generation), subject, es_id=seal)
        write_out(out, to_pem(der, "CERTIFICATE REQUEST").encode())
        emit({"id": generation, "status": "requested", "out": str(out)})


@app.command("import")
def import_certificate(
    generation: Annotated[str, typer.Argument(metavar="GENERATION", help="密钥代 ID / key generation")],
    certificate: Annotated[Path, typer.Option("--certificate", help="外部 CA 的证书（PEM 或 DER）/ the certificate")],
    chain: Annotated[Path, typer.Option("--chain", help="上级证书直至根（PEM）/ its issuers up to the root")],
    seal: Annotated[str | None, typer.Option("--seal", help="印章编码 / esID")] = None,
) -> None:
    """导入外部 CA 为本节点密钥签发的证书（逐项检查）/ take an outside CA's certificate."""
    data, issuers = read_file(certificate, limit=1 << 20), read_file(chain, limit=1 << 22)
    with opened() as (node, actor):
        node.authorise(actor, "ca.import")
        emit(plain(node.ca.import_certificate(node.keys.generation(generation), data, issuers, es_id=seal, actor=actor.id)))


def _change(action: str, serial: str, work: Any) -> None:
    with opened() as (node, actor):
        node.authorise(actor, action)
        emit(plain(work(node, actor.id)))


@app.command("hold")
def hold(serial: Serial, reason: Why = None) -> None:
    """暂停证书（可恢复）/ put a certificate on hold."""

    def work(node: Node, actor: str) -> Any:
        return node.ca.hold(serial, actor=actor, reason=reason)

    _change("ca.hold", serial, work)


@app.command("release")
def release(serial: Serial, reason: Why = None) -> None:
    """恢复暂停的证书 / release a certificate from hold."""

    def work(node: Node, actor: str) -> Any:
        return node.ca.release(serial, actor=actor, reason=reason)

    _change("ca.release", serial, work)


@app.command("revoke")
def revoke(
    serial: Serial,
    reason: Annotated[
        str, typer.Option("--reason", help="unspecified, keyCompromise, superseded, cessationOfOperation, …")
    ] = "unspecified",
) -> None:
    """吊销证书（不可恢复）/ revoke a certificate for good."""

    def work(node: Node, actor: str) -> Any:
        return node.ca.revoke(serial, reason, actor=actor)

    _change("ca.revoke", serial, work)


@app.command("crl")
def crl(
    ca: Annotated[str, typer.Argument(metavar="CA", help="CA 名称，见 ca authorities / name of the CA")],
    out: Annotated[Path, typer.Option("--out", help="写到（DER）/ write it here")],
) -> None:
    """导出吊销列表 / write a CA's revocation list."""
    with opened() as (node, actor):
        node.authorise(actor, "ca.show")
        der = node.ca.crl(ca)
        write_out(out, der)
        emit({"id": ca, "status": "written", "bytes": len(der), "out": str(out)})


@app.command("root-login")
def root_login(
    minutes: Annotated[int, typer.Option("--minutes", min=1, max=60, help="登录时长 / for how long")] = 15,
) -> None:
    """登录根 CA 令牌（PIN 从终端或标准输入读取），并签发到期的根吊销列表 / log the root token in and sign the roots' lists."""
    with opened() as (node, actor):
        node.authorise(actor, "ca.publish")
        pin = _read_pin()
        node.keys.login_root(pin, seconds=minutes * 60)
        report = node.ca.refresh()
        emit({"id": node.region, "status": "incomplete" if report.failures else "done", "minutes": minutes, **plain(report)})
    if report.failures:
        raise typer.Exit(1)


@app.command("root-logout")
def root_logout() -> None:
    """根 CA 令牌退出登录 / log the root token out before its time is over."""
    with opened() as (node, actor):
        node.authorise(actor, "ca.publish")
        node.keys.login_root("", seconds=0)
        emit({"id": node.region, "status": "logged-out"})


def _read_pin() -> str:
    """Typed at a terminal without an echo, else the first line of standard input: never an argument."""
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass(STATE.pick("根 CA 令牌 PIN：", "PIN of the root token: "))
    return sys.stdin.readline().strip()


@app.command("succeed-issuing")
def succeed_issuing(
    generation: Annotated[str, typer.Argument(metavar="GENERATION", help="已试签的新一代签发 CA 密钥 / staged and proved")],
    approval: Annotated[str | None, typer.Option("--approval", help="多人共管的批准编号 / approval by the officers")] = None,
) -> None:
    """由根 CA 为新一代签发 CA 密钥签发证书（即轮换的取得证书一步）/ the root certifies the next issuing CA."""
    from ceremonies.keybook import shown

    with opened() as (node, actor):
        emit(shown(node.rotation.certify(actor, generation, approval=approval)))
