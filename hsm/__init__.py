"""Custody: tokens, drivers, the signer process, key roles and generations."""
