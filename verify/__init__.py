"""The verifier: any input in, a verdict and an answer out. No database, no HSM, no network of its own.

It stands alone on purpose, so that another region can trust a verdict without trusting our database. Revocation data and
the states of seals, licences and impressions come through the Protocols of :mod:`verify.schemas`; hostile input is read in
worker processes with limits of their own (:mod:`verify.worker`). Public names: :func:`verify.service.verify_bytes`,
:func:`verify.code.verify_code`, :func:`verify.credential.verify_sd_jwt`, :class:`verify.worker.IsolatedVerifier`,
:class:`verify.schemas.VerificationContext`, :class:`verify.trust.TrustStore`.
"""
