"""Receipts, enquiries between regions, evidence packages: not built yet.

The room is kept so that the walls around it stand (``pyproject.toml``, import-linter); it holds no code.
"""
