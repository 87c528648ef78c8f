"""A line is what ends in LF or CRLF: a law over all readers of lines."""

import ast
import io
import sys
from pathlib import Path

import pytest

from experiments.common.flag_files import expand
from experiments.common.line_io import read_lines, typed_lines, write_lines
from experiments.language_model import Config
from seqjax.data import corpora, labeled, parallel, poems, tagged, transcripts
from seqjax.data.text import read_text, split_lines

ROOT = Path(__file__).parents[1]
# What Python's splitlines or universal newlines take for the end of a line.
NO_ENDS = "\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
LINES = [f"a{character}b" for character in NO_ENDS]


def stdin(read):
    """A reader of standard input as a reader of a file."""

    def of_file(path):
        before = sys.stdin
        sys.stdin = io.TextIOWrapper(io.BytesIO(path.read_bytes()))
        try:
            return list(read())
        finally:
            sys.stdin = before

    return of_file


def transcribed(path):
    found = transcripts.parse_transcripts(path.read_bytes().decode(), path)
    return [name.removesuffix(".wav") for name in found]


READERS = {  # name: (a line that holds a text, path -> the texts)
    "text": ("{}", lambda path: split_lines(read_text(path))),
    "corpus": (
        "{}",
        lambda path: split_lines("".join(corpora.load_files([path])[1:4])),
    ),
    "lines": ("{}", lambda path: read_lines(str(path))),
    "standard input": ("{}", stdin(lambda: read_lines(None))),
    "typed lines": ("{}", stdin(typed_lines)),
    "pairs": ("{0}\t{0}", lambda path: whole(parallel.load_tsv(path))),
    "aligned files": ("{}", lambda path: parallel.load_split(path, path).target),
    "documents": ("x\t{}", lambda path: labeled.read_file(path).texts),
    "labels": ("{}\tx", lambda path: labeled.read_file(path).labels),
    "tokens": ("{}\tO", lambda path: tokens(path)),
    "tags": ("x\t{}", lambda path: tags(path)),
    "poems": ("t:{}", lambda path: [poem.content for poem in poems.read(path)[0]]),
    "titles": ("{}:p", lambda path: [poem.title for poem in poems.read(path)[0]]),
    "transcripts": ("{}.wav\tone", transcribed),
    "flag file": ("--prompt={}", lambda path: prompts(expand([f"--flagfile={path}"]))),
}


def whole(corpus):
    """The sources of LINES in all parts."""
    found = {*corpus.train.source, *corpus.valid.source, *corpus.test.source}
    return [line for line in LINES if line in found]


def tokens(path):
    (sentence,) = tagged.parse(read_text(path), path)
    return sentence.tokens


def tags(path):
    (sentence,) = tagged.parse(read_text(path), path)
    return sentence.tags


def prompts(arguments):
    return [argument.removeprefix("--prompt=") for argument in arguments]


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("reader", READERS)
def test_only_lf_and_crlf_end_a_line(tmp_path, reader, end):
    line, read = READERS[reader]
    lines = list(LINES)
    if reader == "pairs":  # enough to have three parts
        lines += [f"sentence {i}" for i in range(200)]
    if reader == "transcripts":
        end = "\n"  # the text has been decoded before
    path = tmp_path / "file"
    path.write_bytes("".join(line.format(t) + end for t in lines).encode())
    assert read(path) == LINES


@pytest.mark.parametrize("character", [*NO_ENDS, "é", " "])
def test_flags_txt_keeps_every_character(tmp_path, character):
    config = Config.of(prompt=f"a{character}b", workdir=str(tmp_path))
    lines = [f"--prompt={config.prompt.prompt}", "--epochs=3", ""]
    (tmp_path / "flags.txt").write_bytes("\n".join(lines).encode())
    again = Config.of_run(tmp_path)
    assert (again.prompt, again.train.epochs) == (config.prompt, 3)


def test_what_is_written_is_read(tmp_path):
    path = str(tmp_path / "out")
    write_lines(path, ["", *LINES, ""])
    assert read_lines(path) == ["", *LINES, ""]


def test_a_byte_order_mark_is_dropped_at_the_beginning_only(tmp_path):
    path = tmp_path / "file"
    path.write_bytes("\ufeffa\n\ufeffb\n".encode())
    assert read_lines(str(path)) == stdin(typed_lines)(path) == ["a", "\ufeffb"]


def test_a_carriage_return_before_crlf_belongs_to_the_line(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"a\r\r\nb\r")
    assert read_lines(str(path)) == ["a\r", "b\r"]


def test_flag_files_have_comments_and_name_other_files(tmp_path):
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    inner.write_text("# one\n\n  --epochs=3 \n// two\n")
    outer.write_text(f"--cell=gru\n--flagfile={inner}\n--seed=1\n")
    for argv in ([f"--flagfile={outer}"], ["--flagfile", outer], ["-flagfile", outer]):
        found = list(expand(["--a", *map(str, argv), "b", "--", "--flagfile=c"]))
        flags = ["--cell=gru", "--epochs=3", "--seed=1"]
        assert found == ["--a", *flags, "b", "--", "--flagfile=c"]


SOURCES = sorted(
    path for name in ("seqjax", "experiments") for path in (ROOT / name).rglob("*.py")
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_splits_lines_in_its_own_way(path):
    """`seqjax.data.text` has the rule; a log that is appended to is opened as text."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        assert name not in ("splitlines", "readlines"), node.lineno
        is_method = isinstance(node.func, ast.Attribute)
        if name == "read_text" and is_method:  # of the system, never of the user
            assert path.parent.name == "benchmarks", node.lineno
        if name == "open" and not is_method:
            mode = node.args[1].value if len(node.args) > 1 else "r"
            assert mode in ("a", "ab", "rb", "wb"), node.lineno
