"""What came lately."""

from ais.base.seen import Seen


def test_a_key_is_known_until_too_many_others_came() -> None:
    """The second time it is known, and every time after; with the limit reached everything is new again."""
    seen = Seen(3)
    assert [seen.again(key) for key in "abcabc"] == [False] * 3 + [True] * 3
    assert not seen.again("d")
    assert not seen.again("a")
    assert seen.again("d")
