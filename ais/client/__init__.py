"""Typed asynchronous calls to a cluster's native REST API."""
