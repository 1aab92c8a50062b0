"""Distributed sort on a target: shards read for what is in them, records put in order, output shards made of them."""
