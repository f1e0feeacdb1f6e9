"""What is on the wire: X.509, CMS, timestamps, SES seals, PDF, codes, identifiers, Merkle proofs. Pure; uses crypto."""
