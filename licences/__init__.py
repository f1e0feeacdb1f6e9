"""Licence catalogue, identifiers, life cycle and documents."""
