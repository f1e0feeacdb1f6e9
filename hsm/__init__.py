"""Custody: tokens, drivers, the signer process, key roles and generations.

A key lives in a token (PKCS#11) and is used through :class:`hsm.service.KeyService`, which asks the signer process. The
signer alone opens tokens and knows PINs; it checks purpose, state, intent and lease, writes the use down, lets the token
sign and verifies the signature before it leaves. What differs from vendor to vendor is data in ``profiles``; ``devtoken``
is our own SM2-capable module for development, refused in production. Public names: :class:`hsm.service.KeyService`,
:class:`hsm.schemas.KeyPurpose`, :func:`hsm.signer.run_signer`, :func:`hsm.tokens.init_tokens`, :func:`hsm.doctor.checks`.
"""
