"""The command line of `aisnode`."""

import argparse
from dataclasses import dataclass

_EXIT_CODES = """\
exit status:
  0  stopped as asked
  1  unexpected error, see the log
  2  wrong arguments or configuration
  3  a port is in use
  4  no usable mountpath, or the metadata on disk is damaged
  5  this node (or its metadata) belongs to another cluster, or its ID is taken
  6  could not join the cluster in time
"""


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the process was started with."""

    role: str
    config: str
    local_config: str
    until_stdin_closes: bool = False
    daemon_id: str = ""
    join_secret: str = ""


def parse(argv: list[str]) -> Arguments:
    """Read the command line; AIStore's spellings with one dash work too. Exits with status 2 on wrong arguments."""
    parser = argparse.ArgumentParser(
        "aisnode",
        description="One node of an ais cluster.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--role", "-role", required=True, choices=("proxy", "target"), help="what this node is")
    parser.add_argument("--config", "-config", required=True, metavar="FILE", help="cluster configuration (JSON)")
    parser.add_argument(
        "--local-config", "-local_config", required=True, metavar="FILE", help="this node's configuration (JSON)"
    )
    parser.add_argument(
        "--daemon-id", "-daemon_id", default="", metavar="ID", help="this node's ID, as AIS_DAEMON_ID (default: kept)"
    )
    parser.add_argument(
        "--join-secret",
        default="",
        metavar="FILE",
        help="the cluster's join secret (mode 600): only nodes that know it are believed (or: AIS_INIT_TOKEN)",
    )
    parser.add_argument(
        "--until-stdin-closes",
        action="store_true",
        help="stop when standard input ends: for programs that start nodes and must not leave them behind",
    )
    found = parser.parse_args(argv)
    return Arguments(
        found.role, found.config, found.local_config, found.until_stdin_closes, found.daemon_id, found.join_secret
    )
