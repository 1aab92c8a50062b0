"""What S3 clients expect of the connection: `100 Continue`, no redirects, kept connections."""

import hashlib
import socket

import pytest
from harness import s3raw
from harness.s3access import Access, boto
from harness.s3raw import Request, call, sign
from harness.wire import Answer, RawConnection


def expecting(access: Access, path: str, body: bytes, **headers: str) -> Request:
    """A signed PUT that waits for `100 Continue`."""
    sent = {"Expect": "100-continue", "Content-Length": str(len(body)), **headers}
    request = Request("PUT", path, headers=sent)
    sign(request, access, payload=hashlib.sha256(body).hexdigest())
    return request


def ask(connection: RawConnection, request: Request) -> Answer:
    """Send the head; the first answer, interim or final."""
    connection.send_head(request.method, request.target, [(k, v) for k, v in request.headers.items() if k != "Host"])
    return connection.answer(request.method)


@pytest.mark.parametrize("body", [b"", b"x", b"x" * 100_000], ids=len)
def test_100_continue(every_node: list[Access], s3_bucket: str, body: bytes) -> None:
    """A client that waits is told to go on, on a kept connection, whatever the size of the body.

    aws-cli 1 mistakes the answer behind one that came without `100 Continue` on the same connection, and hangs.
    """
    for access in every_node:
        with RawConnection(access.url) as connection:
            for turn in range(4):
                assert ask(connection, expecting(access, f"/{s3_bucket}/k{turn}", body)).status == 100
                connection.send(body)
                assert connection.answer().status == 200
        assert call(access, "GET", f"/{s3_bucket}/k0").body == body


@pytest.mark.parametrize("body", [b"", b"x"], ids=len)
def test_refusal_instead_of_100_continue(every_node: list[Access], s3_bucket: str, body: bytes) -> None:
    """A refused client gets no `100 Continue`, and a closed connection: nobody knows whether its body follows."""
    boto(every_node[0]).put_object(Bucket=s3_bucket, Key="k", Body=b"there")
    for access in every_node:
        request = expecting(access, f"/{s3_bucket}/k", body, **{"If-None-Match": "*"})
        with RawConnection(access.url) as connection:
            answer = ask(connection, request)
            if answer.status == 100:
                connection.send(body)
                answer = connection.answer()
                assert answer.status == 412
            else:
                assert (answer.status, (answer.header("Connection") or "").lower()) == (412, "close")
                assert connection.is_closed()


def test_no_redirects(every_node: list[Access], s3_bucket: str) -> None:
    """Every node answers every request itself, whoever owns the object."""
    for number, access in enumerate(every_node):
        for name in (f"a{number}", f"b{number}", f"c{number}"):
            path = f"/{s3_bucket}/{name}"
            assert call(access, "PUT", path, body=name.encode()).status == 200
            for other in every_node:
                assert call(other, "GET", path).body == name.encode()
                assert call(other, "HEAD", path).status == 200
            assert call(access, "DELETE", path).status == 204
            assert call(access, "GET", path).status == 404


def test_lost_client_leaves_nothing(every_node: list[Access], s3_bucket: str) -> None:
    """A client that goes away in the middle of a body has stored nothing and replaced nothing."""
    boto(every_node[0]).put_object(Bucket=s3_bucket, Key="k", Body=b"there")
    for access in every_node:
        request = Request("PUT", f"/{s3_bucket}/k", headers={"Content-Length": "1000000"})
        sign(request, access, payload=s3raw.UNSIGNED)
        with RawConnection(access.url) as connection:
            connection.send_head("PUT", request.path, [(k, v) for k, v in request.headers.items() if k != "Host"])
            connection.send(b"x" * 500_000)
            connection.socket.shutdown(socket.SHUT_WR)
            connection.rest()
        assert call(access, "GET", f"/{s3_bucket}/k").body == b"there"
