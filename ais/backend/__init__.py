"""Stores of others behind our buckets: one interface, one module per provider (`docs/backends.md`)."""
