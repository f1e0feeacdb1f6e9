"""Outbound HTTP with limits on size, time and address. Uses none of ours but the error tree.

A :class:`net.fetch.Fetcher` reaches only hosts that it was given, never private addresses unless they were named as such,
and stops at its limits; :mod:`net.pki` asks OCSP, CRL and timestamp services through it.
"""
