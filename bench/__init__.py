"""Measurements beside a peer in the same run, printed as ratios (design: Performance)."""
