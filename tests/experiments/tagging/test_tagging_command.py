"""The tagging command end to end, in small."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from experiments.common.training_run import load_params
from experiments.tagging import Config
from experiments.tagging import evaluate as evaluate_from_python
from experiments.tagging import tag as tag_from_python
from experiments.tagging import train as train_from_python
from experiments.tagging.__main__ import main
from experiments.tagging.data import TaggingVocabs, load_corpus
from experiments.tagging.model import build_model
from experiments.tagging.modes import open_workdir
from seqjax.data.tagged import Sentence, conll_lines, parse
from seqjax.structured.bio import from_bio, to_bio
from tests.commands import files, metrics, refused, run, summary

command = partial(run, main)

ROOT = Path(__file__).parents[3]
SCORES = ("f1", "precision", "recall", "accuracy", "ambiguous_accuracy")
SUMMARY_KEYS = {
    *(f"{part}_{name}" for part in ("valid", "test", "baseline") for name in SCORES),
    *("best_step", "parameters", "seconds", "tokens_per_second", "dataset_sha256"),
}
SMALL = (
    *("--hidden_size=8", "--embed_size=8", "--epochs=2", "--dropout=0", "--cell=rnn"),
    *("--log_every=5", "--checkpoint_every=1000", "--learning_rate=0.03"),
)
LONGER = ("--epochs=8", "--eval_every=4", "--log_every=50")
PLAIN = ("--head=softmax", "--nobidirectional")  # compiles faster
PIECES = [
    (["in", "*"], ["O", "B-place"]),
    (["in", "*", "city"], ["O", "B-place", "I-place"]),
    (["mister", "*"], ["O", "B-person"]),
    (["we", "saw"], ["O", "O"]),
]
NAMES = ("kiev", "rome", "paris", "tokyo")  # the word before decides their tag


def write_sentences(path, number=300, seed=0):
    rng, sentences = np.random.default_rng(seed), []
    for _ in range(number):
        found = [PIECES[i] for i in rng.integers(0, 4, rng.integers(1, 3))]
        tokens = [
            str(rng.choice(NAMES)) if t == "*" else t for p, _ in found for t in p
        ]
        sentences.append(Sentence(tokens, [tag for _, tags in found for tag in tags]))
    path.write_text("".join(f"{line}\n" for line in conll_lines(sentences)))
    return path


@pytest.fixture(scope="module")
def files_of(tmp_path_factory):
    """The flags that name three files of sentences."""
    folder = tmp_path_factory.mktemp("data")
    parts = {"train": 300, "valid": 60, "test": 60}
    return tuple(
        f"--{part}_file={write_sentences(folder / part, number, seed)}"
        for seed, (part, number) in enumerate(parts.items())
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder for a run that several tests use."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def trained(as_a_user, files_of, runs):
    """(workdir, what training printed); not to be changed."""
    workdir, printed = runs / "trained", runs / "trained.txt"
    if not printed.exists():
        result = command(*files_of, f"--workdir={workdir}", *SMALL, *LONGER)
        assert result.code == 0, result.err
        printed.write_text(result.out, encoding="utf-8")
    return workdir, printed.read_text(encoding="utf-8")


def use(trained, mode, *more, stdin=b""):
    return command(f"--mode={mode}", f"--workdir={trained[0]}", *more, stdin=stdin)


def test_train_writes_all_files_and_learns(trained):
    workdir, out = trained
    found = summary(workdir)
    assert set(found) == SUMMARY_KEYS
    assert {p.name for p in workdir.iterdir()} == {
        *(
            "report.html",
            "flags.txt",
            "metrics.jsonl",
            "summary.json",
            "checkpoints",
            "vocab.json",
        ),
        "model",
        "learning_curve.png",
    }
    assert found["test_f1"] == found["test_ambiguous_accuracy"] == 1
    assert 0.2 < found["baseline_ambiguous_accuracy"] < 0.8
    assert found["baseline_f1"] < found["baseline_accuracy"] < 1
    for text in ("f1 of person", "f1 of place", "accuracy on", "(most frequent tag)"):
        assert text in out


def test_training_starts_from_word_vectors(files_of, tmp_path):
    path, run = tmp_path / "glove.txt", tmp_path / "run"
    path.write_text("rome 5 6 7\nmister 1 2 3\nunheard 1 1 1\n")
    small = [flag for flag in SMALL if "embed_size" not in flag]
    more = (f"--vectors={path}", *PLAIN, "--learning_rate=0", "--epochs=1")
    result = command(*files_of, f"--workdir={run}", *small, *more)
    assert result.code == 0, result.err
    assert f"{path} has 2 of 9 words (22.2%)." in result.err
    config = Config.of_run(run)
    workdir = open_workdir(config, training=False)
    vocabs = TaggingVocabs.read(workdir)
    model = build_model(config.model, config.decode, vocabs)
    embed = load_params(config, workdir, model).embed
    rows = embed[vocabs.encode_words(["rome", "mister"])]
    np.testing.assert_array_equal(rows, [[5, 6, 7], [1, 2, 3]])


def test_evaluate_finds_the_numbers_of_training(trained):
    before = files(trained[0])
    result = use(trained, "evaluate")
    assert result.code == 0, result.err
    table = result.out.partition("files:")[0]
    assert table.strip() in trained[1]
    assert files(trained[0]) == before


def test_tag_writes_conll(trained, tmp_path):
    text = "we saw mister rome\n\n  in  rome city \nmister zebra" + " we saw" * 2
    result = use(trained, "tag", stdin=text.encode())
    note = "1 of 13 tokens are unknown, read as <unk>: 'zebra'.\n"
    assert (result.code, result.err) == (0, note)
    first, second, third = parse(result.out, "out")
    assert first == (["we", "saw", "mister", "rome"], ["O", "O", "O", "B-person"])
    assert second == (["in", "rome", "city"], ["O", "B-place", "I-place"])
    assert third.tokens == text.splitlines()[3].split()
    assert "rome\tB-person\n\n\nin\t" in result.out  # an empty line stays a sentence
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text(text)
    flags = (f"--input={source}", f"--output={target}")
    assert use(trained, "tag", *flags).out == ""
    assert target.read_text() == result.out
    assert use(trained, "tag", stdin=b"").out == ""


def test_evaluate_scores_another_file(trained, files_of, tmp_path):
    workdir, _ = trained
    numbers, test = summary(workdir), Path(files_of[2].partition("=")[2])
    before = files(workdir)
    result = use(trained, "evaluate", f"--input={test}")
    assert (result.code, result.err) == (0, "")
    config = Config.of_run(workdir, input=test)
    scores = evaluate_from_python(config)
    names = [f"test_{name}" for name in SCORES[:-1]]
    assert scores == {name: numbers[name] for name in names}
    piped = use(trained, "evaluate", "--input=-", stdin=test.read_bytes())
    assert piped.out == result.out.replace(str(test), "standard input")
    assert "60 sentences" in piped.out and files(workdir) == before
    other = "x O in\nx B-place kiev\nx O and\nx B-planet mars\n"
    columns = ("--token_column=2", "--tag_column=1")
    result = use(trained, "evaluate", "--input=-", *columns, stdin=other.encode())
    assert result.err.splitlines() == [
        "2 of 4 tokens are unknown, read as <unk>: 'and' and 'mars'.",
        "no training sentence has the tags B-planet: never predicted.",
    ]
    assert "f1 of planet (1)" in result.out and result.code == 0
    bad = use(trained, "evaluate", "--input=-", stdin=b"in O\nkiev\n")
    refused(bad, "standard input, line 2 has 1 columns")


def test_one_flag_names_three_files(files_of, tmp_path):
    """As three flags do, and standard input may be one of them."""
    paths = [Path(flag.partition("=")[2]) for flag in files_of]
    given = Config.of(**dict(flag[2:].split("=") for flag in files_of)).data
    joined = Config.of(train_file=[str(path) for path in paths]).data
    want = load_corpus(given, None, False)
    assert load_corpus(joined, None, False) == want
    quick = (*SMALL, *PLAIN, "--epochs=1", f"--workdir={tmp_path / 'run'}")
    flags = f"--train_file={paths[0]},-,{paths[2]}"
    result = command(flags, *quick, stdin=paths[1].read_bytes())
    assert result.code == 0, result.err
    assert summary(tmp_path / "run")["dataset_sha256"] == want.sha256
    for flags, sentence in (
        (f"--train_file={paths[0]},{paths[1]}", "--train_file takes one file, or thr"),
        (f"--train_file={paths[0]},-,-", "--train_file: standard input (-) can be"),
    ):
        refused(command(flags, *quick), sentence)


def test_tags_do_not_depend_on_the_batch(trained):
    text = b"in rome\nmister rome in paris city\nwe\n"
    results = [use(trained, "tag", f"--batch_size={n}", stdin=text) for n in (1, 32)]
    assert results[0] == results[1] and results[0].code == 0


def test_a_run_may_be_older_than_a_flag_and_tag_without_constraints(trained, tmp_path):
    """A setting that flags.txt lacks had its default."""
    workdir = tmp_path / "run"
    shutil.copytree(trained[0], workdir)
    stored = (workdir / "flags.txt").read_text().splitlines()
    older = [t for t in stored if not t.startswith(("--char_emb", "--learning_rate"))]
    assert len(older) == len(stored) - 2
    (workdir / "flags.txt").write_text("\n".join(older))
    for more in ((), ("--noconstrain",)):
        result = use((workdir,), "tag", *more, stdin=b"in rome\n")
        assert result.code == 0, result.err
    result = use((workdir,), "tag", "--char_embed_size=7", stdin=b"in rome\n")
    refused(result, "--char_embed_size (not set there, 7 here)")


def test_a_bias_against_outside_finds_more_spans(trained):
    text, found = b"in rome mister rome\n", {}
    for bias in (-1000, 0, 1000):
        result = use(trained, "tag", f"--outside_bias={bias}", stdin=text)
        (sentence,) = parse(result.out, "out")
        found[bias] = sentence.tags
    assert found[-1000] == ["O"] * 4
    assert "O" in found[0] and found[0] != found[-1000]
    assert "O" not in found[1000]


def test_words_on_their_own_and_letters(files_of, tmp_path):
    more = ("--head=softmax", "--char_size=6", "--char_embed_size=4", "--lowercase")
    more = (*more, "--word_dropout=0.2", "--locked_dropout", "--dropout=0.1")
    workdir = tmp_path / "run"
    result = command(*files_of, f"--workdir={workdir}", *SMALL, *more)
    assert result.code == 0, result.err
    assert set(summary(workdir)) == SUMMARY_KEYS
    tagged = use((workdir,), "tag", stdin=b"In Rome\n" + b"x" * 99 + b"\n")
    assert [s.tokens for s in parse(tagged.out, "out")] == [["In", "Rome"], ["x" * 99]]


def test_tags_that_are_no_spans_go_by_accuracy(tmp_path):
    path = tmp_path / "pos.conllu"
    rng, text = np.random.default_rng(0), ""
    for number in range(150):
        words = [("can", ("AUX", "NOUN")[i]) for i in rng.integers(0, 2, 2)]
        rows = [(f"n{number}", "NUM"), words[0], ("the", "DET"), words[1]]
        text += "# text\n1-2\tx" + "\t_" * 8 + "\n"
        for i, (word, tag) in enumerate(rows, start=1):
            text += f"{i}\t{word}\t_\t{tag}" + "\t_" * 6 + "\n"
        text += "\n"
    path.write_text(text)
    workdir = tmp_path / "run"
    result = command(f"--train_file={path}", f"--workdir={workdir}", *SMALL, *PLAIN)
    assert result.code == 0, result.err
    assert not [key for key in summary(workdir) if "f1" in key]
    assert 0.5 < summary(workdir)["test_accuracy"] <= 1
    assert any("valid_accuracy" in line for line in metrics(workdir))


def test_resumed_is_uninterrupted_bit_for_bit(files_of, tmp_path):
    options = (*files_of, *SMALL, *PLAIN, "--schedule=constant", "--dropout=0.3")
    for name, epochs in (("whole", (2,)), ("parts", (1, 2))):
        for number in epochs:
            flags = (f"--workdir={tmp_path / name}", f"--epochs={number}")
            assert command(*options, *flags).code == 0
    whole, parts = (
        [{k: v for k, v in m.items() if "second" not in k} for m in metrics(folder)]
        for folder in (tmp_path / "whole", tmp_path / "parts")
    )
    assert whole == parts
    for key in SUMMARY_KEYS - {"seconds", "tokens_per_second"}:
        assert summary(tmp_path / "whole")[key] == summary(tmp_path / "parts")[key]


def test_train_on_valid(files_of, tmp_path):
    (tmp_path / "valid").write_text("near O\noslo B-town\n")
    where = f"--workdir={tmp_path / 'run'}"
    options = (files_of[0], f"--valid_file={tmp_path / 'valid'}", files_of[2], where)
    refused(command(*options), "the valid part has the tag 'B-town'")
    more = ("--train_on_valid", "--checkpoint=last")
    data = dict(option.removeprefix("--").split("=") for option in options[:3])
    config = Config.of(**data, train_on_valid=True, checkpoint="last")
    corpus = load_corpus(config.data, None, config.train.train_on_valid)
    assert [len(part) for part in corpus[1:4]] == [301, 1, 60]
    vocabs = TaggingVocabs.train(corpus.train, config.data)
    assert "B-town" in vocabs.tags and {"near", "oslo"} <= set(vocabs.words.tokens)
    for choice in ("--checkpoint=best", "--patience=1", "--schedule=plateau"):
        result = command(*options, *more, choice)
        refused(result, "no validation data are held out")
    assert not (tmp_path / "run").exists()

    trained = command(*options, *SMALL, *PLAIN, *more)
    table, _, _ = command("--mode=evaluate", where).out.partition("files:")
    assert "valid (trained on)" in table and table in trained.out
    for mode in ("evaluate", "tag"):
        result = command(f"--mode={mode}", where, "--checkpoint=best", stdin=b"oslo\n")
        refused(result, "no validation data are held out")
    result = command("--mode=tag", where, stdin=b"oslo\n")
    assert [s.tokens for s in parse(result.out, "out")] == [["oslo"]]


def test_patience_ends_the_run_and_the_best_is_by_f1(files_of, tmp_path):
    more = ("--patience=2", "--epochs=50", "--learning_rate=0", "--schedule=constant")
    more = (*more, *PLAIN)
    assert command(*files_of, f"--workdir={tmp_path}/run", *SMALL, *more).code == 0
    found = [m for m in metrics(tmp_path / "run") if "valid_f1" in m]
    assert len(found) == 3
    assert summary(tmp_path / "run")["best_step"] == found[0]["step"]


def test_another_run_in_the_workdir_is_refused_and_left_alone(
    trained, files_of, tmp_path
):
    before = files(trained[0])
    flags = (f"--workdir={trained[0]}", *SMALL, *LONGER)
    result = command(*files_of, *flags, "--head=softmax")
    refused(result, "--head (crf there, softmax here)")
    other = f"--test_file={write_sentences(tmp_path / 'other', 61, 9)}"
    sentence = "holds a run on other data than --train_file="
    refused(command(*files_of[:2], other, *flags), sentence)
    assert files(trained[0]) == before


def test_other_schemes_are_scored_as_bio_and_written_as_they_were(files_of, tmp_path):
    """The run is the same but for the checksum of the data."""
    flags = (*SMALL, *PLAIN, "--epochs=1")
    assert command(*files_of, f"--workdir={tmp_path / 'bio'}", *flags).code == 0
    options = []
    for option in files_of:
        flag, _, path = option.partition("=")
        sentences = parse(Path(path).read_text(encoding="utf-8"), path)
        bilou = [Sentence(s.tokens, from_bio(s.tags, "BILOU")) for s in sentences]
        file = tmp_path / Path(path).name
        file.write_text("\n".join(conll_lines(bilou)), encoding="utf-8")
        options.append(f"{flag}={file}")
    result = command(*options, f"--workdir={tmp_path / 'run'}", *flags)
    assert "spans in BILOU, scored as BIO" in result.out
    for key in SUMMARY_KEYS - {"seconds", "tokens_per_second", "dataset_sha256"}:
        assert summary(tmp_path / "run")[key] == summary(tmp_path / "bio")[key]
    where = (f"--workdir={tmp_path / 'run'}",)
    assert "spans in BILOU, scored as BIO" in command("--mode=evaluate", *where).out
    text = b"in rome city\nmister rome in paris\n"
    tagged, plain = (
        parse(command("--mode=tag", f"--workdir={folder}", stdin=text).out, "out")
        for folder in (tmp_path / "run", tmp_path / "bio")
    )
    for ours, bio in zip(tagged, plain, strict=True):
        assert ours.tags == from_bio(to_bio(bio.tags), "BILOU")


@pytest.mark.parametrize(
    ("tags", "sentence"),
    [
        (
            "O B-place E-place L-place",
            "train: the tags mix schemes of spans: no one of",
        ),
        ("O B-place X-place", "train: the tag X-place, beside B-person is of no known"),
    ],
)
def test_mixed_and_unknown_schemes_are_named(files_of, tmp_path, tags, sentence):
    train = tmp_path / "train"
    lines = [f"w {tag}" for tag in tags.split()]
    text = Path(files_of[0].partition("=")[2]).read_text(encoding="utf-8")
    train.write_text("\n".join(lines) + "\n\n" + text, encoding="utf-8")
    where = f"--workdir={tmp_path / 'run'}"
    refused(command(f"--train_file={train}", *files_of[1:], where), sentence)
    assert not (tmp_path / "run").exists()


BAD_FILES = {  # the content of the test part, and the sentence
    "unseen tag": (b"in O\n\nkiev B-planet\n", "the tag 'B-planet' in sentence 2"),
    "ragged": (b"in O\nkiev\n", "test, line 2 has 1 columns, the lines before have 2"),
    "empty": (b"", "test is empty"),
    "no sentence": (b"-DOCSTART- O\n\n", "test holds no sentence"),
    "encoding": (b"in O\nki\xe9v O\n", "test is not UTF-8: byte 0xe9 at byte offset 7"),
}


@pytest.mark.parametrize(("content", "sentence"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_files_are_named_and_nothing_is_written(
    files_of, tmp_path, content, sentence
):
    (tmp_path / "test").write_bytes(content)
    flags = (f"--test_file={tmp_path / 'test'}", f"--workdir={tmp_path / 'run'}")
    refused(command(*files_of[:2], *flags, *SMALL), sentence)
    assert not (tmp_path / "run").exists()


def test_bad_flags_are_named(trained, files_of, tmp_path):
    where = f"--workdir={tmp_path / 'run'}"
    for flags, sentence in (
        (files_of[:2], "--train_file is used alone or, with one file, with both"),
        (files_of[1:], "--train_file is used alone or, with one file, with both"),
        (("--tag_column=2",), "need --train_file"),
        (
            (*files_of, "--tag_column=2"),
            "train, line 1 has 2 columns; there is no column 2",
        ),
        (("--dataset=wnut",), "did you mean wnut17"),
        (("--train_file=/none",), "/none does not exist"),
        (("--mode=tag",), "holds no run"),
        (("--mode=evaluate",), "holds no run"),
    ):
        refused(command(*flags, where), sentence)
    assert not (tmp_path / "run").exists()
    bad = use(trained, "tag", stdin=b"in \xff\n")
    refused(bad, "standard input is not UTF-8: byte 0xff at byte offset 3")


def test_the_flags_of_the_recipe_go_together(tmp_path):
    recipe = ROOT / "experiments" / "recipes" / "wnut17.flags"
    flags = (f"--flagfile={recipe}", "--mode=evaluate", f"--workdir={tmp_path / 'no'}")
    refused(command(*flags), "holds no run")


def test_commands_are_functions(files_of, tmp_path):
    data = dict(option.removeprefix("--").split("=") for option in files_of)
    workdir = tmp_path / "run"
    sizes = {"hidden_size": 8, "embed_size": 8, "epochs": 1}
    config = Config.of(**data, **sizes, workdir=str(workdir))
    assert train_from_python(config) == summary(workdir)
    lines, found = tmp_path / "lines.txt", tmp_path / "found.txt"
    lines.write_text("in rome\n\nwe saw\n")
    tagged = tag_from_python(config.replace(input=str(lines), output=str(found)))
    assert [s.tokens for s in tagged] == [["in", "rome"], [], ["we", "saw"]]
    assert found.read_text().splitlines() == list(conll_lines(tagged))
