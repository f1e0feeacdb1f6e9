"""Database base and sessions, migrations, blobs, intents, the audit log and its sequencer."""
