"""Accounts, departments and roles: who is who.

Local accounts with passwords (argon2), lock-out, sessions and API tokens; what an account may do is decided in ``policies``
by the :class:`people.schemas.Actor` it acts as. Steps on keys need the signatures of several officers: asked for, given and
spent in :mod:`people.approvals`, demanded at :mod:`people.gate`. Public names: :class:`people.service.AccountService`,
:class:`people.approvals.ApprovalService`, :class:`people.schemas.Actor`, :class:`people.schemas.Account`.
"""
