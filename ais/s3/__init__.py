"""The rules of S3 as pure functions: what a request asks for, who asks, what its body must be, how answers read."""
