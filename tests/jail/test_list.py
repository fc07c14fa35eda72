"""README.md says which attack stands for what: its list must name tests that exist."""

import re
from pathlib import Path

HERE = Path(__file__).parent
# What the list puts into the same quotes and is no test.
OTHER = {"core_pattern"}


def test_every_attack_in_the_list_is_there():
    places = [*HERE.glob("test_*.py"), *(HERE.parent / "it" / name for name in ("test_rootfs.py", "test_network.py"))]
    sources = "".join(path.read_text() for path in places)
    there = set(re.findall(r"^def test_(\w+)", sources, re.M))
    attacks = (HERE / "README.md").read_text().split("What must be contained", 1)[1]
    named = set(re.findall(r"`([a-z0-9_]{12,})(?:\[[^`]*)?`", attacks)) - OTHER
    assert len(named) >= 60 and named - there == set()
    cases = re.findall(r"`(?:a_forbidden_call_is_refused)?\[([^`…]+)\]`", attacks)
    assert cases and [case for case in cases if f'"{case}"' not in sources] == []
