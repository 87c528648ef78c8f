"""A language model in which process 1 is wrong, or each process has its own folder.

python -m tests.devices.disturbed error --process_id=1 ...
python -m tests.devices.disturbed folder=machines --process_id=1 ...
"""

import os
import sys
from pathlib import Path
from typing import Any

from experiments.common import train_loop
from experiments.language_model.__main__ import main


def fail(*_: Any) -> Any:
    raise KeyError("a fault of the program")


if __name__ == "__main__":
    how, *sys.argv[1:] = sys.argv[1:]
    number = sys.argv[-1].removeprefix("--process_id=")
    if how == "error" and number == "1":
        train_loop._Training.validate = fail
    elif how != "error":
        os.chdir(Path(how.removeprefix("folder="), number))
    main()
