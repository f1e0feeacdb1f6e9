"""Reason codes with their sentences in English and Chinese.

Codes in capitals are the sub-indications of ETSI EN 319 102-1 §5.1.3; the others are ours and name one finding each. A
sentence says what was found; where somebody can act on it, it says how.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from formats.regions import region_name
from verify.presented_reasons import SENTENCES as _PRESENTED

_SENTENCES: dict[str, tuple[str, str]] = {
    # Whole documents
    "no-signature": (
        "This document carries no electronic seal or signature.",
        "本文件没有电子印章或电子签名。",
    ),
    "signature-empty": (
        "Field “{field}” is a signature in name only: its content is empty.",
        "签名域“{field}”徒有其名：签名内容为空。",
    ),
    "signature-removed": (
        "An earlier revision of this file carried the signature “{field}”, which was taken out later. Ask for the original.",
        "本文件的较早版本带有签名“{field}”，其后被移除。请索要原件。",
    ),
    "signature-remains": (
        "The file holds the remains of a signature that can no longer be read. Ask for the original.",
        "文件中残留着已无法读取的签名。请索要原件。",
    ),
    "licence-without-seal": (
        "The file calls itself an electronic licence but carries no valid seal. Ask for the original file.",
        "本文件自称电子证照，但没有印章。请索要原文件。",
    ),
    "empty": ("The file is empty.", "文件为空。"),
    "not-a-document": (
        "This is not a PDF or another kind of document that can be verified ({kind}).",
        "这不是 PDF，也不是可验证的其他文件（{kind}）。",
    ),
    "picture": (
        "This is a picture ({kind}). A picture of a sealed document proves nothing: ask for the original electronic file.",
        "这是一张图片（{kind}）。盖章文件的图片不能证明真伪：请索要原始电子文件。",
    ),
    "picture-other-code": (
        "The code in this picture is not that of an electronic licence. Do not follow it: ask for the licence itself.",
        "图片中的二维码不是电子证照二维码。请勿扫码进入，请对方出示证照原件。",
    ),
    "picture-several-codes": (
        "The picture shows {count} licence codes; this is the least favourable result. Photograph one licence at a time.",
        "图片中有 {count} 个证照二维码，此为其中最不利的结果。请逐一拍摄核验。",
    ),
    "picture-too-large": (
        "The picture has more than {limit} million pixels, too many to be looked at; take it again with fewer.",
        "图片超过 {limit} 百万像素，超出可读取的上限；请以较低分辨率重新拍摄。",
    ),
    "picture-damaged": (
        "The picture cannot be opened, it is damaged; take it again.",
        "图片已损坏，无法打开；请重新拍摄。",
    ),
    "picture-heic": (
        "This is a HEIC picture, which is not read here; send a screenshot of it, or let the telephone save pictures as JPEG.",
        "这是 HEIC 格式图片，此处无法读取；请提交其截图，或将手机相机设置为保存 JPEG（“兼容性最佳”）。",
    ),
    "ofd-not-supported-yet": (
        "This is an OFD document. Seals on OFD cannot be verified here yet; use a PDF of it or the issuer's service.",
        "这是 OFD 文件。本服务暂不能验证 OFD 上的印章；请使用同一文件的 PDF 版本，或到签发机构的服务中验证。",
    ),
    "archive": (
        "This is a compressed archive. Unpack it and verify the documents inside one by one.",
        "这是压缩包。请解压后逐个验证其中的文件。",
    ),
    "password-needed": (
        "The document is protected by a password. Remove the protection or ask the sender for an open copy.",
        "文件受密码保护。请解除保护，或向发送方索要未加密的文件。",
    ),
    "damaged": (
        "The document is damaged beyond reading. Fetch it again from its source.",
        "文件已损坏，无法读取。请从来源重新获取。",
    ),
    "too-large": (
        "The file is larger than this service reads ({size} bytes, at most {limit}).",
        "文件超过本服务可读取的大小（{size} 字节，上限 {limit}）。",
    ),
    "too-complex": (
        "The document needs more time or memory than a verification may take. It was stopped; treat the file with care.",
        "验证该文件所需的时间或内存超出限制，已停止处理；请谨慎对待该文件。",
    ),
    "parser-crashed": (
        "The program that reads documents ended abnormally on this file. Treat the file with care and report it.",
        "读取文件的程序在处理本文件时异常终止。请谨慎对待该文件并上报。",
    ),
    "internal-error": (
        "The verifier met something it does not know how to judge ({kind}); please report this file.",
        "验证程序遇到无法判断的内容（{kind}）；请上报本文件。",
    ),
    "xref-repaired": (
        "The file's table of contents is damaged and was rebuilt; other programs may show something else.",
        "文件的交叉引用表已损坏并经重建；其他软件显示的内容可能不同。",
    ),
    "objects-damaged": (
        "Parts of the file's signature structures are damaged and could not be read. Ask for the original.",
        "文件签名结构的部分内容已损坏，无法读取。请索要原件。",
    ),
    "junk-before-header": (
        "There is foreign data before the start of the PDF; other programs may show something else.",
        "PDF 起始处之前有其他数据；其他软件显示的内容可能不同。",
    ),
    # Structure of a signature
    "FORMAT_FAILURE": ("The signature does not have the required form.", "签名格式不符合要求。"),
    "byte-range": (
        "The signed range of “{field}” is not the whole document around its own signature value ({detail}).",
        "签名“{field}”的签名范围不是其签名值以外的全部内容（{detail}）。",
    ),
    "contents-mismatch": (
        "The hole in the signed range does not hold this signature's own value; the signature was transplanted.",
        "签名范围的空洞中不是该签名自身的签名值；该签名系移植而来。",
    ),
    "contents-padding": (
        "Data is hidden behind the signature value, in a place that no signature protects.",
        "签名值之后的填充区（不受签名保护）中藏有数据。",
    ),
    "revision-incomplete": (
        "The signed bytes do not end with a complete document.",
        "签名覆盖的内容不是一份完整的文件。",
    ),
    "cms-unreadable": ("The signature value cannot be read ({detail}).", "签名值无法读取（{detail}）。"),
    "signer-infos": (
        "The signature holds {count} signers' data where exactly one is allowed.",
        "签名中包含 {count} 个签名者信息，而只允许一个。",
    ),
    "sub-filter": (
        "The signature's declared kind ({subfilter}) is unknown or does not fit.",
        "签名声明的类型（{subfilter}）未知或不符。",
    ),
    "encapsulated-content": (
        "The signature brings content of its own instead of signing the document.",
        "签名自带内容，而不是对文件签名。",
    ),
    "certificate-missing": (
        "The signer's certificate is not in the signature, so nobody can tell whose it is.",
        "签名中没有签名者证书，无法得知签名者身份。",
    ),
    "signing-certificate-attribute": (
        "The signature is not tied to its certificate by a signing-certificate attribute.",
        "签名未通过签名证书属性与其证书绑定。",
    ),
    "signing-certificate-mismatch": (
        "The certificate is not the one the signer vouched for.",
        "证书与签名者声明的签名证书不一致。",
    ),
    "content-type-attribute": (
        "The content-type attribute is missing or contradicts the content.",
        "内容类型属性缺失或与内容不符。",
    ),
    "signed-attributes-missing": (
        "The signature has no signed attributes; nothing beyond the document's digest is protected.",
        "签名没有签名属性；除文件摘要外没有其他内容受到保护。",
    ),
    "HASH_FAILURE": (
        "The document was changed after it was signed: its digest is not the signed one. Ask for the original.",
        "文件在签署后被改动：摘要与签名不符。不予采信，请索要原件。",
    ),
    "SIG_CRYPTO_FAILURE": (
        "The signature value is not the certificate holder's over this document: forged or altered.",
        "签名值不是证书持有者对本文件的签名：系伪造或被篡改。",
    ),
    "algorithm-mismatch": (
        "The signature's algorithms contradict one another ({detail}).",
        "签名中的算法相互矛盾（{detail}）。",
    ),
    "algorithm-weak": (
        "The signature uses an algorithm that is no longer safe ({detail}).",
        "签名使用了已不安全的算法（{detail}）。",
    ),
    "algorithm-unknown": (
        "The signature uses an algorithm that this verifier does not know ({detail}).",
        "签名使用了本验证程序不支持的算法（{detail}）。",
    ),
    # Changes after signing
    "changes-undefined": (
        "After signing, the document was changed in a way that no signature may allow ({detail}). Ask for the original.",
        "签署后文件发生了不允许的改动（{detail}）。请索要原件。",
    ),
    "changes-annotation": (
        "Notes or stamps were added or changed after signing ({detail}); they are not part of what was signed.",
        "签署后添加或改动了批注（{detail}）；批注不属于所签内容。",
    ),
    "changes-form": (
        "Form fields were filled in or changed after signing ({detail}); compare them with the issuer's record.",
        "签署后填写或改动了表单域（{detail}）；请与签发机构的记录核对。",
    ),
    "changes-certified": (
        "The document was certified against this kind of change ({detail}).",
        "文件认证时已禁止此类改动（{detail}）。",
    ),
    "page-count": (
        "The number of pages differs: {signed} were signed, {current} are there now.",
        "页数不同：签署时 {signed} 页，现有 {current} 页。",
    ),
    "rendered-difference": (
        "Page {page} looks different from what was signed, outside of later seals. Ask for the original.",
        "第 {page} 页的显示内容与签署时不同（后加印章以外）。请索要原件。",
    ),
    "rendering-failed": (
        "The signed and the current version could not be compared as pictures.",
        "无法以图像方式比较签署版本与当前版本。",
    ),
    "overlap": (
        "A later field lies over the seal “{field}”.",
        "后来添加的域覆盖了印章“{field}”。",
    ),
    "dss-removed": (
        "Evidence for long-term verification that an earlier revision held was taken out.",
        "较早版本中的长期验证证据已被移除。",
    ),
    "ambiguous-objects": (
        "An object of the file says one thing twice; other programs may show something else. Ask for the original.",
        "文件中有对象的同一内容写了两遍；其他软件显示的内容可能不同。请索要原件。",
    ),
    "trailing-data": (
        "{size} bytes behind the signed document show nothing here, but other programs may read them. Ask for the original.",
        "签署内容之后另有 {size} 字节，在此不显示任何内容，但其他软件可能读取。请索要原件。",
    ),
    "covered": (
        "A signature added later paints over a large part of page {page}; compare what lies under it with the original.",
        "后来添加的签名图像遮盖了第 {page} 页的大片区域；请与原件核对被遮盖的内容。",
    ),
    "trailing-bytes": (
        "Some blank bytes follow the signed document; they change nothing.",
        "签署内容之后有少量空白字节，不影响内容。",
    ),
    # Certificates
    "NO_CERTIFICATE_CHAIN_FOUND": (
        "The signer's certificate does not lead to a listed authority: “{issuer}” is on no trust list in use.",
        "签名者证书无法追溯到受信任的机构：“{issuer}”不在所用的信任列表中。",
    ),
    "foreign-signer": (
        "Signed by “{subject}” with a certificate of “{issuer}”, whom no trust list in use names. "
        "If the region is recognised, import its list.",
        "签名者“{subject}”的证书由“{issuer}”签发，所用信任列表均未收录。如属互认地区，请导入其信任列表。",
    ),
    "self-made-certificate": (
        "The signer's certificate is self-made: anyone could have written this name into it.",
        "签名者证书为自行制作：任何人都可以写入该名称。",
    ),
    "CHAIN_CONSTRAINTS_FAILURE": (
        "The certificate chain breaks a rule of its own certificates ({detail}).",
        "证书链违反了证书自身的约束（{detail}）。",
    ),
    "SIG_CONSTRAINTS_FAILURE": (
        "The certificate may not be used for this purpose ({detail}).",
        "证书不得用于此用途（{detail}）。",
    ),
    "service-withdrawn": (
        "The authority “{name}” was withdrawn from its trust list on {since}, before this signature is proven to exist.",
        "机构“{name}”已于 {since} 从信任列表中撤下，而该签名未能证明早于此时。",
    ),
    "service-type": (
        "The authority “{name}” is listed, but not for certificates of seals and signers.",
        "机构“{name}”虽在列表中，但未被列为印章或签名证书的签发机构。",
    ),
    "OUT_OF_BOUNDS_NO_POE": (
        "The certificate was valid from {not_before} to {not_after}, and nothing proves that the signature is that old.",
        "证书有效期为 {not_before} 至 {not_after}，没有证据证明签名在此期间作出。",
    ),
    "certificate-expired": (
        "The signer's certificate expired on {not_after} and no trusted timestamp shows that it signed before. "
        "Ask for a copy with a timestamp, or have the issuer confirm.",
        "签名者证书已于 {not_after} 过期，且没有可信时间戳证明签名在此之前作出。请索要带时间戳的文件，或请签发机构确认。",
    ),
    "EXPIRED": (
        "The signature was made after its certificate had expired on {not_after}.",
        "签名作出时证书已于 {not_after} 过期。",
    ),
    "NOT_YET_VALID": (
        "The signature existed on {time}, before its certificate began to be valid on {not_before}.",
        "签名在 {time} 即已存在，早于证书生效时间 {not_before}。",
    ),
    "REVOKED": (
        "The signature was made after its certificate had been revoked on {since}.",
        "签名作出时证书已于 {since} 被吊销。",
    ),
    "REVOKED_NO_POE": (
        "The signer's certificate was revoked on {since} ({cause}), and nothing proves that the signature is older.",
        "签名者证书已于 {since} 被吊销（{cause}），没有证据证明签名早于此时。",
    ),
    "REVOKED_CA_NO_POE": (
        "The certificate of the authority “{name}” was revoked on {since}.",
        "机构“{name}”的证书已于 {since} 被吊销。",
    ),
    "revoked-later": (
        "The certificate was revoked on {since}, after this signature is proven to have existed: the signature stands.",
        "证书于 {since} 被吊销，而签名已证明在此之前存在：签名仍然有效。",
    ),
    "expired-later": (
        "The certificate has since expired; a trusted timestamp shows that the signature is older.",
        "证书此后已过期；可信时间戳证明签名早于过期时间。",
    ),
    "on-hold-later": (
        "The certificate is on hold since {since}, after this signature is proven to have existed: the signature stands.",
        "证书自 {since} 起暂停，而签名已证明在此之前存在：签名仍然有效。",
    ),
    "on-hold": (
        "The certificate is on hold: the seal or its key is suspended since {since}.",
        "证书被暂停：该印章或其密钥自 {since} 起停用。",
    ),
    "TRY_LATER": (
        "A needed answer is missing at the moment; try again when the source can be reached.",
        "目前缺少必要的查询结果；请在来源可访问时重试。",
    ),
    "revocation-missing": (
        "Nothing says whether the certificate of “{name}” is revoked. Verify online, or ask for a copy with evidence (LT).",
        "没有“{name}”证书的吊销信息。请联网验证，或索要内嵌验证证据（LT）的文件。",
    ),
    "list-stale": (
        "The trust list of {region} should have been renewed by {next_update}. Refresh it, then verify again.",
        "{region}的信任列表应于 {next_update} 前更新。请刷新列表后重新验证。",
    ),
    "CRYPTO_CONSTRAINTS_FAILURE_NO_POE": (
        "The signature's algorithms are too weak to be relied on.",
        "签名所用算法强度不足，不可依赖。",
    ),
    # Time
    "backdated": (
        "The signer claims {claimed}, but the signature is first proven on {proven}: the claimed time counts for nothing.",
        "签名者声称签署于 {claimed}，而签名最早可证明的时间为 {proven}：声称的时间不予采信。",
    ),
    "claimed-outside-certificate": (
        "The claimed signing time {claimed} lies outside the certificate's validity: the signature looks back-dated.",
        "声称的签署时间 {claimed} 不在证书有效期内：签名疑似倒签。",
    ),
    "claimed-not-proven": (
        "The claimed time {claimed} lies before the revocation, but a claim is no proof: it may be back-dated.",
        "声称的签署时间 {claimed} 早于吊销时间，但声称不是证据：可能系倒签。",
    ),
    "TIMESTAMP_ORDER_FAILURE": (
        "The timestamps contradict one another in their order.",
        "时间戳的先后次序相互矛盾。",
    ),
    "not-yet-sealed": (
        "At the time asked about ({at}) this had not been sealed yet; ask about a later time.",
        "在所询问的时间（{at}）尚未盖章；请询问之后的时间。",
    ),
    "timestamp-invalid": (
        "The timestamp of “{name}” does not fit what it is attached to and proves nothing.",
        "“{name}”的时间戳与其所附内容不符，不能作为证据。",
    ),
    "timestamp-untrusted": (
        "The timestamp of “{name}” comes from an authority that no trust list names; it proves nothing here.",
        "“{name}”的时间戳来自信任列表未收录的机构，在此不能作为证据。",
    ),
    "SIGNED_DATA_NOT_FOUND": ("What was signed is not there.", "找不到被签名的内容。"),
    "key-compromised": (
        "The key behind this seal was reported stolen or exposed; nothing proves that this signature is older.",
        "该印章的密钥已被报告泄露，且没有证据证明本签名在此之前作出。",
    ),
    "timestamp-only": (
        "The document carries a timestamp but no seal or signature of anybody.",
        "本文件只有时间戳，没有任何印章或签名。",
    ),
    "claimed-in-future": (
        "The claimed signing time {claimed} lies in the future.",
        "声称的签署时间 {claimed} 在未来。",
    ),
    "seal-revoked-later": (
        "The seal “{name}” was revoked on {since}, after this document is proven to have been sealed: the seal stands.",
        "印章“{name}”于 {since} 注销，而本文件已证明在此之前盖章：盖章仍然有效。",
    ),
    "NO_SIGNING_CERTIFICATE_FOUND": (
        "The signer's certificate cannot be determined.",
        "无法确定签名者证书。",
    ),
    "trust-empty": (
        "No trust list or anchor is in use, so nobody's seal can be recognised. Import a list, or give one with --trust.",
        "未使用任何信任列表或信任锚，无法认可任何印章。请导入信任列表，或用 --trust 指定。",
    ),
    "certificate-revoked": (
        "The seal's certificate was revoked on {since}. Unless the issuer confirms this document, do not rely on it.",
        "印章证书已于 {since} 被吊销。除非签发机构确认本文件，否则不应采信。",
    ),
    # Status
    "seal-revoked": (
        "The seal “{name}” was revoked on {since}, and nothing proves that this document was sealed before.",
        "印章“{name}”已于 {since} 注销，没有证据证明本文件在此之前盖章。",
    ),
    "seal-suspended": (
        "The seal “{name}” is suspended since {since}.",
        "印章“{name}”自 {since} 起停用。",
    ),
    "seal-expired": ("The seal “{name}” had expired on {since}.", "印章“{name}”已于 {since} 到期。"),
    "seal-not-in-force": (
        "The seal “{name}” was not in force when this document was sealed ({state}).",
        "盖章时印章“{name}”并未启用（{state}）。",
    ),
    "seal-unknown": (
        "The seal {id} is not in the register that was asked.",
        "所查询的登记库中没有印章 {id}。",
    ),
    "seal-not-its-own": (
        "The certificate claims the seal {id} ({name}), but neither its key nor its issuer is that seal's. Do not rely on it.",
        "证书自称属于印章 {id}（{name}），但其密钥或颁发机构与该印章不符。请勿采信。",
    ),
    "licence-not-the-document": (
        "This file calls itself the licence {id}, but it is not the document issued as such. Ask for the original file.",
        "本文件自称证照 {id}，但并非当时签发的文件。请索要原始电子文件。",
    ),
    "impression-voided": (
        "This sealed document was declared void by its issuer on {since}.",
        "签发机构已于 {since} 宣布本盖章文件作废。",
    ),
    "impression-replaced": (
        "This sealed document was replaced by another one on {since}; ask for the new one.",
        "本盖章文件已于 {since} 被新文件替代；请索要新文件。",
    ),
    "licence-withdrawn": (
        "The licence {id} was withdrawn ({state}) with effect from {since}.",
        "证照 {id} 已{state}，自 {since} 起失效。",
    ),
    "licence-suspended": ("The licence {id} is suspended since {since}.", "证照 {id} 自 {since} 起暂扣。"),
    "licence-expired": ("The licence {id} expired on {since}.", "证照 {id} 已于 {since} 到期。"),
    "licence-superseded": (
        "The licence {id} was replaced by a newer version on {since}; ask for the new one.",
        "证照 {id} 已于 {since} 变更换发；请索要新版证照。",
    ),
    "purpose-without-end": (
        "This copy for “{purpose}” does not say until when it may be used; have its maker confirm it.",
        "本件是仅供“{purpose}”使用的加注件，但未载明有效期；请向制作机构核实。",
    ),
    "purpose-in-words": (
        "This copy was made for “{purpose}”; see whether that is the matter at hand.",
        "本件是仅供“{purpose}”使用的加注件；请核对是否与当前办理的事项相符。",
    ),
    "licence-unknown": (
        "Nothing is known of the licence {id}; ask the authority that issued it.",
        "未查到证照 {id}；请向签发机构核实。",
    ),
    "licence-listed-withdrawn": (
        "The licence {id} has been withdrawn: so says the status list of {region} of {as_of}.",
        "证照 {id} 已被撤销、撤回、吊销或注销：依据{region}于 {as_of} 签发的状态列表。",
    ),
    "licence-listed-suspended": (
        "The licence {id} is suspended: so says the status list of {region} of {as_of}.",
        "证照 {id} 已暂扣：依据{region}于 {as_of} 签发的状态列表。",
    ),
    "licence-listed-superseded": (
        "The licence {id} was replaced by a newer version; ask for the new one. So says the status list of {region} of "
        "{as_of}.",
        "证照 {id} 已变更换发，请索要新版证照：依据{region}于 {as_of} 签发的状态列表。",
    ),
    "licence-status-stale": (
        "The licence {id} was in force when {region} was last heard of ({as_of}), {age} ago; that is too long ago. "
        "Try again when its service can be reached, or ask the issuer.",
        "截至最近一次取得{region}的状态列表（{as_of}，{age_zh}前），证照 {id} 有效；时间过久，不足以采信。"
        "请待其服务恢复后再试，或向颁发机构核实。",
    ),
    "licence-not-its-issuer": (
        "The seal on this licence is not that of {issuer}, which it names as its issuer.",
        "证照上的印章不属于其所载颁发机构“{issuer}”。",
    ),
    "licence-metadata-unreadable": (
        "The licence data inside the file cannot be read.",
        "文件中的证照元数据无法读取。",
    ),
    "licence-type-contradiction": (
        "The file calls itself a licence of type {claimed}, but its identifier is one of type {type}.",
        "文件所写证照类型代码 {claimed} 与其证照标识中的类型代码 {type} 不一致。",
    ),
    "matter-not-recognised": (
        "A document of this kind from {region} is not recognised for the matter “{matter}” here: {words}",
        "办理“{matter_zh}”，本地不互认{region}的此类文件：{words_zh}",
    ),
}

_SENTENCES |= _PRESENTED


@dataclass(frozen=True)
class Reason:
    """One finding: code and the filled-in sentences. ``level`` is the policy's word on it and stays inside."""

    code: str
    message: str
    message_zh: str
    level: str = "FAIL"

    def to_dict(self) -> dict[str, str]:
        """``{"code", "message", "message_zh"}`` of the verdict JSON."""
        return {"code": self.code, "message": self.message, "message_zh": self.message_zh}


def reason(code: str, level: str = "FAIL", **values: Any) -> Reason:
    """The reason of this code with ``values`` put into its sentences (control characters removed, 200 characters each).

    A region's code becomes its name.
    """
    sentence, sentence_zh = _SENTENCES[code]
    said = {key: _said(key, _clean(value)) for key, value in values.items()}
    return Reason(
        code,
        sentence.format(**{key: english for key, (english, _) in said.items()}),
        sentence_zh.format(**{key: chinese for key, (_, chinese) in said.items()}),
        level,
    )


def codes() -> frozenset[str]:
    """Every code there is."""
    return frozenset(_SENTENCES)


def _said(key: str, value: str) -> tuple[str, str]:
    """A value as the English and the Chinese sentence say it."""
    return region_name(value) if key.endswith("region") else (value, value)


def _clean(value: Any) -> str:
    """Text from a hostile file, fit to be put into a sentence."""
    return "".join(c if c.isprintable() else " " for c in str(value)[:200])
