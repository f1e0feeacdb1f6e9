"""Algorithm suites (RSA, P-256, SM2), digests, key and signature encodings.

Pure: no files, no network, no state. Holds the root of the error tree. Public names: :class:`crypto.errors.XinyinError`,
:class:`crypto.suites.Suite`, :class:`crypto.suites.Scheme`, :class:`crypto.keys.PublicKey`, :class:`crypto.keys.Signer`.
"""
