"""Buckets of backends on a target: what is not here is read there, and changes are made there first."""
