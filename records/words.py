"""What a trace says, in English and Chinese: its answer, and each check as it came out."""

from __future__ import annotations

SENTENCES = {
    "sealed": ("These uses of seals are on record.", "已在记录中查到以下用印。"),
    "original": (
        "This file itself is not sealed; it is the original that was sealed as follows.",
        "该文件本身未盖章，是以下用印的原件。",
    ),
    "unknown": (
        "Nothing on record has these bytes: it was not sealed here, or was changed since. Verify it to see which.",
        "记录中没有与之逐字节一致的文件：不是在本节点盖的章，或盖章后被改动；请核验该文件。",
    ),
    "unsealed": ("It is on record, and no seal was used for it (yet).", "记录中有该对象，但（尚）未为其用印。"),
    "doubtful": (
        "It is on record, and something does not agree: see the marked lines, change nothing, and check the whole log.",
        "已查到记录，但存在不一致之处：请看标出的各项，保持现状，并核验整个日志。",
    ),
}

CHECKS: dict[str, dict[bool, tuple[str, str]]] = {
    "on-record": {
        True: (
            "The use is in the signed audit log; the proof can be checked offline.",
            "该次用印在已签名的审计日志中，证明可离线核验。",
        ),
        False: ("The audit log does not prove this use.", "审计日志无法证明该次用印。"),
    },
    "on-record-soon": {
        True: (
            "The use is on record and will be under a signed checkpoint in a moment.",
            "该次用印已记录，即将纳入签名检查点。",
        ),
    },
    "rows": {True: ("The registers say what the log says.", "各登记簿与审计日志一致。")},
    "document-kept": {
        True: ("The sealed document is kept, unchanged.", "已盖章文件存档完好。"),
        False: ("The kept copy of the sealed document is missing or damaged.", "已盖章文件的存档缺失或损坏。"),
    },
    "same-file": {True: ("The file is the sealed document, byte for byte.", "该文件与已盖章文件逐字节一致。")},
    "same-original": {True: ("The file is the original, before it was sealed.", "该文件是盖章前的原件。")},
    "same-signed-part": {
        True: ("What the signature covers is unchanged; something was added behind it.", "签名覆盖的内容未变，其后有追加内容。")
    },
    "signed-off": {
        True: ("Somebody else than its handler signed the application off beforehand.", "申请在用印前已由经办人以外的人签发。"),
        False: (
            "The log does not show that somebody else than its handler signed the application off beforehand.",
            "日志未显示申请在用印前已由经办人以外的人签发。",
        ),
    },
    "key-used": {
        True: ("The key's use was written down before it signed.", "密钥使用在签名前已登记。"),
        False: ("There is no record of the key being used for it.", "没有该次密钥使用的登记。"),
    },
    "key-in-force": {
        True: ("The key was in force at that time.", "当时密钥处于启用状态。"),
        False: ("The key was not in force at that time.", "当时密钥不处于启用状态。"),
    },
    "certificate": {
        True: ("The certificate was valid at that time and is for this key.", "当时证书在有效期内，且属于该密钥。"),
        False: (
            "The certificate is missing, was not valid at that time, or is for another key.",
            "证书缺失、当时不在有效期内，或不属于该密钥。",
        ),
    },
}
