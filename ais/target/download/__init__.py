"""Files of other servers made objects of this target: `ais.target.download.routes` starts the jobs."""
