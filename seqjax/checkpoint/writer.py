"""Saves while training goes on: file operations in a thread of their own."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Writer:
    """Runs tasks one after another in one thread, and raises their errors later.

    The first error ends the work: later tasks are not run, and `submit`, `check` and
    `wait` raise it. The end of the interpreter waits for what is submitted.

    Example:
      >>> from seqjax.checkpoint import Writer
      >>> writer, done = Writer(), []
      >>> writer.submit(lambda: done.append("saved"))
      >>> writer.wait()
      >>> writer.close()
      >>> done
      ['saved']
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="seqjax-writer")
        self._last: Future[None] | None = None
        self._error: BaseException | None = None

    def submit(self, task: Callable[[], object]) -> None:
        """Run a task after those submitted before.

        Raises:
          Exception: the error of an earlier task.
        """
        self.check()
        self._last = self._pool.submit(self._run, task)

    def _run(self, task: Callable[[], object]) -> None:
        if self._error is not None:
            return
        try:
            task()
        except BaseException as error:
            self._error = error

    def check(self) -> None:
        """Raise the error of an earlier task, if there is one."""
        if self._error is not None:
            raise self._error

    def wait(self) -> None:
        """Wait until all tasks are done, and raise the first error."""
        if self._last is not None:
            self._last.result()
        self.check()

    def close(self) -> None:
        """Wait until all tasks are done, and end the thread; raises nothing."""
        self._pool.shutdown()
