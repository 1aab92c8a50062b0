"""Wrong input to each class of commands: the exit code, and one line that says what to do."""

from typing import Any

import pytest

USAGE, NOT_FOUND, NO_CLUSTER = 2, 3, 4

OFFLINE = {
    "a wrong word": ("bukcet ls", USAGE, "Did you mean"),
    "a wrong option": ("ls --lmit 3", USAGE, "--limit"),
    "a missing argument": ("object mv ais://b/o", USAGE, "Missing argument 'NEW_OBJECT_NAME'"),
    "an extra argument": ("object cat ais://b/o more", USAGE, "unexpected extra argument"),
    "a number": ("ls ais://b --limit many", USAGE, "not a valid integer"),
    "a size": ("get ais://b/o --offset much", USAGE, "--offset"),
    "a duration": ("show cluster --refresh soon", USAGE, "--refresh"),
    "a choice": ("ls ais://b --units miles", USAGE, "'iec', 'si', 'raw'"),
    "a bucket's name": ("bucket create ais://a..b", USAGE, "is invalid"),
    "a bucket for an object": ("object show ais://b", USAGE, "an object is BUCKET/OBJECT"),
    "an object for a bucket": ("bucket rm ais://b/o", USAGE, "a bucket is expected"),
    "a provider": ("ls nosuch://b", USAGE, "invalid backend provider"),
    "a property": ("bucket create ais://b --props versionin.enabled=true", USAGE, "did you mean"),
    "a setting": ("config cluster checksum.typ=md5", USAGE, "did you mean"),
    "a setting's value": ("config cluster log.level=loud", USAGE, "log.level"),
    "a mountpath": ("storage mountpath attach nosuch", USAGE, "TARGET_ID=MOUNTPATH"),
    "a job": ("show job no/such", USAGE, "is neither a job ID"),
    "a file": ("put /nonexistent ais://b", USAGE, "no such file or directory"),
    "a regular expression": ("ls --regex (", USAGE, "not a regular expression"),
    "a template": ("ls ais://b --template {1..", USAGE, "template"),
    "an alias": ("alias set x nosuch", USAGE, "ais search nosuch"),
    "a setting of the command line": ("config cli set nosuch=1", USAGE, "use one of"),
    "a part": ("mpu put-part ais://b/o ID 0 file", USAGE, "range"),
}
ONLINE = {
    "a bucket that is not there": ("ls ais://nosuch", NOT_FOUND, "'ais ls' lists the buckets"),
    "an object that is not there": ("object show {bucket}/nosuch", NOT_FOUND, "lists objects"),
    "a node that is not there": ("log show t[nosuchnode]", NOT_FOUND, "'ais show cluster' lists the nodes"),
    "a job that is not there": ("wait nosuchjob1", NOT_FOUND, "'ais show job --all'"),
    "a mountpath that is not there": ("storage mountpath enable {target}=/nosuch", NOT_FOUND, "storage mountpath"),
    "an upload that is not there": ("mpu abort {bucket}/o nosuch", NOT_FOUND, "nosuch"),
    "a directory that is not there": ("storage mountpath attach {target}=/nosuch", NOT_FOUND, "must exist"),
    "a proxy that stores nothing": ("storage disk {proxy}", USAGE, "is a proxy"),
    "a target that cannot lead": ("cluster set-primary {target}", USAGE, "only a proxy can be primary"),
    "a range behind the end": ("get {bucket}/there - --offset 9999 --length 1", 1, "9999"),
    "a question nobody answers": ("rmb {bucket}", USAGE, "--yes"),
    "a certificate that is not there": ("tls show", NOT_FOUND, "server_crt"),
}


@pytest.mark.parametrize(("words", "code", "says"), OFFLINE.values(), ids=OFFLINE)
def test_offline(words: str, code: int, says: str, ais_offline: Any) -> None:
    """What is wrong in itself is refused before a cluster is asked."""
    _check(ais_offline(*words.split(), code=code), says)


@pytest.mark.parametrize(("words", "code", "says"), ONLINE.values(), ids=ONLINE)
def test_online(words: str, code: int, says: str, ais: Any, uri: str, cluster: Any) -> None:
    """What the cluster does not have or does not do is said with what helps."""
    ais("put", "-", f"{uri}/there", stdin=b"x")
    names = {"bucket": uri, "target": f"t[{cluster.targets[0].id}]", "proxy": f"p[{cluster.proxies[0].id}]"}
    _check(ais(*words.format(**names).split(), code=code), says)


def test_no_cluster(ais_offline: Any) -> None:
    """Without a cluster the answer says how to start or name one."""
    _check(ais_offline("--endpoint", "http://127.0.0.1:1", "show", "cluster", code=NO_CLUSTER), "ais playground start")


def _check(result: Any, says: str) -> None:
    assert says in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("Error: ")
    assert not result.stdout
