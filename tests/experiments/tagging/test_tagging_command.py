"""The tagging command end to end, in small."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from seqjax.data.buckets import Bucket
from seqjax.data.tagged import Sentence, conll_lines, parse
from tests.commands import Command, files, refused, returned, summary

ROOT = Path(__file__).parent.parent
SCORES = ("f1", "precision", "recall", "accuracy", "ambiguous_accuracy")
SUMMARY_KEYS = {
    *(f"{part}_{name}" for part in ("valid", "test", "baseline") for name in SCORES),
    *("best_step", "parameters", "seconds", "tokens_per_second", "dataset_sha256"),
}
SMALL = (
    *("--hidden_size=8", "--embed_size=8", "--epochs=2", "--dropout=0", "--cell=rnn"),
    *("--log_every=5", "--checkpoint_every=10", "--learning_rate=0.03"),
)
LONGER = ("--epochs=8", "--log_every=50")
PLAIN = ("--head=softmax", "--nobidirectional")  # compiled in less time
PIECES = [
    (["in", "*"], ["O", "B-place"]),
    (["in", "*", "city"], ["O", "B-place", "I-place"]),
    (["mister", "*"], ["O", "B-person"]),
    (["we", "saw"], ["O", "O"]),
]
NAMES = ("kiev", "rome", "paris", "tokyo")  # a person or a place by the word before


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    command = Command("experiments.tagging", tmp_path_factory.mktemp("xla"))
    yield command
    command.close()


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
    """--train_file and its like."""
    folder = tmp_path_factory.mktemp("data")
    parts = {"train": 300, "valid": 60, "test": 60}
    return tuple(
        f"--{part}_file={write_sentences(folder / part, number, seed)}"
        for seed, (part, number) in enumerate(parts.items())
    )


@pytest.fixture(scope="module")
def trained(command, files_of, tmp_path_factory):
    """(workdir, what training printed); not to be changed."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    result = command(*files_of, f"--workdir={workdir}", *SMALL, *LONGER)
    assert result.code == 0, result.err
    return workdir, result.out


TRAINING = [
    Sentence(["The", "sea", "the", "sea"], ["O", "B-x", "O", "O"]),
    Sentence(["sea", "THE"], ["O", "O"]),
    Sentence(["a", "lake"], ["O", "B-x"]),
    Sentence(["lake", "lake"], ["B-y", "B-y"]),
]


def without_context():
    from experiments import taggers

    baseline = taggers.without_context(TRAINING)
    return baseline([Sentence(["lake", "sea", "new"], []), Sentence(["a"], [])])


def test_the_baseline_gives_a_word_the_tag_it_mostly_has(command):
    """The sea is B-x first, but O twice; a lake B-x first, but B-y twice; 6 of 10 O."""
    found = returned(command(call=without_context))
    assert found == [["B-y", "O", "O"], ["O"]]


def read_words():
    from experiments import taggers

    vocabs = taggers.train_vocabs(TRAINING)
    sentences = taggers.Sentences([["tHe", "SEA", "The"]], vocabs, with_letters=True)
    read = sentences.batch(Bucket(3, np.array([0])))
    return (
        vocabs.words.to_tokens(read.words[:, 0]),
        "".join(vocabs.letters.to_tokens(read.chars[:3, 0, 0])),
    )


def test_lowercase_is_of_words_and_not_of_letters(command):
    assert returned(command(call=read_words)) == (["<unk>", "<unk>", "The"], "tHe")
    found = returned(command("--lowercase", call=read_words))
    assert found == (["the", "sea", "the"], "tHe")


def is_constrained(train):
    from experiments import taggers, tagging

    return tagging.build_model(taggers.train_vocabs(train)).constrained


def test_tags_are_constrained_where_training_keeps_to_bio(command):
    for flags, tags, constrained in (
        ((), ["B-x", "I-x"], True),
        (("--noconstrain",), ["B-x", "I-x"], False),
        ((), ["O", "I-x"], False),
        ((), ["B-x", "I-y"], False),
        ((), ["B", "I"], True),
        ((), ["O", "I"], False),  # or it could not be predicted
        ((), ["NOUN", "I"], False),
    ):
        call = partial(is_constrained, [Sentence(["a", "b"], tags)])
        assert returned(command(*flags, call=call)) is constrained
    call = partial(is_constrained, [Sentence(["a"], ["NOUN"])])
    refused(command("--outside_bias=1", call=call), "--outside_bias needs the tag O")


def have_spans(tag_sets):
    from experiments import taggers

    return [taggers.Vocabs(None, None, tags, True).has_spans for tags in tag_sets]


def test_spans_are_of_b_and_i_typed_or_not(command):
    yes = [["B-x", "I-x", "O"], ["B", "I", "O"], ["I-x", "O"], ["B"]]
    no = [["O"], [], ["I", "O"], ["B", "NOUN"], ["B-x", "S-x"], ["IN", "O"]]
    found = returned(command(call=partial(have_spans, yes + no)))
    assert found == [True] * len(yes) + [False] * len(no)


