"""Everything the process is told before it starts: configuration files, its own overrides, the environment."""

from dataclasses import dataclass

import msgspec

from ais.base.errors import BadRequest
from ais.config import change, environment, load, overrides
from ais.config.environment import NodeEnvironment
from ais.config.node import NodeConfig
from ais_node.arguments import Arguments


@dataclass(frozen=True, slots=True)
class Settings:
    """What to run with; `unknown` are names in the files that are no settings, per file."""

    config: NodeConfig
    environment: NodeEnvironment
    unknown: dict[str, list[str]]


def read(arguments: Arguments) -> Settings:
    """Read and merge everything. Raise `BadRequest` naming the file, variable or setting that is wrong."""
    found = _identified(environment.for_node(), arguments.daemon_id)
    shared, unknown_shared = load.load_cluster(arguments.config)
    local, unknown_local = load.load_local(arguments.local_config)
    try:
        if found.local:
            local = change.set_values(local, found.local)
        if not local.confdir:
            raise BadRequest(f"configuration file {arguments.local_config}: confdir is missing")
        config = NodeConfig(shared, local, overrides.load(local.confdir), {}, found.cluster)
    except BadRequest as error:
        if not (found.local or found.cluster):
            raise
        raise BadRequest(f"{error} (the environment sets {', '.join([*found.local, *found.cluster])})") from None
    unknown = {arguments.config: unknown_shared, arguments.local_config: unknown_local}
    return Settings(config, found, {path: names for path, names in unknown.items() if names})


def _identified(found: NodeEnvironment, daemon_id: str) -> NodeEnvironment:
    """With the ID of the command line. Raise `BadRequest` when it is none, or another one than the environment's."""
    if not daemon_id:
        return found
    environment.check_node_id("-daemon_id", daemon_id)
    if found.daemon_id not in ("", daemon_id):
        raise BadRequest(f"-daemon_id={daemon_id}, but AIS_DAEMON_ID={found.daemon_id}: give one of them")
    return msgspec.structs.replace(found, daemon_id=daemon_id)
