"""Distributed sort, the part without network: checking a request, keys, sorting on disk, filling output shards."""
