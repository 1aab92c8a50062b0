"""What tasks count together is added to after a wait: `x.n += await f()` reads `x.n` before it, and loses counts."""

import ast
from pathlib import Path

import ais

ROOT = Path(ais.__file__).parent


def _added_across_a_wait(source: str) -> list[int]:
    """Lines that add what is waited for to an attribute or an element."""
    found = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.AugAssign))
    return [
        one.lineno
        for one in found
        if not isinstance(one.target, ast.Name) and any(isinstance(part, ast.Await) for part in ast.walk(one.value))
    ]


def test_nothing_shared_is_added_to_across_a_wait() -> None:
    """No file of the product has that form."""
    files = sorted(ROOT.rglob("*.py"))
    assert len(files) > 100
    found = {str(file.relative_to(ROOT)): _added_across_a_wait(file.read_text()) for file in files}
    assert not {name: lines for name, lines in found.items() if lines}


def test_the_form_is_found() -> None:
    """On attributes and elements, not on local names."""
    source = "async def f(x):\n    x.n += await g()\n    x['n'] += 1 + (await g())\n    n = 0\n    n += await g()\n"
    assert _added_across_a_wait(source) == [2, 3]
