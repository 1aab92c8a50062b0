"""The page about every operation is what the code's own tables say."""

from pathlib import Path

from ais.s3 import docs
from ais.s3.operations import Op

PAGE = Path(__file__).parents[3] / "docs" / "s3_api.md"


def test_the_page_is_up_to_date() -> None:
    """`make docs` would change nothing, and no operation is missing."""
    page = PAGE.read_text()
    assert page == docs.render()
    assert all(f"| {op.value} |" in page for op in Op)
