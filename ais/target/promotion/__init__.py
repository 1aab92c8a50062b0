"""Files on this target's disks made objects: `ais.target.promotion.routes` starts the jobs."""
