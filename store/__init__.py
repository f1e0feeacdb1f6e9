"""Database base and sessions, migrations, blobs, intents, the audit log and its sequencer.

What other rooms keep goes through here: tables by :class:`store.db.Base`, documents by digest in
:class:`store.blobs.BlobStore`, every signature that seals or issues as a numbered attempt of an intent
(:class:`store.intents.IntentService`), what was done as a leaf of the Merkle log (:class:`store.audit.AuditLog`), and what
other systems are told of as an event (:class:`store.outbox.Outbox`). Its promises are held by killing it at each line named in
:mod:`store.crashpoints`.
"""
