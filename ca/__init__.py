"""Certificates from our own and outside CAs, CRL, OCSP and timestamps."""
