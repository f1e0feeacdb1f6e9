"""What the next key of each purpose goes through before it signs, in words; the order holds for all of them.

stage → prove → certify → file → distribute → activate; then the one before it retires and, when nobody needs it any more, is
destroyed. A purpose leaves out what makes no sense for it: a trust-list key has no certificate, only a seal is filed.
"""

from __future__ import annotations

from dataclasses import dataclass

from hsm.schemas import KeyPurpose as P

STEPS = ("stage", "prove", "certify", "file", "distribute", "activate", "retire", "destroy")
AUTHORITIES = frozenset({P.root_ca, P.issuing_ca})
CERTIFIED = AUTHORITIES | {P.ocsp, P.tsa, P.seal_maker, P.seal_holder, P.licence_issuer, P.drill}
"""Purposes whose keys sign under a certificate; the others are known by the key alone."""
FILED = frozenset({P.seal_holder})
DISTRIBUTED = frozenset(P) - {P.seal_holder, P.ocsp, P.drill}
"""Purposes whose keys others know from our trust list; seals and OCSP delegates are known through their issuer."""

ACTIONS = {
    "stage": "key.stage",
    "prove": "key.prove",
    "certify": "ca.issue",
    "file": "key.file",
    "distribute": "key.distribute",
    "activate": "key.activate",
    "retire": "key.retire",
    "destroy": "key.destroy",
}
"""What the rules are asked for each step."""

OWN_WORK = frozenset({"prove"})
"""Steps that change nothing and need no second officer."""


@dataclass(frozen=True)
class Words:
    """A name and a sentence, in both languages."""

    name: str
    name_zh: str
    text: str
    text_zh: str


WORDS: dict[str, Words] = {
    "stage": Words(
        "Make the next key",
        "生成新密钥",
        "The token makes the next key. It signs nothing yet.",
        "在密码令牌内生成下一代密钥；此时还不能用于签名。",
    ),
    "prove": Words(
        "Try it",
        "试签验证",
        "The new key signs a test phrase, and the signature is verified in software.",
        "新密钥对一段测试文字签名，并在软件中验证。",
    ),
    "certify": Words(
        "Obtain its certificate",
        "取得证书",
        "The certification authority certifies the new key under the names of the one before it.",
        "由证书颁发机构按原名称为新密钥签发证书。",
    ),
    "file": Words(
        "Make the seal again and file it",
        "重新制作印章并备案",
        "The seal maker signs the next version of the seal, which names the new key; the filing document is made.",
        "制章人签署包含新密钥的印章新版本，并生成备案材料。",
    ),
    "distribute": Words(
        "Let others know it",
        "对外发布",
        "The trust list that names the new key is signed and published, so that other regions know it before it signs.",
        "签发并发布包含新密钥的信任列表，使其他地区在其启用前即已知晓。",
    ),
    "activate": Words(
        "Put it to use",
        "启用",
        "From now on every new request uses the new key; requests already under way finish with the old one.",
        "此后的新请求均使用新密钥；已在途的请求仍用旧密钥完成。",
    ),
    "retire": Words(
        "Retire the old key",
        "旧密钥退役",
        "The old key signs no more. What it signed stays verifiable.",
        "旧密钥不再签名；其已签署的文件仍可核验。",
    ),
    "destroy": Words(
        "Destroy the old key",
        "销毁旧密钥",
        "The old key is destroyed in the token, for good. What it signed stays verifiable.",
        "在密码令牌内永久销毁旧密钥；其已签署的文件仍可核验。",
    ),
}

PURPOSES: dict[str, tuple[str, str]] = {
    P.root_ca: ("Root CA", "根 CA"),
    P.issuing_ca: ("Issuing CA", "签发 CA"),
    P.ocsp: ("Certificate status (OCSP)", "证书状态应答（OCSP）"),
    P.tsa: ("Timestamps", "时间戳"),
    P.seal_maker: ("Seal maker", "制章人"),
    P.seal_holder: ("Seal", "印章"),
    P.licence_issuer: ("Licence codes", "证照二维码"),
    P.credential_issuer: ("Credentials", "凭证签发"),
    P.status_list: ("Status lists", "状态列表"),
    P.trust_list: ("Trust list", "信任列表"),
    P.audit_checkpoint: ("Audit log", "审计日志"),
    P.receipt: ("Receipts", "回执"),
    P.drill: ("Drill", "演练"),
}
SUITES = {"sm2": "SM2", "rsa": "RSA", "p256": "P-256"}
STATES: dict[str, tuple[str, str]] = {
    "staged": ("prepared", "待启用"),
    "active": ("in use", "使用中"),
    "draining": ("finishing what it began", "收尾中"),
    "retired": ("retired", "已退役"),
    "destroyed": ("destroyed", "已销毁"),
    "empty": ("no key", "尚无密钥"),
}


def needed(purpose: P | str) -> tuple[str, ...]:
    """The steps that a key of this purpose goes through."""
    kind = P(purpose)
    left_out = {
        "certify": kind not in CERTIFIED,
        "file": kind not in FILED,
        "distribute": kind not in DISTRIBUTED,
    }
    return tuple(step for step in STEPS if not left_out.get(step, False))
