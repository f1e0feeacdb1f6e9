"""Sentences about licences as they are presented: on paper, on a phone, as a credential. Part of :mod:`verify.reasons`."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    # What was presented
    "code-not-confirmed": (
        "No listed issuer's key confirms this: it is made up, altered, or from a region whose list is not held here.",
        "没有任何列入信任列表的密钥能确认此凭证：可能系伪造、被改动，或来自本地未导入信任列表的地区。",
    ),
    "code-altered": (
        "What is presented was altered: it names a key of {name} that did not sign it.",
        "出示内容已被改动：其自称由 {name} 的密钥签发，但签名不符。",
    ),
    "code-fake-domain": (
        "The code leads to {host}, which is none of the listed addresses of {region}. Do not open it.",
        "二维码指向 {host}，不是{region}信任列表所列的网址。请勿打开。",
    ),
    "code-other-region": (
        "It says that it is of {claimed_region}, but a key of {region} signed it.",
        "其自称属于{claimed_region}，但由{region}的密钥签发。",
    ),
    "code-without-holder": (
        "This is a copy of a licence from a phone, without that phone's signature.",
        "这是手机证照的复制件，没有该手机的签名。",
    ),
    "shown-not-held": (
        "This was not made by the phone that the licence was issued to: somebody copied the licence.",
        "此码不是由该证照所在手机生成的：证照被他人复制。",
    ),
    "shown-too-old": (
        "The code was made {age} seconds ago and counts for one minute: it may be a picture of somebody else's phone.",
        "此码生成于 {age} 秒前，有效期一分钟：可能是他人手机的截图。",
    ),
    "shown-too-early": (
        "By its own clock the phone made this code {ahead} seconds from now; nothing tells when it was really made.",
        "按手机时钟，此码将在 {ahead} 秒后才生成；无法判断其实际生成时间。",
    ),
    "shown-seen-before": (
        "This very code was checked here before. Each showing counts once: it may be a picture of it.",
        "这一二维码刚才已在本处核验过。每次出示只计一次：可能是其截图。",
    ),
    "challenge-missing": (
        "The code does not carry the digits {challenge} that the holder was asked to type.",
        "此码不含刚才请持证人输入的口令 {challenge}。",
    ),
    "challenge-wrong": (
        "The code carries other digits than {challenge}: it was made for somebody else, or typed wrongly.",
        "此码所含口令不是 {challenge}：可能为他处所生成，或输入有误。",
    ),
    "challenge-unasked": (
        "The code carries digits ({challenge}) that nobody asked for here: it may have been made for another counter.",
        "此码含有本处未要求的口令（{challenge}）：可能是为其他窗口生成的。",
    ),
    "not-bound": (
        "The holder's signature does not stand: {detail}",
        "持有人签名不成立：{detail_zh}",
    ),
    # Who vouches for it
    "issuer-unknown": ("Who made this could not be confirmed.", "无法确认由谁签发。"),
    "issuer-withdrawn": (
        "The issuer {name} had been withdrawn from the trust list when this was made.",
        "签发时，颁发机构 {name} 已被移出信任列表。",
    ),
    "issuer-list-stale": (
        "The trust list of {region} that is held here is past its date ({next_update}).",
        "本地所存{region}的信任列表已过更新期限（{next_update}）。",
    ),
    # The licence and the copy, today
    "status-withdrawn": (
        "It counts no more: the licence or this copy of it was withdrawn (issuer's list of {as_of}).",
        "已失效：证照或该副本已被撤回：依据签发地区于 {as_of} 签发的状态列表。",
    ),
    "status-suspended": (
        "It is suspended at present (issuer's list of {as_of}).",
        "目前处于暂停状态：依据签发地区于 {as_of} 签发的状态列表。",
    ),
    "status-superseded": (
        "The licence was changed since: this is the old one (issuer's list of {as_of}).",
        "证照已变更，此为旧版：依据签发地区于 {as_of} 签发的状态列表。",
    ),
    "status-unknown": (
        "Whether it is in force today could not be found out here; ask the issuer.",
        "无法在此查明今天是否有效；请向颁发机构核实。",
    ),
    "copy-expired": (
        "The copy on the phone ran out on {expires}.",
        "手机上的证照副本已于 {expires} 到期。",
    ),
    "copy-not-yet": ("It counts from {starts} only.", "自 {starts} 起方可使用。"),
    # The matter
    "bearer-outside-matters": (
        "The bearer may use this licence only for: {matters}.",
        "出示人仅获授权用于：{matters_zh}。",
    ),
    "bearer-matters-open": (
        "The bearer may use this licence only for: {matters}. Choose the matter to have it checked.",
        "出示人仅获授权用于：{matters_zh}。请选择事项以便核对。",
    ),
    "purpose-expired": (
        "This copy was made for “{purpose}” until {until} and counts no more.",
        "此加注件用于“{purpose}”，有效期至 {until}，现已失效。",
    ),
    "purpose-other-matter": (
        "This copy was made for “{matter}”, not for the matter at hand.",
        "此加注件系为“{matter_zh}”制作，不是当前办理的事项。",
    ),
}
"""Code → English and Chinese."""

STEPS: dict[str, tuple[str, str]] = {
    "code-altered": (
        "Do not accept it. Keep what was presented, and report it to your supervisor and to the issuing authority.",
        "不予采信。请留存所出示内容，并报告主管和颁发机构。",
    ),
    "code-fake-domain": (
        "Do not accept it and do not open the address. Keep a picture of it and report it to your supervisor.",
        "不予采信，也不要打开该网址。请拍照留存并报告主管。",
    ),
    "code-without-holder": (
        "Do not accept it. Ask to see the licence on the holder's own phone.",
        "不予采信。请持证人用本人手机出示。",
    ),
    "shown-not-held": (
        "Do not accept it. Ask to see the licence on the holder's own phone, and report it to your supervisor.",
        "不予采信。请持证人用本人手机出示，并报告主管。",
    ),
    "shown-too-old": (
        "Have it shown on the phone itself, where the code changes every minute. If it stays old, set the phone's clock right.",
        "请对方在手机上当面出示：二维码每分钟更新。如仍提示过时，请校准手机时间。",
    ),
    "shown-too-early": (
        "Have the phone's clock set right (automatic time), then have the code shown again.",
        "请校准手机时间（设为自动），然后重新出示。",
    ),
    "shown-seen-before": (
        "Wait for the next code on the phone, or ask the holder to type digits that you name, then scan again.",
        "请等手机显示下一个二维码，或报一组口令请对方输入，然后重新扫描。",
    ),
    "challenge-missing": ("Have the holder type the digits, then scan again.", "请持证人输入口令后重新扫描。"),
    "challenge-wrong": (
        "Have the holder type the digits anew on the phone in front of you, then scan again.",
        "请持证人当面重新输入口令，然后重新扫描。",
    ),
    "challenge-unasked": (
        "Name four digits of your own, have them typed on the phone in front of you, then scan again.",
        "请另报四位口令，由对方当面在手机上输入，然后重新扫描。",
    ),
    "not-bound": ("Ask the holder to present the licence again.", "请持有人重新出示。"),
    "issuer-list-stale": (
        "Let the trust lists be fetched again when connected; until then have the issuing authority confirm it.",
        "请在联网后更新信任列表；在此之前请向颁发机构核实。",
    ),
    "status-superseded": (
        "Do not accept it. Ask for the current licence; on a phone it is downloaded anew.",
        "不予采信。请出示变更后的证照；手机上可重新下载。",
    ),
    "copy-expired": (
        "Have the holder open the licence on the phone once with network, which renews it, and show it again.",
        "请持证人在联网状态下打开手机证照完成更新，然后重新出示。",
    ),
    "licence-status-stale": (
        "Verify again when connected, or have the issuing authority confirm the licence.",
        "请在联网后重新核验，或向颁发机构核实该证照。",
    ),
    "bearer-outside-matters": (
        "Do not accept it for this matter. The holder can authorise the bearer for it, or come in person.",
        "本事项不予采信。可由持证人另行授权，或由其本人办理。",
    ),
    "bearer-matters-open": ("Choose the matter at hand, then check again.", "请选择当前办理的事项后重新核验。"),
    "purpose-expired": (
        "Do not accept it. Ask for a new copy for this purpose, or for the licence itself.",
        "不予采信。请重新制作加注件，或出示证照本身。",
    ),
    "purpose-in-words": (
        "Read the purpose below: it must fit the matter at hand. If it does not, ask for a copy made for it.",
        "请阅读下列用途，应与当前事项一致；如不一致，请提供为本事项制作的加注件。",
    ),
    "purpose-without-end": (
        "Ask for a copy that says until when it counts, or for the licence itself.",
        "请提供载明有效期的加注件，或出示证照本身。",
    ),
    "purpose-other-matter": (
        "Ask for a copy made for this matter, or for the licence itself.",
        "请提供为本事项制作的加注件，或出示证照本身。",
    ),
    "status-withdrawn": (
        "Do not accept it. Tell the bearer to turn to the licence holder or to the authority that issued it.",
        "不予采信。请告知出示人向持证主体或证照颁发机构咨询。",
    ),
}
"""What a clerk does about a finding, where the usual words would not do."""
