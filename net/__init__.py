"""Outbound HTTP with limits on size, time and address. Uses none of ours but the error tree."""
