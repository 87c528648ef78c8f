"""What ends a run before its time, each a reason in words or None."""

from experiments.common.console import note
from experiments.common.job import Progress


def not_finite(what: str, step: int) -> str:
    """A number that is nan or infinity."""
    return f"the {what} was not finite at step {step}"


def skipped(progress: Progress, number: int, most: int) -> str | None:
    """Add skipped minibatches; a reason where there are `most` of them."""
    progress.skipped += number
    if number:
        note(f"{progress.skipped} minibatches so far were not finite and skipped.")
    if progress.skipped < most:
        return None
    return f"{progress.skipped} minibatches were not finite"


def divergence(progress: Progress, loss: float, factor: float) -> str | None:
    """A training loss far above the lowest so far.

    Args:
      progress: remembers the lowest.
      loss: the mean of a line of metrics.
      factor: how far, in multiples of the lowest, which counts as 1 at least; 0 is
        never.
    """
    lowest = progress.lowest_loss = min(progress.lowest_loss, loss)
    if not factor or loss <= lowest + factor * max(abs(lowest), 1.0):
        return None
    return (
        f"the training loss rose from {lowest:.4g} to {loss:.4g} at step "
        f"{progress.step}: the run diverged (--divergence={factor:g})"
    )
