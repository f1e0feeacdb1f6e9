"""HTTP and pages: the only room that serves HTTP.

Operations under ``/api/v1`` in resource style, pages for people that work without JavaScript, and the well-known addresses
of a PKI (``/ocsp``, ``/crl``, ``/tsa``, ``/trust/list.jws``). It decides nothing: it reads a request, asks the node's
services and shows the answer; errors become ``application/problem+json`` or a page. Public name:
:func:`api.app.create_app`.
"""
