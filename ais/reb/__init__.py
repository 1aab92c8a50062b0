"""Rebalance: whose names become whose when the set of targets changes."""
