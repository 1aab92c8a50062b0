"""AIStore's own programs, unmodified, against a cluster of ours. They are built elsewhere; nothing of them is here.

`AIS_PEER_CLI` is the path of the `ais` executable, `AIS_PEER_LOADER` that of `aisloader`, `AIS_PEER_CAPTURES` a
directory of recorded runs of the former against a cluster of AIStore. What has no path is skipped.
"""
