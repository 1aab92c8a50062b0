"""Receivers of bucket notifications: a webhook by POST, brokers by clients that are extras of this package."""
