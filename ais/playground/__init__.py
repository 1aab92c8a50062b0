"""A real cluster of processes on this machine, for trying things out, for development and for tests."""
