"""Publishing our trust list, importing others', keeping the last good one.

A region's list says which CAs, timestamp units, seal makers and licence issuers count for it; it is pinned by the
fingerprint of its key, never goes back to a lower sequence number, and the last good one stays until a better one is
accepted. Reading a list is ``verify``'s (:mod:`verify.trust`), which must be able to without this room. Public names:
:class:`trust.service.TrustService`, :class:`trust.schemas.ListContent`, :class:`trust.schemas.TrustedEntity`,
:func:`trust.service.sign_list`.
"""
