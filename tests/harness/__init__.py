"""What the tests against live clusters share: a client that hides nothing, process facts, a cluster per session."""
