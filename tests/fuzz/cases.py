"""One case of a reader."""

from pathlib import Path
from typing import Any

from experiments.common.errors import UserError
from seqjax.checkpoint import CheckpointError
from seqjax.data.text import DataError
from tests.fuzz.readers import Reader

DEADLINE = 10_000  # milliseconds for a case; what takes longer hangs


def check_case(reader: Reader, folder: Path, content: Any) -> bool:
    """Whether a reader accepts a content; the result accounts for all of it.

    Raises:
      AssertionError: if rows are lost, or the refusal is not one sentence that names
        the file.
    """
    path = reader.write(folder, content)
    try:
        found = reader.read(path)
    except (DataError, UserError, CheckpointError) as error:
        sentence = str(error)
        assert path.name in sentence and "\n" not in sentence, sentence
        assert sentence.endswith((".", "?")), sentence
        return False
    reader.check(content, found)
    return True
