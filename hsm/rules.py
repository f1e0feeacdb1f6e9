"""Which key may be used for what, in which state. Checked in the signer, the last place before the token."""

from __future__ import annotations

from asn1crypto import core, crl, csr, ocsp, x509

from hsm.errors import KeyStateForbids, PurposeForbids
from hsm.schemas import KeyPurpose, KeyState

PROBE_PREFIX = b"Xinyin probe: "
"""Every probe begins so; nothing that a format signs does (DER begins with a tag, JSON with a brace)."""

_P = KeyPurpose
ATTEMPT_PURPOSES = frozenset({_P.seal_holder, _P.licence_issuer, _P.credential_issuer, _P.drill})
"""Keys that seal or issue (or practise that): used under a numbered attempt of an intent only."""

MESSAGES_PER_ATTEMPT = {_P.seal_holder: 1, _P.licence_issuer: 16, _P.credential_issuer: 16, _P.drill: 1}
"""How many different messages one attempt may have signed by one key; the same message again is a retry."""

_EVERY = frozenset({"probe", "csr"})
ROUTINE: dict[KeyPurpose, frozenset[str]] = {
    _P.root_ca: _EVERY | {"certificate", "crl", "ocsp"},
    _P.issuing_ca: _EVERY | {"certificate", "crl", "ocsp"},
    _P.ocsp: _EVERY | {"ocsp"},
    _P.tsa: _EVERY | {"tsa"},
    _P.seal_maker: _EVERY | {"seal-maker"},
    _P.seal_holder: _EVERY,
    _P.licence_issuer: _EVERY,
    _P.credential_issuer: _EVERY,
    _P.status_list: _EVERY | {"status-list"},
    _P.trust_list: _EVERY | {"trust-list"},
    _P.audit_checkpoint: _EVERY | {"checkpoint"},
    _P.receipt: _EVERY | {"receipt"},
    _P.drill: _EVERY,
}
_CA = frozenset({_P.root_ca, _P.issuing_ca})
_STAGED = frozenset({"probe", "csr"})
_LEAVING = frozenset({"crl", "ocsp"})


def check_routine(purpose: KeyPurpose, state: KeyState, word: str, message: bytes, spki: bytes) -> None:
    """May a key of this purpose and state sign this message as this routine use?

    The message must also be what the word says, so that no seal key signs a document as a ``probe`` and no retired CA a
    certificate as a ``crl``.

    :raises PurposeForbids: the use is not among the purpose's, or the message is something else
    :raises KeyStateForbids: the purpose would allow it, the state does not
    """
    if word not in ROUTINE[purpose]:
        raise PurposeForbids(
            f"A {purpose} key does not sign for the use {word!r}; keys that seal or issue sign within an intent only.",
            f"用途为 {purpose} 的密钥不能用于 {word!r}；盖章与发证密钥只能在签署请求内使用。",
            purpose=str(purpose),
            use=word,
        )
    if not _state_allows(purpose, state, word):
        raise state_forbids(state, word)
    if not _is_what_it_says(word, message, spki):
        raise PurposeForbids(
            f"What was to be signed as {word!r} is something else; nothing was signed.",
            f"以 {word!r} 名义提交的内容与其不符；未产生签名。",
            purpose=str(purpose),
            use=word,
        )


def check_attempt(purpose: KeyPurpose, state: KeyState) -> None:
    """May a key of this purpose and state sign within an attempt? The intent, its lease and what it names are checked with the
    row.

    :raises PurposeForbids: not a key that seals or issues
    :raises KeyStateForbids: staged, retired or destroyed
    """
    if purpose not in ATTEMPT_PURPOSES:
        raise PurposeForbids(
            f"A {purpose} key neither seals nor issues; it signs routine uses only.",
            f"用途为 {purpose} 的密钥不用于盖章或发证，只能用于例行签名。",
            purpose=str(purpose),
            use="attempt",
        )
    if state not in (KeyState.active, KeyState.draining):
        raise state_forbids(state, "attempt")


def state_forbids(state: KeyState, use: str) -> KeyStateForbids:
    """The refusal for a key in a state that does not sign this."""
    return KeyStateForbids(
        f"This key is {state} and does not sign for {use!r}; use the role's active generation.",
        f"该密钥处于 {state} 状态，不能用于 {use!r}；请使用该用途当前启用的密钥。",
        state=str(state),
        use=use,
    )


def _state_allows(purpose: KeyPurpose, state: KeyState, word: str) -> bool:
    if state is KeyState.active:
        return True
    if state is KeyState.staged:
        return word in _STAGED or (purpose in _CA and word in {"certificate", "crl"})
    if state is KeyState.draining:
        return word == "probe" or (purpose in _CA and word in _LEAVING) or (purpose is _P.ocsp and word == "ocsp")
    return state is KeyState.retired and purpose in _CA and word in _LEAVING


_SHAPES: dict[str, tuple[type[core.Sequence], str]] = {
    "csr": (csr.CertificationRequestInfo, "subject"),
    "certificate": (x509.TbsCertificate, "validity"),
    "crl": (crl.TbsCertList, "this_update"),
    "ocsp": (ocsp.ResponseData, "produced_at"),
}
"""What the message of a use must parse as, and one field that must be readable in it."""


def _is_what_it_says(word: str, message: bytes, spki: bytes) -> bool:
    if word == "probe":
        return message.startswith(PROBE_PREFIX) and len(message) <= 1024
    if word not in _SHAPES:
        return True
    kind, telling = _SHAPES[word]
    try:
        value = kind.load(message, strict=True)
        _ = value[telling].native
        return word != "csr" or value["subject_pk_info"].dump() == spki
    except Exception:  # noqa: BLE001 - asn1crypto raises whatever it meets; to us it is simply not one
        return False
