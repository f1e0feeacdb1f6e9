"""Seal registry, seal pictures, and impressions on documents."""
