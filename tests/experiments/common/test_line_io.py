"""Lines in, lines out: files, links and pipes."""

import os

import pytest

from experiments.common.errors import UserError
from experiments.common.line_io import read_lines, write_lines


def test_output_goes_to_a_file_through_a_link_and_into_a_pipe(tmp_path):
    """All of them stay what they are."""
    file, link, pipe = (tmp_path / name for name in ("file", "link", "pipe"))
    link.symlink_to(file)
    write_lines(str(link), ("春", "b"))
    assert link.is_symlink() and file.read_text() == "春\nb\n"
    with pytest.raises(UnicodeEncodeError):
        write_lines(str(link), ("\ud800",))  # half a character
    assert file.read_text() == "春\nb\n"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    write_lines(str(pipe), ("a",))
    assert pipe.is_fifo() and os.read(reader, 9) == b"a\n"
    os.close(reader)
    assert {p.name for p in tmp_path.iterdir()} == {"file", "link", "pipe"}


@pytest.mark.parametrize("name", ["my.jsonl", "my.ndjson.gz"])
def test_json_lines_are_no_texts(tmp_path, name):
    with pytest.raises(UserError, match=rf"{name} is JSON lines; a text on each line"):
        read_lines(str(tmp_path / name))


def test_every_line_is_read_and_an_empty_file_has_none(tmp_path):
    path = tmp_path / "lines.txt"
    for content, lines in ((b"", []), (b"a\r\n\nb", ["a", "", "b"]), (b"\n", [""])):
        path.write_bytes(content)
        assert read_lines(str(path)) == lines


def test_carriage_returns_alone_are_one_line_and_a_note_says_so(tmp_path, capsys):
    path = tmp_path / "lines.txt"
    path.write_bytes(b"a\rb\rc\r")
    assert read_lines(str(path)) == ["a\rb\rc\r"]
    assert "lines.txt is one line: only LF or CRLF" in capsys.readouterr().err
    path.write_bytes(b"a\rb\n")
    assert read_lines(str(path)) == ["a\rb"] and capsys.readouterr().err == ""
