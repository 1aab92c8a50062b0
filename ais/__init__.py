"""`ais`: a scale-out object store with AIStore's REST API and Amazon S3 on one port."""

__version__ = "0.1.0"

AIS_VERSION = "5.0.1"
"""The AIStore release whose wire contract we speak; clients compare `major.minor` with their own."""
