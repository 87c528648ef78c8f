"""No reader ends in a traceback, or loses a row without a word: the short form."""

import pytest
from hypothesis import given, settings

from tests.fuzz.cases import check_case
from tests.fuzz.readers import READERS


@pytest.mark.parametrize("name", READERS)
def test_hostile_files_are_read_whole_or_refused(name, tmp_path):
    @settings(max_examples=100, deadline=2000, database=None)
    @given(READERS[name].contents)
    def check(content):
        check_case(READERS[name], tmp_path, content)

    check()
