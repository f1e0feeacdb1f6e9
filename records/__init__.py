"""Receipts, enquiries between regions, evidence packages."""
