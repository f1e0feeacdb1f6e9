"""What is on the wire: X.509, CMS, timestamps, SES seals, PDF, codes, identifiers, Merkle proofs.

Pure: bytes in, values out, and back; nothing here opens a file or asks the time. Readers are tolerant of what others write
and bounded in size, depth and count; builders write what the standard named in their docstring says. One module a format;
modules that several share: :mod:`formats.asn1` and :mod:`formats.ber`, :mod:`formats.cbor`, :mod:`formats.canonical` (JSON
to be hashed) and :mod:`formats.dates`.
"""
