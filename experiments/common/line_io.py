"""Lines in, lines out: --input and --output of the modes that use a trained model."""

import sys
from pathlib import Path

from absl import flags

from experiments import run
from seqjax.data.text import decode, read_bytes

FLAGS = flags.FLAGS
flags.DEFINE_string("input", None, "a file to read (standard input)")
flags.DEFINE_string("output", None, "where results go (standard output)")


def check_flags(*modes):
    """Refuse an input not read, an output that cannot be written, before any work.

    Args:
      modes: of the experiment, those that read --input.
    """
    if FLAGS.input is not None and FLAGS.mode not in modes:
        raise run.UserError(
            f"--input is for --mode={' or '.join(modes)}, not for {FLAGS.mode}."
        )
    if FLAGS.output == "":
        raise run.UserError("--output is empty; a file was expected.")
    if FLAGS.output and Path(FLAGS.output).is_dir():
        raise run.UserError(f"--output={FLAGS.output} is a folder.")
    if FLAGS.output and not Path(FLAGS.output).parent.is_dir():
        raise run.UserError(f"--output={FLAGS.output}: its folder does not exist.")


def read():
    """All lines, from --input or standard input."""
    content = (
        sys.stdin.buffer.read() if FLAGS.input is None else read_bytes(FLAGS.input)
    )
    if not content:
        return []
    text = decode(content, FLAGS.input or "standard input", may_be_empty=True)
    return text.removesuffix("\n").split("\n")


def typed():
    """The lines of standard input one by one, as they are typed."""
    for line in sys.stdin.buffer:
        text = decode(line, "standard input", may_be_empty=True)
        yield text.removesuffix("\n")
        sys.stdout.flush()


def write(lines):
    """To --output, whole or not at all, or to standard output."""
    text = "".join(f"{line}\n" for line in lines)
    if FLAGS.output is None:
        sys.stdout.write(text)
        return
    content = text.encode()
    path = Path(FLAGS.output)
    if path.exists() and not path.is_file():  # a pipe or a device
        path.write_bytes(content)
        return
    path = path.resolve()  # a link stays one
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)  # where it could not be written whole
