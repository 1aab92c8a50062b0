"""The space of a target: where objects lie after mountpaths came or went, which of them fail, what may be removed."""
