"""Accounts, departments and roles: who is who."""
