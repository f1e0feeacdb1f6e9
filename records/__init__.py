"""What is on record, held together: where a sealed document comes from, and whether the registers say what the audit log says.

Receipts, enquiries between regions and evidence packages belong here too and are not built yet. Public names:
:class:`records.trace.Tracer`, :func:`records.agreement.check`.
"""
