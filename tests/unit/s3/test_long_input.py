"""What is long and means nothing is refused in one pass: each of these took minutes, and the node answered nobody."""

import pytest

from ais.s3 import acl, policy_variables
from ais.s3.acl import Asked
from ais.s3.errors import S3Error

BLANKS = " " * 30_000


@pytest.mark.parametrize(
    "value", [f'id={BLANKS}x{BLANKS}"y', f'id={BLANKS}"x', f"id{BLANKS}", BLANKS, f'id={BLANKS}""']
)
def test_grants(value: str) -> None:
    """The value of a grant header."""
    asked = Asked("ann", "ann", lambda user: user == "ann")
    with pytest.raises(S3Error):
        acl.of_headers({"x-amz-grant-read": [value]}, asked)


@pytest.mark.parametrize(
    ("value", "users"),
    [("id=ann", ["ann"]), ('id="ann"', ["ann"]), (' ID = "ann" , id=bob', ["ann", "bob"])],
)
def test_grants_that_mean_something(value: str, users: list[str]) -> None:
    """Quoted or not, with blanks, in any case."""
    found = acl.of_headers({"x-amz-grant-read": [value]}, Asked("ann", "ann", lambda _: True))
    assert [grant.grantee for grant in found.grants] == users


@pytest.mark.parametrize("name", [f"aws:username{BLANKS},x", f"aws:username{BLANKS}, 'x'y", BLANKS])
def test_variables(name: str) -> None:
    """A variable of a policy."""
    with pytest.raises(S3Error):
        policy_variables.check(f"${{{name}}}")


def test_variables_that_mean_something() -> None:
    """With a default, in quotes, of whatever."""
    for text, wanted in (("${aws:username, 'no, body'}", "no, body"), ("${aws:username ,''}", ""), ("a${*}b", "a*b")):
        policy_variables.check(text)
        assert policy_variables.expand(text, {}, is_pattern=False) == wanted
