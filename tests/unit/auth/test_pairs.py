"""Keys of two nodes: what they share nobody else has, and what they keep is theirs alone."""

import stat
from pathlib import Path

import pytest

from ais.auth import pairs
from ais.auth.pairs import PairKeys
from ais.base.errors import AccessDenied, BadRequest


def test_two_nodes_share_what_a_third_does_not() -> None:
    """Both compute the same; with anybody else each has another key."""
    one, two, three = (PairKeys(bytes([number]) * 32) for number in (1, 2, 3))
    assert one.shared(two.public) == two.shared(one.public)
    assert len({one.shared(two.public), one.shared(three.public), two.shared(three.public)}) == 3
    assert one.shared(two.public) == one.shared(two.public)


@pytest.mark.parametrize("public", ["A" * 43, "", "short", "AQ" + "A" * 41])
def test_what_is_no_key(public: str) -> None:
    """Points that would make the same key with everybody, and text that is none, are refused."""
    with pytest.raises(AccessDenied, match="no public key"):
        PairKeys(b"k" * 32).shared(public)


def test_kept(tmp_path: Path) -> None:
    """Made once, for its owner only, and the same after a restart; a damaged one is not replaced in silence."""
    assert pairs.load(str(tmp_path)) is None
    made, kept = pairs.create(str(tmp_path)), pairs.load(str(tmp_path))
    assert kept is not None
    assert kept.public == made.public
    path = tmp_path / pairs.FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("damaged")
    with pytest.raises(BadRequest, match="join anew"):
        pairs.load(str(tmp_path))


def test_a_key_is_replaced_in_steps(tmp_path: Path) -> None:
    """With two keys a node signs with the first and takes what is signed for both; each step is kept and read again."""
    mine, other, worker = pairs.create(str(tmp_path)), PairKeys(b"o" * 32), pairs.load(str(tmp_path))
    assert worker is not None
    old = mine.public
    mine.add()
    assert (mine.public, len(mine.publics)) == (old, 2)
    new = mine.publics[1]
    assert set(mine.shared_all(other.public)) == {other.shared(old), other.shared(new)}
    assert mine.shared(other.public) == other.shared(old)
    mine.swap()
    assert mine.publics == (new, old)
    assert mine.shared(other.public) == other.shared(new)
    assert worker.publics == (old,)
    worker.reload()
    assert worker.publics == (new, old)
    mine.drop()
    again = pairs.load(str(tmp_path))
    assert again is not None
    assert again.publics == mine.publics == (new,)
    assert mine.shared_all(other.public) == (other.shared(new),)
