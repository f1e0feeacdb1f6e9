"""Identifiers of people, organisations and licences, and their check characters.

GB 32100 (unified social credit code), GB 11643 (resident identity number), GB/T 36904 (electronic licence identifier, check
character after ISO/IEC 7064 MOD 37,36). The texts of GB/T 36904 are unread here: the rule was reconstructed from published
identifiers, which are the vectors of the tests.

Codes from the field are not always right: at least one genuine social credit code fails its own check. So the checks return
remarks for a clerk to see, and only what has no readable form at all is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from crypto.errors import BadInput

LICENCE_ROOT = "1.2.156.3005.2"

_USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_ALNUM = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


class BadIdentifier(BadInput):
    """Not an identifier of the kind asked for."""

    code = "bad-identifier"


@dataclass(frozen=True)
class Remark:
    """Something a person should look at; it blocks nothing by itself."""

    code: str
    message: str
    message_zh: str


def uscc_check(code: str) -> list[Remark]:
    """Remarks on an 18-character unified social credit code (GB 32100); empty when all is well."""
    if not re.fullmatch(r"[0-9A-Z]{18}", code):
        return [
            Remark(
                "uscc-form",
                "A unified social credit code has 18 characters, digits and capital letters; compare it with the original.",
                "统一社会信用代码为 18 位数字和大写字母；请与原件核对。",
            )
        ]
    if any(c not in _USCC_ALPHABET for c in code):
        return [
            Remark(
                "uscc-alphabet",
                "A unified social credit code never contains I, O, S, V or Z; probably 1, 0, 5, U or 2 was meant.",
                "统一社会信用代码不使用字母 I、O、S、V、Z；可能应为 1、0、5、U 或 2。",
            )
        ]
    if uscc_check_char(code[:17]) != code[17]:
        return [
            Remark(
                "uscc-check",
                "The check character of the unified social credit code does not match; compare it with the original.",
                "统一社会信用代码校验码不符；请与原件核对。",
            )
        ]
    return []


def uscc_check_char(body: str) -> str:
    """The 18th character for 17 given ones: weights 3^(i-1) mod 31, check 31 - (Σ mod 31), 31 counting as 0.

    :raises BadIdentifier: not 17 characters of the alphabet of GB 32100
    """
    if len(body) != 17 or any(c not in _USCC_ALPHABET for c in body):
        raise BadIdentifier(
            "The first 17 characters of a unified social credit code are digits and capitals without I, O, S, V, Z.",
            "统一社会信用代码前 17 位为数字和大写字母（不含 I、O、S、V、Z）。",
        )
    total = sum(_USCC_ALPHABET.index(c) * pow(3, i, 31) for i, c in enumerate(body))
    return _USCC_ALPHABET[(31 - total % 31) % 31]


def resident_id_check(code: str) -> list[Remark]:
    """Remarks on an 18-character resident identity number (GB 11643); empty when all is well. The number is never echoed."""
    if not re.fullmatch(r"\d{17}[\dX]", code):
        return [
            Remark(
                "resident-id-form",
                "A resident identity number has 17 digits and a digit or X; compare it with the card.",
                "公民身份号码为 17 位数字加 1 位数字或 X；请与证件核对。",
            )
        ]
    remarks = []
    try:
        born = date(int(code[6:10]), int(code[10:12]), int(code[12:14]))
        plausible = date(1850, 1, 1) <= born <= date.today()
    except ValueError:
        plausible = False
    if not plausible:
        remarks.append(
            Remark(
                "resident-id-birth-date",
                "Digits 7 to 14 of the resident identity number are no possible date of birth; compare it with the card.",
                "公民身份号码第 7 至 14 位不是合理的出生日期；请与证件核对。",
            )
        )
    if "10X98765432"[sum(w * int(c) for w, c in zip(_RESIDENT_WEIGHTS, code[:17], strict=True)) % 11] != code[17]:
        remarks.append(
            Remark(
                "resident-id-check",
                "The check character of the resident identity number does not match; compare it with the card.",
                "公民身份号码校验码不符；请与证件核对。",
            )
        )
    return remarks


def check_char(text: str, *, a: int = 10) -> str:
    """Check character of ISO/IEC 7064 MOD 37,36 over digits and capital letters.

    :param a: the value of the letter A: 10 by the standard; one province's published identifiers use 11
    :raises BadIdentifier: another character
    """
    p = 36
    for c in text:
        value = _ALNUM.find(c)
        if value < 0:
            raise BadIdentifier(
                "Only digits and capital letters take part in a MOD 37,36 check.", "MOD 37,36 校验仅适用于数字和大写字母。"
            )
        p = (p + value + (a - 10 if value >= 10 else 0)) % 36 or 36
        p = 2 * p % 37
    return _ALNUM[(37 - p) % 36]


@dataclass(frozen=True)
class LicenceIdentifier:
    """An electronic licence identifier (GB/T 36904): root.type.issuer.serial.version.check.

    :ivar type_code: the defining authority's 18-character credit code and three characters; published ones vary in length
    :ivar issuer_code: the issuing authority's code, usually its credit code
    :ivar serial: digits and capital letters, 1 to 64
    :ivar version: 1 to 999
    :ivar check: the check character as written, right or wrong
    """

    type_code: str
    issuer_code: str
    serial: str
    version: int
    check: str

    def __str__(self) -> str:
        return f"{LICENCE_ROOT}.{self.type_code}.{self.issuer_code}.{self.serial}.{self.version:03d}.{self.check}"

    @property
    def _checked(self) -> str:
        return f"{self.type_code}{self.issuer_code}{self.serial}{self.version:03d}"

    @classmethod
    def build(cls, *, type_code: str, issuer_code: str, serial: str, version: int = 1) -> LicenceIdentifier:
        """A new identifier with its check character.

        :raises BadIdentifier: a part that is empty, too long or has other characters than digits and capitals
        """
        parts = ((type_code, 21), (issuer_code, 32), (serial, 64))
        if not all(re.fullmatch(rf"[0-9A-Z]{{1,{limit}}}", part) for part, limit in parts) or not 1 <= version <= 999:
            raise BadIdentifier(
                "Type code, issuer code and serial are digits and capital letters, the version 1 to 999.",
                "证照类型代码、颁发机构代码和流水号应为数字和大写字母，版本号为 1 至 999。",
            )
        bare = cls(type_code, issuer_code, serial, version, "")
        return cls(type_code, issuer_code, serial, version, check_char(bare._checked))

    @classmethod
    def parse(cls, text: str) -> LicenceIdentifier:
        """Read an identifier; a wrong check character is kept for :meth:`remarks`, a wrong form refused.

        :raises BadIdentifier: not of the form root.type.issuer.serial.version.check
        """
        pattern = (
            rf"{re.escape(LICENCE_ROOT)}\.([0-9A-Z]{{1,32}})\.([0-9A-Z]{{1,32}})\.([0-9A-Z]{{1,64}})\.(\d{{3}})\.([0-9A-Z])"
        )
        found = re.fullmatch(pattern, text.strip()) if len(text) <= 200 else None
        if not found:
            raise BadIdentifier(
                f"An electronic licence identifier reads {LICENCE_ROOT}.type.issuer.serial.version.check.",
                f"电子证照标识的格式为 {LICENCE_ROOT}.类型代码.颁发机构代码.流水号.版本号.校验位。",
            )
        kind, issuer, serial, version, check = found.groups()
        return cls(kind, issuer, serial, int(version), check)

    def remarks(self) -> list[Remark]:
        """Empty when the check character is right; one remark of its own where it is right with A = 11."""
        if check_char(self._checked) == self.check:
            return []
        if check_char(self._checked, a=11) == self.check:
            return [
                Remark(
                    "licence-identifier-check-a11",
                    "The check character was made with A = 11, a known deviation of one province; accept it with care.",
                    "证照标识校验位按 A=11 计算，属已知的地方差异；可酌情采信。",
                )
            ]
        return [
            Remark(
                "licence-identifier-check",
                "The check character of the licence identifier does not match; compare it with the licence.",
                "证照标识校验位不符；请与证照核对。",
            )
        ]
