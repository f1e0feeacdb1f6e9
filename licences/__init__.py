"""Licence catalogue, identifiers, life cycle and documents.

A licence type is a file of data (``catalogue/*.toml``) and a Typst template. Issuing takes the same path as sealing: the
document is rendered, sealed with the issuing organ's seal and committed with its audit leaf; afterwards the licence changes
only by events (suspend, resume, end, change), and its status at any time follows from them. Public names:
:class:`licences.service.LicenceService`, :func:`licences.catalogue.licence_type`, :func:`licences.events.state_at`.
"""
