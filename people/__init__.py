"""Accounts, departments and roles: who is who.

Local accounts with passwords (argon2), lock-out, sessions and API tokens; what an account may do is decided in ``policies``
by the :class:`people.schemas.Actor` it acts as. Approvals by several officers belong here too and are not built yet. Public
names: :class:`people.service.AccountService`, :class:`people.schemas.Actor`, :class:`people.schemas.Account`.
"""
