"""The program `aisloader`: load on a cluster, or on any S3 endpoint, and what came of it, with AIStore's flags."""
