"""Every address of the service tried by every kind of caller: what docs/authority.md is made of."""
