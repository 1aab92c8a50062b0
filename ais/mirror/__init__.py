"""Mirroring: every object of a bucket on several mountpaths of its target."""
