"""The list of mutants fits the code; `python -m tests.mutation` runs them."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.mutation import listing

ROOT = Path(__file__).parent.parent
MUTANTS = listing.load()


def test_there_are_enough_mutants_and_none_twice():
    assert len(MUTANTS) >= 300
    assert max(Counter(mutant.name for mutant in MUTANTS).values()) == 1


def test_mutants_apply_and_are_programs():
    """Nine of ten, so that the list does not stand in the way of a change."""
    stale = []
    for mutant in MUTANTS:
        assert mutant.old and mutant.new not in ("", mutant.old), mutant.name
        try:
            code = mutant.apply((ROOT / mutant.file).read_text("utf-8"))
        except (OSError, ValueError) as error:
            stale.append(str(error))
        else:
            ast.parse(code)
    assert len(stale) <= len(MUTANTS) // 10, "\n".join(stale)


def test_every_mutant_names_tests_that_exist():
    missing = {
        test
        for mutant in MUTANTS
        for test in mutant.tests
        if not (ROOT / test).is_file()
    }
    assert not missing


@pytest.mark.parametrize("code", ["", "b", "aa"])
def test_a_mutant_applies_to_one_occurrence(code):
    mutant = listing.Mutant("a.py", "a", "c", ())
    with pytest.raises(ValueError, match=rf"'a' occurs {code.count('a')} times"):
        mutant.apply(code)
    assert mutant.apply("bab") == "bcb"


def test_a_list_is_parsed_by_section_and_block():
    text = "file a.py\ntests b.py c.py\n\n- x\n-     z\n+ u\n+\n= why\n\n- p\n+ q\n"
    first, second = listing.parse(text)
    assert (first.old, first.new, first.reason) == ("x\n    z", "u\n", "why")
    assert (second.file, second.tests) == ("a.py", ("b.py", "c.py"))
