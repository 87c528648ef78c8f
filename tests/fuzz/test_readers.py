"""No reader ends in a traceback, or loses a row without a word: the short form."""

import pytest
from hypothesis import given, settings

from tests.fuzz.cases import DEADLINE, check_case
from tests.fuzz.readers import READERS


@pytest.mark.parametrize("name", READERS)
def test_hostile_files_are_read_whole_or_refused(name, tmp_path):
    reader = READERS[name]

    @settings(max_examples=round(50 * reader.share), deadline=DEADLINE, database=None)
    @given(reader.contents)
    def check(content):
        check_case(reader, tmp_path, content)

    check()
