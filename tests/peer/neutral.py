"""Output without what differs from cluster to cluster: addresses, IDs, times, versions, paths, widths of columns."""

import re
from dataclasses import dataclass

_TIMES = (
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[\d.]*(?:Z|[+-]\d\d:\d\d)",
    r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT",
    r"\d\d [A-Z][a-z]{2} \d\d \d\d:\d\d UTC",
    r"\d\d:\d\d:\d\d(?:\.\d+)?",
)
_DURATION = r"(?<![\w.])(?:\d+h)?(?:\d+m)?\d+(?:\.\d+)?(?:ns|µs|ms|s)(?!\w)"
_RULES: tuple[tuple[str, str], ...] = (
    *((time, "TIME") for time in _TIMES),
    (r"https?://[\d.]+:\d+", "URL"),
    (r"[\d.]+:\d{4,5}\b", "ADDRESS"),
    (r"\bt\[\w+\]:mp\[[^\]]*\]", "t[NODE]:mp[MOUNTPATH]"),
    (r"\S*/mp[12]\b", "MOUNTPATH"),
    (r"/dev/\S+", "DEVICE"),
    (r"\"v\d+-[^\"]*\"", '"ETAG"'),
    (r"(?<=[\[\s])[0-9a-f]{16}(?=[\]\s])", "CHECKSUM"),
    (r"(?<=[a-z-]\[)(?!MOUNTPATH|CHECKSUM)(?:[a-z]+-)?[\w-]{8,14}(?=\])", "JOB"),
    (r"(?<=show job )(?:[a-z]+-)?[\w-]{8,14}", "JOB"),
    (r"\b(?:dnl|srt|inv)-[\w-]+\b", "JOB"),
    (r"(?<=Upload ID: )\S+", "UPLOAD"),
    (r"\b5\.0\.\w+", "VERSION"),
    (r"\bg\d+\b", "gN"),
    (r"(?<=Error: )t\[T\d\]", "t[NODE]"),
    (r"\x1b\[1A\x1b\[J[^\n]*\n", ""),
    (r"(?<=UUID )\w+|(?<=UUID:)\s+\w+|(?<=cluster ID\()\"\w+\"", "UUID"),
    (r"(?<=map\()v\d+|(?<=\nVersion:)\s+\d+", "N"),
    (r"(?<=\"daemon_port\": \")\d+|(?<=\"id_digest\": )\d+", "N"),
    (r"(?<=\"bid\": \")\d+|(?<=\"created\": \")\d+", "N"),
    (r"(?<=node_ip_addr\": \")[\d.]+", "IP"),
    (r"(?<=Build:)\s+\S+|(?<=\(build: )[^)]*", "BUILD"),
    (r"\((?:one disk|total disks: \d+)\)", "(DISKS)"),
    (r"(?<=Used: )min=.*", "SHARE"),
    (r"(?<=\n)(confdir|log_dir)\s+\S+", r"\1 DIRECTORY"),
    (r"(?<=MOUNTPATH:)\w+", "LABEL"),
    (r"(?<=Backend: )\w+|(?<=Deployment: )\w+", "X"),
    (r"(?<=\nhost_net\.)(\w+)[^\n]*", r"\1"),
    (r"(?<== )\d+( - proceeding with )\d+", r"N\1N"),
    (r"[ \t]+", " "),
    (r" +(?=\n|$)", ""),
)
_MACHINE = (
    (r"\[\d+\.\d+ \d+\.\d+ \d+\.\d+\]", "[LOAD]"),
    (r"(?<![\w.])<?-?\d+(?:\.\d+)?(?:B|[KMGTP]iB)?(?:/s)?%?(?![\w.])", "N"),
    (r"\bv\d+\b", "vN"),
    (r"(?<= )- ---", "N ---"),
)


@dataclass(frozen=True)
class Names:
    """The names of one cluster and where its commands ran: what stands for the same thing in every cluster."""

    nodes: dict[str, str]
    """Node IDs and what stands for them."""
    directory: str = ""

    def neutral(self, text: str, *, machine: bool = False) -> str:
        """`text` without what belongs to the cluster; `machine`: without any figure of the machine either."""
        if self.directory:
            text = text.replace(f"{self.directory}/", "")
        for node, name in self.nodes.items():
            text = text.replace(node, name)
        for pattern, instead in _RULES:
            text = re.sub(pattern, instead, text)
        text = re.sub(_DURATION, "DURATION", text)
        for pattern, instead in _MACHINE if machine else ():
            text = re.sub(pattern, instead, text)
        return "NODE" if text.strip("\n") in self.nodes.values() else text.strip("\n")
