"""Who is who: accounts, departments and roles, how people and systems prove themselves, who stands in for whom, approvals.

People sign in with a password, a passkey or at an OpenID provider; systems with tokens or their own keys. What an account
may do is decided in ``policies`` by the :class:`people.schemas.Actor` it acts as, in its own right or in another's place.
Officers approve steps on keys together (``approvals.py``). Public names: :class:`people.service.AccountService`, on which the
rest hangs, :class:`people.approvals.ApprovalService`, :class:`people.schemas.Actor`, :class:`people.schemas.Account`.
"""
