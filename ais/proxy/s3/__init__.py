"""The S3 API on a gateway: what is about the service or a bucket; requests on objects go to their owners."""
