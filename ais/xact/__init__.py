"""Jobs that outlive a request, on one target."""
