"""What a recorded command needs of our cluster, and where we answer otherwise on purpose."""

MISSING = {"ETL"}
"""Features of AIStore that we do not have yet: their commands say so in a line. Take away what has come."""

NEEDS: dict[str, tuple[int, ...]] = {
    "ETL": (238,),
}
"""By feature: the commands that are about it."""

TRACES: dict[str, tuple[int, ...]] = {}
"""By feature: the commands whose recorded output shows that it was used, or is not an error without it."""

MORE_FILES = 111
"""From this command on the directory holds forty more files."""

AFTER_JOBS = {245}
"""They show what the job of the command before has made."""

FIGURES = {3, 15, 37, 161, 167, 168, 169, 173, 175, 176, 179, 180, 181, 184, 189, 190, 214, 215, 230, 245}
"""Their numbers are the machine's."""

COUNTERS = {173, 185, 186, 187, 188, 191, 192, 194}
"""Their columns depend on what the cluster has counted."""

UNORDERED = {10, 11, 172, 202}
"""AIStore prints their lines in the order of a map."""

DIFFERENT: dict[int, str] = {
    3: "says that all nodes are on one machine",
    47: "the S3 server of the recording gave no entity tags",
    92: "counts what backends have too; theirs had not counted it by then",
    183: "counts what backends have too, and an object once; theirs each copy of it",
    230: "theirs had not gone into maintenance",
    56: "says which range was asked for",
    62: "an ETag is the content's checksum; theirs also counts versions",
    68: "does not name the node",
    90: "a summary counts an object once; theirs each copy of it",
    91: "a summary counts an object once; theirs each copy of it",
    94: "a summary counts an object once; theirs each copy of it",
    86: "says where in the request the value stands",
    115: "an unknown job has a type of error",
    136: "the ID of the job stands alone",
    138: "an unknown job has a type of error",
    141: "an unknown job has a type of error",
    142: "an unknown job has a type of error",
    98: "the first copy has ended by then",
    113: "other jobs ran before",
    116: "says in fewer words what was copied",
    173: "the columns of what targets send each other need such traffic",
    185: "the columns of what targets send each other need such traffic",
    191: "the columns of what targets send each other need such traffic",
    119: "theirs brings objects in line when copies are switched on; and its job has another first word",
    120: "theirs brings objects in line when copies are switched on; and its job has another first word",
    127: "a rebalance of a cluster that is in order takes no time",
    128: "says nothing of its phases",
    130: "says nothing of its phases",
    143: "the recorded job was started without being recorded",
    144: "the recorded job was started without being recorded",
    145: "the recorded job was started without being recorded",
    146: "the recorded job was started without being recorded",
    149: "names the extensions that there are",
    151: "the archive with a missing object was refused",
    152: "the archive with a missing object was refused",
    156: "does not name the node",
    163: "an object that was uploaded in parts is one file; and the archive with a missing object was refused",
    165: "a missing object is an error: theirs cuts the archive short in silence",
    167: "theirs was short of processors and alerts to it",
    168: "theirs was short of processors and alerts to it",
    169: "theirs was short of processors and alerts to it",
    170: "addresses within the cluster are shown only where they differ from the public ones",
    171: "nodes do not sign requests, so have no verifying key; the order is that of a map",
    179: "theirs was short of processors and had jobs running",
    177: "nodes do not sign requests, so have no verifying key; the order is that of a map",
    200: "names the setting",
    212: "theirs had one more feature switched on",
    214: "a change of one node's settings does not count the cluster's version up",
    229: "theirs had a job in its way",
    231: "theirs had not gone into maintenance",
    217: "does not name the node",
    226: "theirs counts copies",
    224: "the type names the mountpath, as for its other commands",
    234: "our logs are JSON lines",
    235: "our logs are JSON lines",
    236: "names the setting that is not set",
}
"""What we answer otherwise, and why."""

OTHER_CODE = {98: 0, 143: 1, 144: 1, 146: 1, 165: 1, 229: 0}
"""Of these: our exit codes where they are others."""
