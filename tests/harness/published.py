"""A bucket of small objects, and jobs waited for, by the published SDK."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from aistore.sdk import Bucket, Client

from harness.wire import fresh_name


def content_of(name: str) -> bytes:
    """Of `d/oNN.txt`: the longer the higher its number."""
    return name.encode() * (1 + int(name[3:5]))


@contextmanager
def filled(client: Client, begin: str, names: Sequence[str]) -> Iterator[Bucket]:
    """A bucket with these objects, removed afterwards. `begin`: of its name."""
    bucket = client.bucket(fresh_name(begin)).create(exist_ok=True)
    for name in names:
        bucket.object(name).get_writer().put_content(content_of(name))
    yield bucket
    bucket.delete(missing_ok=True)


def done(client: Client, *jobs: str) -> None:
    """Wait until these jobs have ended well."""
    for job in jobs:
        assert client.job(job).wait(timeout=120, verbose=False).success, job
