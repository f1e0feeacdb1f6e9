"""How a copy stands, in a word that programs know and a sentence for whoever holds the phone."""

from __future__ import annotations

from dataclasses import dataclass

from verify.schemas import LicenceStatus

SENTENCES: dict[str, tuple[str, str, str]] = {
    "in-force": ("有效", "可以出示。", "Valid: it can be shown."),
    "not-yet-valid": (
        "未生效",
        "证照尚未生效，到起始日期后方可使用。",
        "The licence is not valid yet; it can be used from its first day on.",
    ),
    "due": (
        "待更新",
        "副本已到更新时间；请在有网络时打开本页更新，无需重新办理。",
        "The copy has to be renewed: open this page while there is a network, nothing else is needed.",
    ),
    "changed": (
        "证照已变更",
        "证照已变更，此副本失效；请下载新版（须先由法定代表人下载）。",
        "The licence was changed and this copy is void; download the new version (the legal representative first).",
    ),
    "suspended": (
        "已暂扣",
        "证照处于暂扣期间，暂不可使用；发还后自动恢复。",
        "The licence is suspended and cannot be used for now; it comes back when the authority gives it back.",
    ),
    "ended": (
        "已终止",
        "证照已终止，此副本失效；如有疑问请联系颁发机构。",
        "The licence has ended and this copy is void; ask the issuing authority.",
    ),
    "expired": (
        "已过期",
        "证照有效期已满；请向颁发机构申请延续。",
        "The licence has expired; apply to the issuing authority for a new term.",
    ),
    "unauthorised": (
        "授权已撤回",
        "授权已被撤回，此副本失效；如仍需使用，请授权人重新授权。",
        "The authorisation was withdrawn and this copy is void; if you still need it, ask to be authorised again.",
    ),
    "lapsed": (
        "授权已到期",
        "授权期限已满，此副本失效；如仍需使用，请授权人重新授权。",
        "The authorisation has run out and this copy is void; if you still need it, ask to be authorised again.",
    ),
    "lost": (
        "已挂失",
        "此手机已挂失，副本失效；请在新手机上重新下载，或在原手机上重新设置后下载。",
        "The phone was reported lost and this copy is void; download it again on a new phone, or set this one up anew.",
    ),
    "removed": ("已移除", "此副本已移除；需要时可重新下载。", "This copy was removed; download it again when you need it."),
}
"""By state: 状态, the sentence in Chinese, and in English."""

_ENDED = {"removed": "removed", "lost": "lost", "withdrawn": "unauthorised", "superseded": "changed"}
_OF_LICENCE = {
    "suspended": "suspended",
    "withdrawn": "ended",
    "superseded": "changed",
    "expired": "expired",
    "not-yet-valid": "not-yet-valid",
}


@dataclass(frozen=True)
class CopyState:
    """``code`` is a key of :data:`SENTENCES`; ``name_zh`` is the licence's own word for its end (吊销) where it has one."""

    code: str
    name_zh: str
    sentence_zh: str
    sentence: str

    @property
    def usable(self) -> bool:
        """Whether it can be shown, or will be once it is renewed."""
        return self.code in ("in-force", "due", "not-yet-valid")


def of(status: str, licence: LicenceStatus | None, *, due: bool, lapsed: bool = False) -> CopyState:
    """How a copy stands.

    :param status: of its row: active, or how it ended
    :param licence: how its licence stands now
    :param due: its credential has run out and may be made anew
    :param lapsed: the authorisation that it rests on has run out
    """
    if status != "active":
        code = _ENDED[status]
    else:
        code = _OF_LICENCE.get(licence.status if licence else "withdrawn", "lapsed" if lapsed else "due" if due else "in-force")
    name_zh, sentence_zh, sentence = SENTENCES[code]
    if code == "ended" and licence is not None:
        name_zh = f"已{licence.state_zh}"
        sentence_zh = f"证照已{licence.state_zh}，此副本失效；如有疑问请联系颁发机构。"
    return CopyState(code, name_zh, sentence_zh, sentence)
