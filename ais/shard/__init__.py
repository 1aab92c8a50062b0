"""Archives that are objects (shards): reading members, writing new ones. Knows nothing of HTTP or buckets."""