def use(command, trained, mode, *more, stdin=b""):
    return command(f"--mode={mode}", f"--workdir={trained[0]}", *more, stdin=stdin)


def lines(workdir):
    text = (workdir / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_train_writes_everything_it_promises_and_has_learnt(trained):
    workdir, out = trained
    found = summary(workdir)
    assert set(found) == SUMMARY_KEYS
    assert {p.name for p in workdir.iterdir()} == {
        *("flags.txt", "metrics.jsonl", "summary.json", "checkpoints", "vocab.json"),
        "learning_curve.png",
    }
    assert found["test_f1"] == found["test_ambiguous_accuracy"] == 1
    assert 0.2 < found["baseline_ambiguous_accuracy"] < 0.8
    assert found["baseline_f1"] < found["baseline_accuracy"] < 1
    for text in ("f1 of person", "f1 of place", "accuracy on", "words without context"):
        assert text in out


def test_evaluate_finds_the_numbers_of_training(command, trained):
    before = files(trained[0])
    result = use(command, trained, "evaluate")
    assert result.code == 0, result.err
    table = result.out.partition("files:")[0]
    assert table.strip() in trained[1]
    assert files(trained[0]) == before


def test_tag_writes_conll(command, trained, tmp_path):
    text = "we saw mister rome\n\n  in  rome city \nmister zebra" + " we saw" * 2
    result = use(command, trained, "tag", stdin=text.encode())
    assert (result.code, result.err) == (0, "")
    first, second, third = parse(result.out, "out")
    assert first == (["we", "saw", "mister", "rome"], ["O", "O", "O", "B-person"])
    assert second == (["in", "rome", "city"], ["O", "B-place", "I-place"])
    assert third.tokens == text.splitlines()[3].split()
    assert "rome\tB-person\n\n\nin\t" in result.out  # an empty line stays a sentence
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text(text)
    flags = (f"--input={source}", f"--output={target}")
    assert use(command, trained, "tag", *flags).out == ""
    assert target.read_text() == result.out
    assert use(command, trained, "tag", stdin=b"").out == ""


def test_tags_do_not_depend_on_the_batch(command, trained):
    text = b"in rome\nmister rome in paris city\nwe\n"
    results = [
        use(command, trained, "tag", f"--batch_size={n}", stdin=text) for n in (1, 32)
    ]
    assert results[0] == results[1] and results[0].code == 0


def test_a_run_may_be_older_than_a_flag_and_tag_without_constraints(
    command, trained, tmp_path
):
    """What flags.txt does not have was as it is by default."""
    workdir = tmp_path / "run"
    shutil.copytree(trained[0], workdir)
    stored = (workdir / "flags.txt").read_text().splitlines()
    older = [t for t in stored if not t.startswith(("--char_emb", "--learning_rate"))]
    assert len(older) == len(stored) - 2
    (workdir / "flags.txt").write_text("\n".join(older))
    for more in ((), ("--noconstrain",)):
        result = use(command, (workdir,), "tag", *more, stdin=b"in rome\n")
        assert result.code == 0, result.err
    result = use(command, (workdir,), "tag", "--char_embed_size=7", stdin=b"in rome\n")
    refused(result, "--char_embed_size (not set there, 7 here)")


def test_a_bias_against_outside_finds_more_spans(command, trained):
    text, found = b"in rome mister rome\n", {}
    for bias in (-1000, 0, 1000):
        result = use(command, trained, "tag", f"--outside_bias={bias}", stdin=text)
        (sentence,) = parse(result.out, "out")
        found[bias] = sentence.tags
    assert found[-1000] == ["O"] * 4
    assert "O" in found[0] and found[0] != found[-1000]
    assert "O" not in found[1000]


def test_words_on_their_own_and_letters(command, files_of, tmp_path):
    more = ("--head=softmax", "--char_size=6", "--char_embed_size=4", "--lowercase")
    more = (*more, "--word_dropout=0.2", "--locked_dropout", "--dropout=0.1")
    workdir = tmp_path / "run"
    result = command(*files_of, f"--workdir={workdir}", *SMALL, *more)
    assert result.code == 0, result.err
    assert set(summary(workdir)) == SUMMARY_KEYS
    tagged = use(command, (workdir,), "tag", stdin=b"In Rome\n" + b"x" * 99 + b"\n")
    assert [s.tokens for s in parse(tagged.out, "out")] == [["In", "Rome"], ["x" * 99]]


def test_tags_that_are_no_spans_go_by_accuracy(command, tmp_path):
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
    assert any("valid_accuracy" in line for line in lines(workdir))


def test_resumed_is_uninterrupted_bit_for_bit(command, files_of, tmp_path):
    options = (*files_of, *SMALL, *PLAIN, "--schedule=constant", "--dropout=0.3")
    for name, epochs in (("whole", (2,)), ("parts", (1, 2))):
        for number in epochs:
            flags = (f"--workdir={tmp_path / name}", f"--epochs={number}")
            assert command(*options, *flags).code == 0
    whole, parts = (
        [{k: v for k, v in m.items() if "second" not in k} for m in lines(folder)]
        for folder in (tmp_path / "whole", tmp_path / "parts")
    )
    assert whole == parts
    for key in SUMMARY_KEYS - {"seconds", "tokens_per_second"}:
        assert summary(tmp_path / "whole")[key] == summary(tmp_path / "parts")[key]


def corpus_and_vocab():
    from experiments import taggers

    corpus = taggers.load_corpus()
    vocabs = taggers.train_vocabs(corpus.train)
    return *map(len, corpus[1:4]), vocabs.tags, vocabs.words.tokens


def test_what_validates_is_trained_on_if_asked(command, files_of, tmp_path):
    (tmp_path / "valid").write_text("near O\noslo B-town\n")
    where = f"--workdir={tmp_path / 'run'}"
    options = (files_of[0], f"--valid_file={tmp_path / 'valid'}", files_of[2], where)
    refused(command(*options), "the valid part has the tag 'B-town'")
    more = ("--train_on_valid", "--checkpoint=last")
    *sizes, tags, words = returned(command(*options, *more, call=corpus_and_vocab))
    assert sizes == [301, 1, 60]
    assert "B-town" in tags and {"near", "oslo"} <= set(words)
    for choice in ("--checkpoint=best", "--patience=1", "--schedule=plateau"):
        result = command(*options, *more, choice)
        refused(result, "nothing is held out to choose by")
    assert not (tmp_path / "run").exists()

    trained = command(*options, *SMALL, *PLAIN, *more)
    table, _, _ = command("--mode=evaluate", where).out.partition("files:")
    assert "valid (trained on)" in table and table in trained.out
    for mode in ("evaluate", "tag"):
        result = command(f"--mode={mode}", where, "--checkpoint=best", stdin=b"oslo\n")
        refused(result, "nothing is held out to choose by")
    result = command("--mode=tag", where, stdin=b"oslo\n")
    assert [s.tokens for s in parse(result.out, "out")] == [["oslo"]]


def test_patience_ends_the_run_and_the_best_is_by_f1(command, files_of, tmp_path):
    more = ("--patience=2", "--epochs=50", "--learning_rate=0", "--schedule=constant")
    more = (*more, *PLAIN)
    assert command(*files_of, f"--workdir={tmp_path}/run", *SMALL, *more).code == 0
    found = [m for m in lines(tmp_path / "run") if "valid_f1" in m]
    assert len(found) == 3
    assert summary(tmp_path / "run")["best_step"] == found[0]["step"]


def test_another_run_in_the_workdir_is_refused_and_left_alone(
    command, trained, files_of, tmp_path
):
    before = files(trained[0])
    flags = (f"--workdir={trained[0]}", *SMALL, *LONGER)
    result = command(*files_of, *flags, "--head=softmax")
    refused(result, "--head (crf there, softmax here)")
    other = f"--test_file={write_sentences(tmp_path / 'other', 61, 9)}"
    refused(command(*files_of[:2], other, *flags), "holds a run on other data")
    assert files(trained[0]) == before


BAD_FILES = {  # of the test part: what it holds, and the sentence
    "unseen tag": (b"in O\n\nkiev B-planet\n", "'B-planet' in its sentence 2"),
    "ragged": (b"in O\nkiev\n", "test, line 2 has 1 columns, the lines before have 2"),
    "empty": (b"", "test is empty"),
    "no sentence": (b"-DOCSTART- O\n\n", "test holds no sentence"),
    "encoding": (b"in O\nki\xe9v O\n", "test is not UTF-8: byte 0xe9 at byte offset 7"),
}


@pytest.mark.parametrize(("content", "sentence"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_files_are_named_and_nothing_is_written(
    command, files_of, tmp_path, content, sentence
):
    (tmp_path / "test").write_bytes(content)
    flags = (f"--test_file={tmp_path / 'test'}", f"--workdir={tmp_path / 'run'}")
    refused(command(*files_of[:2], *flags, *SMALL), sentence)
    assert not (tmp_path / "run").exists()


def test_bad_flags_are_named(command, trained, files_of, tmp_path):
    where = f"--workdir={tmp_path / 'run'}"
    for flags, sentence in (
        (files_of[:2], "--train_file stands alone or with both"),
        (files_of[1:], "--train_file stands alone or with both"),
        (("--tag_column=2",), "need a --train_file"),
        ((*files_of, "--tag_column=2"), "train, line 1 has 2 columns, so none at 2"),
        (("--dataset=wnut",), "did you mean wnut17"),
        (("--train_file=/none",), "/none does not exist"),
        (("--mode=tag",), "holds no run"),
        (("--mode=evaluate",), "holds no run"),
    ):
        refused(command(*flags, where), sentence)
    assert not (tmp_path / "run").exists()
    bad = use(command, trained, "tag", stdin=b"in \xff\n")
    refused(bad, "standard input is not UTF-8: byte 0xff at byte offset 3")


def test_the_flags_of_the_recipe_go_together(command, tmp_path):
    recipe = ROOT / "experiments" / "recipes" / "wnut17.flags"
    flags = (f"--flagfile={recipe}", "--mode=evaluate", f"--workdir={tmp_path / 'no'}")
    refused(command(*flags), "holds no run")
