"""The S3 API on the target that owns an object: what the native data path does, in S3's words."""
