"""How much the tests that come in two sizes do: little in CI, everything in `make nightly`."""

import os

FULL = os.environ.get("S3_FULL") == "1"
"""Every combination, and the numbers of the requirement."""
