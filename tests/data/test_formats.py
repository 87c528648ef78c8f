"""Files of one format given as another: every reader names them in one sentence."""

import json

import numpy as np
import pytest

from seqjax.data import formats, labeled, parallel, poems, tagged, transcripts
from seqjax.data.formats import describe_format
from seqjax.data.text import DataError, read_text
from seqjax.data.wav import write as write_wav

TEXT = "we went home late and saw the old cat under a tree near our house"
WORDS = TEXT.split()
SENTENCES = [f"{' '.join(WORDS[i : i + 2 + i % 5]).capitalize()}." for i in range(12)]
FRENCH = [f"{' '.join(WORDS[::-1][i : i + 3])} !" for i in range(12)]
LABELS = ["positive", "negative", "negative", "positive"] * 3
TAGS = ["O", "O", "B-place", "I-place"]


def lines(form, *columns):
    rows = enumerate(zip(*columns, strict=True), start=1)
    return "".join(form.format(*cells, n=n) + "\n" for n, cells in rows)


def conll(between):
    rows = [f"{word}{between}{TAGS[i % 4]}" for i, word in enumerate(WORDS)]
    return "\n\n".join("\n".join(rows[i : i + 4]) for i in range(0, 16, 4)) + "\n"


CONLLU = "".join(
    f"{i + 1}\t{word}\t{word}\tNOUN\tNN\t_\t0\troot\t_\t_\n"
    for i, word in enumerate(WORDS)
)
SUBTITLES = lines("{n}\n00:00:{n:02d},000 --> 00:00:{n:02d},900\n{}\n", SENTENCES)
NAMES = ["Ann", "Bob Miller", "Ann", "Eve"] * 3

FILES = {  # (format, its text)
    "pairs": (formats.PAIRS, lines("{}\t{}", SENTENCES, FRENCH)),
    "pairs with more": (
        formats.PAIRS,
        lines("{}\t{}\tCC-BY 2.0\tby\tme", SENTENCES, FRENCH),
    ),
    "documents": (formats.LABELED, lines("{}\t{}", LABELS, SENTENCES)),
    "labels last": (formats.LABELED_LAST, lines("{}\t{}", SENTENCES, LABELS)),
    "fastText": (formats.FASTTEXT, lines("__label__{} {}", LABELS, SENTENCES)),
    "conll": (formats.CONLL, conll("\t")),
    "conll by spaces": (formats.CONLL, conll(" ")),
    "conll of four columns": (formats.CONLL, conll(" NN x ")),
    "conllu": (formats.CONLL, CONLLU),
    "transcripts": (formats.TRANSCRIPTS, lines("{n}.wav\t{}", SENTENCES)),
    "numbers": (formats.NUMBERS, "".join(f"{i}\t{i * 1.5}\n" for i in range(30))),
    "series": (formats.CSV, "".join(f"2020-01-{i:02d},{i}\n" for i in range(1, 30))),
    "series of days": (
        formats.CSV,
        "time,a,b\n" + "".join(f"2020-01-01 {i:02d}:00,{i},7\n" for i in range(24)),
    ),
    "poems": (formats.POEMS, lines("Title {n}:{}", FRENCH)),
    "chinese poems": (formats.POEMS, lines("月{n}:青山映白水，孤月照寒林。{}", FRENCH)),
    "json lines": (
        formats.JSON,
        "".join(json.dumps({"title": s, "text": s}) + "\n" for s in SENTENCES),
    ),
    "json": (formats.JSON, json.dumps([{"title": s} for s in SENTENCES], indent=1)),
    "json array": (formats.JSON, json.dumps([{"title": s} for s in SENTENCES])),
    "html": (formats.MARKUP, lines("<p>{}: a</p>", SENTENCES)),
    "xml": (formats.MARKUP, '<?xml version="1.0"?>\n' + lines("<a>{}</a>", SENTENCES)),
    "subtitles": (formats.SUBTITLES, SUBTITLES),
    "whatsapp": (formats.LOG, lines("[12/03/21, 14:{n:02d}:07] {}: {}", NAMES, FRENCH)),
    "signal": (formats.LOG, lines("2021-03-12 14:{n:02d} - {}: {}", NAMES, FRENCH)),
    "irc": (formats.LOG, lines("14:{n:02d} <{}> {}", NAMES, SENTENCES)),
    "slack": (formats.LOG, lines("[2:{n:02d} PM] {}: {}", NAMES, SENTENCES)),
    "server log": (formats.LOG, lines("2021-03-12T14:{n:02d}:00Z INFO: {}", FRENCH)),
    "chat": (formats.CHAT, lines("{}: {}", NAMES, SENTENCES)),
    "chat in brackets": (formats.CHAT, lines("<{}> {}", NAMES, SENTENCES)),
}
PROSE = "It was late.\nWe went home: the old cat, red and tired, slept.\nGood night.\n"


