"""What people are shown in place of the members and states of a document: labels in both languages, times as read in China."""

from __future__ import annotations

import re
from datetime import datetime

from cli.state import STATE
from formats.dates import BEIJING

_LABELS: dict[str, tuple[str, str]] = {
    "id": ("编号", "ID"),
    "account": ("操作者", "Account"),
    "activated_at": ("启用时间", "Activated"),
    "active": ("现用密钥", "Active key"),
    "actor": ("操作者", "Who"),
    "address": ("地址", "Address"),
    "algorithm": ("算法", "Algorithm"),
    "application": ("用印申请", "Application"),
    "attempt": ("次数", "Attempt"),
    "authority": ("签发 CA", "CA"),
    "basis": ("依据", "Basis"),
    "blob": ("存档摘要", "Stored as"),
    "capital": ("注册资本", "Capital"),
    "certificates": ("证书", "Certificates"),
    "chain": ("证书链", "Chain"),
    "changes_after": ("盖章后的变化", "Changes after"),
    "claimed_time": ("自称的时间", "Claimed time"),
    "code": ("二维码", "Code"),
    "covers_whole_file": ("覆盖整个文件", "Covers whole file"),
    "created_at": ("创建时间", "Made"),
    "created_by": ("办理人", "Arranged by"),
    "custody": ("保管方式", "Custody"),
    "data": ("照面内容", "Content"),
    "department": ("部门", "Department"),
    "display_name": ("姓名", "Person"),
    "document_sha256": ("文件 SHA-256", "Document"),
    "effective_at": ("生效时间", "Effective"),
    "es_id": ("印章编码", "esID"),
    "established": ("成立日期", "Established"),
    "events": ("状态变化", "Events"),
    "field": ("签名域", "Field"),
    "file": ("文件", "File"),
    "format": ("格式", "Format"),
    "from_account": ("授权人账户", "Lender's account"),
    "from_name": ("授权人", "For"),
    "generation": ("密钥", "Key"),
    "generation_id": ("密钥", "Key"),
    "generations": ("密钥", "Keys"),
    "height_mm": ("高（毫米）", "Height, mm"),
    "holder": ("持证主体", "Holder"),
    "holder_code": ("持证主体代码", "Holder's code"),
    "identifier": ("证照标识", "Identifier"),
    "identities": ("统一认证", "Sign-in service"),
    "impression": ("用印记录", "Impression"),
    "indication": ("结论", "Indication"),
    "input_sha256": ("原件 SHA-256", "Original"),
    "intact": ("内容未变", "Intact"),
    "intent": ("签名意图", "Intent"),
    "invalidity_at": ("失效起算", "Invalid since"),
    "issued_at": ("签发时间", "Issued"),
    "issuer": ("签发者", "Issuer"),
    "issuer_uscc": ("签发者代码", "Issuer's code"),
    "key_id": ("令牌内编号", "ID in token"),
    "kid": ("密钥标识", "Key ID"),
    "kind": ("类别", "Kind"),
    "label": ("下方文字", "Lower line"),
    "leaves": ("停用原账户", "Closes the account"),
    "level": ("级别", "Level"),
    "list": ("信任列表序号", "List no."),
    "matter": ("事项", "Matter"),
    "moved": ("移交的工作", "Moved along"),
    "name": ("名称", "Name"),
    "next_update": ("下次更新", "Next update"),
    "not_after": ("有效期至", "Until"),
    "not_before": ("有效期起", "From"),
    "number": ("序号", "No."),
    "origin": ("来源", "Origin"),
    "out": ("写到", "Written to"),
    "owner_name": ("所有者", "Owner"),
    "owner_uscc": ("所有者代码", "Owner's code"),
    "page": ("页", "Page"),
    "parent": ("上级部门", "Above it"),
    "passkeys": ("通行密钥", "Passkeys"),
    "password": ("口令", "Password"),
    "pem": ("PEM", "PEM"),
    "picture": ("印章图像", "Picture"),
    "profile": ("类型", "Profile"),
    "proven_time": ("可证明的时间", "Proven time"),
    "public_key_sha256": ("公钥指纹", "Fingerprint"),
    "purpose": ("用途", "Purpose"),
    "reason": ("事由", "Reason"),
    "reasons": ("理由", "Reasons"),
    "recognition": ("互认", "Recognition"),
    "recorded_at": ("登记时间", "Recorded"),
    "region": ("区域", "Region"),
    "replaced_by": ("更正为", "Replaced by"),
    "replaces": ("取代", "Replaces"),
    "representative": ("法定代表人", "Representative"),
    "retired_at": ("退役时间", "Retired"),
    "revoked_at": ("吊销时间", "Revoked"),
    "role_id": ("密钥用途", "Key role"),
    "roles": ("角色", "Roles"),
    "rule": ("规则", "Rule"),
    "sample": ("样本", "Sample"),
    "scope": ("经营范围", "Scope"),
    "seal": ("印章", "Seal"),
    "seal_id": ("印章", "Seal"),
    "sequence": ("序号", "No."),
    "serial": ("序列号", "Serial"),
    "service": ("服务类型", "Service"),
    "services": ("服务数", "Services"),
    "ses_sha256": ("SES 印章摘要", "SES seal"),
    "sessions": ("登录数", "Sessions"),
    "sha256": ("SHA-256", "SHA-256"),
    "shown_name": ("姓名", "Name"),
    "signer": ("签章人", "Signer"),
    "since": ("自", "Since"),
    "stands_in_for": ("代签对象", "Stands in for"),
    "state": ("状态", "State"),
    "status": ("状态", "Status"),
    "sub_indication": ("细分结论", "Sub-indication"),
    "subject": ("主体", "Subject"),
    "suite": ("算法", "Suite"),
    "suites": ("算法", "Suites"),
    "to_account": ("代签人账户", "Delegate's account"),
    "to_name": ("代签人", "Stands in"),
    "token_label": ("令牌", "Token"),
    "type": ("类型", "Type"),
    "type_name": ("类型名称", "Type name"),
    "until": ("至", "Until"),
    "uscc": ("信用代码", "Credit code"),
    "valid_from": ("有效期起", "From"),
    "valid_to": ("有效期至", "Until"),
    "version": ("版本", "Version"),
    "versions": ("版本", "Versions"),
    "voided_at": ("作废时间", "Voided"),
    "width_mm": ("宽（毫米）", "Width, mm"),
}

