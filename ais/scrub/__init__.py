"""Whether all that is promised is there: looked up by the way (census), or read from the disks and repaired (scrub)."""
