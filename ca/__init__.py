"""Certificates from our own and outside CAs, CRL, OCSP and timestamps.

:class:`ca.service.CertificateAuthorityService` is the one door: it founds a root and an issuing CA for each suite, issues
by the profiles in ``profiles.toml``, takes certificates back, and gives the bytes that ``/crl``, ``/ocsp``, ``/ca`` and
``/tsa`` serve.
"""