_STATES: dict[str, str] = {
    "active": "启用",
    "approved": "已签发",
    "delivered": "已送达",
    "destroyed": "已销毁",
    "confirmed": "已确认",
    "draining": "收尾",
    "expired": "过期",
    "good": "有效",
    "granted": "已批准，待执行",
    "hold": "暂停",
    "imported": "已导入",
    "in-force": "有效",
    "open": "待批准",
    "proposed": "待确认",
    "published": "已发布",
    "refused": "不予同意",
    "replaced": "已替换",
    "removed": "已停用",
    "retired": "退役",
    "returned": "已退回补正",
    "revoked": "已撤销",
    "sealed": "已用印",
    "signed-off": "已签发",
    "staged": "待启用",
    "submitted": "办理中",
    "suspended": "暂停",
    "used": "已使用",
    "valid": "有效",
    "voided": "已作废",
    "withdrawn": "已撤回",
}
_BETWEEN_NAMES = re.compile(r"(?<!\\),(?=[A-Za-z.0-9]+=)")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")


def label(key: str) -> str:
    """The member ``key`` in the run's language; a member without a label keeps its name."""
    zh, en = _LABELS.get(key, (key, key))
    return zh if zh == en else STATE.pick(zh, en).replace("\n", " ")


def worded(key: str, value: object) -> str:
    """One plain value for people. States keep their English name, which options and other programs use, beside the Chinese."""
    if isinstance(value, bool):
        return "✓" if value else "✗"
    if value is None:
        return "–"
    text = str(value)
    if key in ("status", "state") and text in _STATES:
        return STATE.pick(_STATES[text], text).replace("\n", " ")
    if key in ("subject", "issuer", "chain"):
        return _BETWEEN_NAMES.sub(", ", text)
    return beijing(text) if _TIME.fullmatch(text) else text


def sentence(zh: str, en: str) -> str:
    """A room's sentence in the run's language, its times as people read them."""
    return readable(STATE.pick(zh, en))


def readable(words: str) -> str:
    """A sentence with its times as people read them."""
    return _TIME.sub(lambda found: beijing(found.group()), words)


def beijing(value: str) -> str:
    """An RFC 3339 time in UTC as ``2026-11-22 08:11:15+08:00``: Beijing time that says so, and that ``--at`` takes."""
    return datetime.fromisoformat(value).astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S+08:00")