def read_conll(path):
    return tagged.load_files([path])


def read_transcripts(path):
    return transcripts.parse_transcripts(read_text(path), path)


READERS = {  # the reader, and the files that it takes
    "pairs": (parallel.load_tsv, {"pairs", "pairs with more"}),
    "documents": (labeled.read_file, {"documents"}),
    "conll": (
        read_conll,
        {"conll", "conll by spaces", "conll of four columns", "conllu"},
    ),
    "poems": (poems.read, {"poems", "chinese poems"}),
    "transcripts": (read_transcripts, {"transcripts"}),
}


@pytest.mark.parametrize("name", FILES)
def test_formats_are_recognized(name):
    kind, text = FILES[name]
    assert describe_format(text) == kind
    assert describe_format(text.removesuffix("\n")) == kind
    assert describe_format(text * 3) == kind


@pytest.mark.parametrize("text", ["", "\n \n", PROSE, "a\n", "one word\n\nand more\n"])
def test_other_texts_have_no_format(text):
    assert describe_format(text) is None


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_names_the_other_formats(tmp_path, reader, name):
    read, own = READERS[reader]
    kind, text = FILES[name]
    path = tmp_path / "file"
    path.write_text(text, encoding="utf-8")
    if name in own or (reader, kind) == ("conll", formats.POEMS):  # lines in columns
        try:
            read(path)
        except DataError as error:  # too few for three parts
            assert " in its " in str(error)
        return
    with pytest.raises(DataError) as error:
        read(path)
    sentence = str(error.value)
    assert str(path) in sentence and "\n" not in sentence
    if (reader, kind) != ("documents", formats.CSV):  # which is a form of them
        assert f"looks like {kind.partition(' (')[0]}" in sentence


@pytest.mark.parametrize("reader", READERS)
def test_prose_is_refused_by_its_first_line(tmp_path, reader):
    path = tmp_path / "file"
    path.write_text(PROSE)
    with pytest.raises(DataError, match=r"file, line [12]") as error:
        READERS[reader][0](path)
    assert "looks like" not in str(error.value)


def test_files_of_sentences_are_not_of_pairs(tmp_path):
    for name in ("pairs", "documents", "transcripts"):
        path = tmp_path / "file"
        path.write_text(FILES[name][1])
        with pytest.raises(DataError, match="where sentences \\(one on each line\\)"):
            parallel.load_split(path, path)


ACCEPTED = {  # files that resemble another format
    "one title": ("poems", lines("無題:青山映白水，孤月照寒林。{}", FRENCH)),
    "poets": ("poems", lines("{}:青山映白水，孤月照寒林。{}", NAMES, FRENCH)),
    "dates as titles": ("poems", lines("2021-03-{n}:a b, c d.{}", FRENCH)),
    "repeated sources": ("pairs", lines("go\t{n} {}", FRENCH[:9]) + FILES["pairs"][1]),
    "reversed digits": ("pairs", "".join(f"{i}\t{str(i)[::-1]}\n" for i in range(400))),
    "long labels": ("documents", lines("very {} one\t{}", LABELS, SENTENCES)),
    "few documents": ("documents", "a\tx\nb\ty\n"),
    "many intents": (
        "documents",
        "".join(f"intent_{i % 90}\tplease do {i}\n" for i in range(400)),
    ),
    "word labels": ("documents", lines("{}\tgood", LABELS)),
    "vertical text": ("conll", "<s>\tO\n" + conll("\t") + "\n</s>\tO\n"),
    "many tags": ("conll", "".join(f"w{i}\tcase={i}\n\n" for i in range(400))),
    "numbers as words": ("conll", "".join(f"{i}.5 NUM\n\n" for i in range(400))),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_resembles_another_format_is_read(tmp_path, name):
    reader, text = ACCEPTED[name]
    path = tmp_path / "file"
    path.write_text(text, encoding="utf-8")
    try:
        READERS[reader][0](path)
    except DataError as error:
        assert " in its " in str(error)  # too few for three parts


def test_a_file_without_empty_lines_is_named(tmp_path):
    path = tmp_path / "file"
    path.write_text("".join(f"w{i}\tO\n" for i in range(200)))
    with pytest.raises(DataError, match="holds a single sentence of 200 tokens; empty"):
        read_conll(path)


def test_a_recording_is_no_text(tmp_path):
    path = tmp_path / "a.wav"
    write_wav(path, np.linspace(-1, 0.9, 4000))
    for read, _ in READERS.values():
        with pytest.raises(DataError, match=r"a\.wav is a wav recording; UTF-8 text"):
            read(path)
