"""Seal registry, seal pictures, applications to seal, and impressions on documents.

The register makes a seal (its picture, a key a suite, certificates, the signed SESeal) and keeps its state; sealing is
document in, sealed document out (:mod:`seals.sealing`, no database), wrapped by the service in the one path of a signature:
authorise, intend, sign, commit. Public names: :class:`seals.service.SealService`, :func:`seals.sealing.seal_pdf`,
:class:`seals.sealing.Placement`, :class:`seals.picture.Picture`.
"""
