"""The classification command end to end, in small."""

import io
import shutil
from collections import Counter
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from experiments.classification import Config, bag_of_words
from experiments.classification import classify as classify_from_python
from experiments.classification import train as train_from_python
from experiments.classification.__main__ import main
from experiments.classification.bag_of_words import BagOfWords
from experiments.classification.config import DataConfig
from experiments.classification.data import (
    DocumentEncoder,
    EncodedSplit,
    note_unread,
)
from experiments.classification.evaluate import print_errors
from experiments.classification.figures import (
    DocumentWeights,
    draw_attention,
    draw_confusion,
)
from experiments.classification.model import build_model
from experiments.classification.modes import load, open_workdir
from seqjax.data.labeled import LabeledSplit
from seqjax.data.tokenizers import WordTokenizer
from tests.commands import files, metrics, refused, run, summary
from tests.html_page import Page

command = partial(run, main)

ROOT = Path(__file__).parents[3]
SUMMARY_KEYS = {
    *("test_accuracy", "test_macro_f1", "test_perplexity"),
    *("valid_accuracy", "valid_macro_f1", "valid_perplexity"),
    *("naive_bayes_test_accuracy", "majority_test_accuracy"),
    *("parameters", "seconds", "documents_per_second", "dataset_sha256", "best_step"),
}
SMALL = (
    *("--hidden_size=8", "--embed_size=8", "--batch_size=25", "--epochs=2"),
    *("--log_every=4", "--checkpoint_every=1000", "--nobidirectional", "--dropout=0"),
    "--schedule=constant",
)
LEARN = ("--epochs=30", "--eval_every=6", "--learning_rate=0.03", "--patience=0")


def write_documents(path, number=250):
    """Three letters; the first one decides the label, so that order matters."""
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(number):
        letters = rng.permutation(list("abcde"))[:3]
        label = "vowel" if letters[0] in "ae" else "other"
        lines.append(f"{label}\t{' '.join(letters)} {rng.integers(10)}\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_documents(tmp_path_factory.mktemp("data") / "own.tsv")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder for a run that several tests use."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def trained(as_a_user, corpus, runs):
    """(workdir, what training printed); not to be changed."""
    workdir, printed = runs / "trained", runs / "trained.txt"
    if not printed.exists():
        result = train(corpus, workdir, *LEARN)
        assert result.code == 0, result.err
        printed.write_text(result.out, encoding="utf-8")
    return workdir, printed.read_text(encoding="utf-8")


def train(corpus, workdir, *more):
    return command(f"--corpus={corpus}", f"--workdir={workdir}", *SMALL, *more)


def use(trained, mode, *more, stdin=b""):
    return command(f"--mode={mode}", f"--workdir={trained[0]}", *more, stdin=stdin)


def labels_of(texts):
    return ["vowel" if text[0] in "ae" else "other" for text in texts]


def test_train_writes_all_files_and_learns(trained):
    workdir, out = trained
    numbers = summary(workdir)
    assert set(numbers) == SUMMARY_KEYS
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
        *("learning_curve.png", "confusion.png", "attention.png", "naive_bayes.npz"),
    }
    assert numbers["test_accuracy"] > 0.9 > numbers["naive_bayes_test_accuracy"]
    for name in ("confusion", "attention"):
        assert (workdir / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    page = Page((workdir / "report.html").read_text("utf-8"))
    for words in ("test macro F1", "accuracy (naive Bayes)", "label vowel", "a["):
        assert words in out and words in page.shown
    assert len(page.sources) == 3 and "confusion" in page.shown


def test_classify_writes_a_label_per_line(trained, tmp_path):
    texts = ["a d c 1", "", "d e a b 3", "c a e", "   ", "unheard of", "e b d 2"]
    stdin = "".join(f"{text}\n" for text in texts).encode()
    result = use(trained, "classify", stdin=stdin)
    assert result.code == 0, result.err
    rows = [line.split("\t") for line in result.out.splitlines()]
    assert len(rows) == len(texts)
    labels, probabilities = zip(*rows, strict=True)
    known = [i for i, text in enumerate(texts) if text.strip() and "un" not in text]
    assert [labels[i] for i in known] == labels_of(texts[i] for i in known)
    assert all(0.5 <= float(p) <= 1 for p in probabilities)
    assert rows[1] == rows[4]  # without tokens the bias decides
    assert "2 of 18 tokens are unknown" in result.err
    alone = use(trained, "classify", stdin=b"d e a b 3\n").out
    assert alone == "\t".join(rows[2]) + "\n"  # independent of the batch
    path, found = tmp_path / "in.txt", tmp_path / "out.txt"
    path.write_bytes(stdin)
    result = use(trained, "classify", f"--input={path}", f"--output={found}")
    assert result.out == "" and found.read_text().splitlines() == [
        "\t".join(row) for row in rows
    ]
    assert use(trained, "classify").out == ""


def test_evaluate_finds_the_numbers_of_training(trained, tmp_path):
    before = files(trained[0])
    result = use(trained, "evaluate")
    assert result.code == 0, result.err
    assert f"{summary(trained[0])['test_accuracy']:.2%}" in result.out
    assert f"{summary(trained[0])['test_macro_f1']:.4f}" in result.out
    own = tmp_path / "own.tsv"
    own.write_text("vowel\ta c d 1\nother\td a 1\nvowel\td b c 2\n")
    result = use(trained, "evaluate", f"--input={own}")
    # F1 of each: "other" 2 / 3, "vowel" 2 / 3.
    assert "66.67%" in result.out and "0.6667" in result.out
    assert "most confident errors, 1 of 1" in result.out and "d b c 2" in result.out
    assert files(trained[0]) == before


def test_figures_take_any_label(tmp_path):
    label = r"$\nothing$ $$"  # not a formula for matplotlib
    draw_confusion(tmp_path / "a.png", np.eye(2, dtype=int), [label, "b"])
    draw_attention(
        tmp_path / "b.png", [DocumentWeights(label, [label, "b"], [0.5, 0.5])]
    )
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.png"}


def test_the_most_confident_error_comes_first(trained, tmp_path):
    own = tmp_path / "own.tsv"
    own.write_text("other\ta c d 1\nother\te b c 1\nother\td a e 2\nvowel\tc\n")
    flags = (f"--input={own}", "--examples=2", "--batch_size=3")
    out = use(trained, "evaluate", *flags).out
    table = out[out.index("most confident errors, 2 of 3") :].splitlines()
    rows = [line.split() for line in table if "vowel" in line or "other" in line]
    assert len(rows) == 2
    assert float(rows[0][-1]) >= float(rows[1][-1]) > 0.5


def test_wide_documents_leave_the_other_columns_whole(capsys):
    split, names = LabeledSplit(["春" * 200], ["a" * 20]), ["a" * 20, "b" * 20]
    print_errors(split, np.log([[0.25, 0.75]]), names, examples=8)
    (row,) = (line for line in capsys.readouterr().out.splitlines() if "春" in line)
    assert row.split()[-3:] == ["a" * 20, "b" * 20, "0.7500"]
    # 140 columns minus 20 + 20 + 11 and the gaps; a character takes two.
    assert 35 <= row.count("春") <= 44 and "…" in row


def test_resumed_is_uninterrupted_bit_for_bit(corpus, tmp_path):
    options = ("--dropout=0.3", "--word_dropout=0.1", "--pooling=max")
    whole = train(corpus, tmp_path / "whole", *options, "--epochs=3")
    assert whole.code == 0, whole.err
    for epochs in (1, 3):
        parts = (*options, f"--epochs={epochs}")
        assert train(corpus, tmp_path / "parts", *parts).code == 0
    whole, parts = (
        [{k: v for k, v in m.items() if "second" not in k} for m in metrics(folder)]
        for folder in (tmp_path / "whole", tmp_path / "parts")
    )
    assert whole == parts
    for key in SUMMARY_KEYS - {"seconds", "documents_per_second"}:
        assert summary(tmp_path / "whole")[key] == summary(tmp_path / "parts")[key]


@pytest.mark.parametrize(
    "more",
    [
        ("--pooling=last", "--bidirectional", "--level=char", "--locked_dropout"),
        (
            *("--pooling=mean", "--num_layers=2", "--cell=lstm", "--criterion=loss"),
            *("--label_smoothing=0.1", "--max_length=2", "--noclean"),
        ),
    ],
    ids=lambda more: more[0].removeprefix("--"),
)
def test_every_choice_trains_and_classifies(corpus, tmp_path, more):
    more = (*more, "--dropout=0.2", "--epochs=1")
    result = train(corpus, tmp_path / "run", *more)
    assert result.code == 0, result.err
    if "--max_length=2" in more:
        assert "documents are cut to --max_length=2 tokens" in result.err
    result = use((tmp_path / "run",), "classify", stdin=b"a b\n\n")
    assert result.code == 0 and len(result.out.splitlines()) == 2


def make_encoder(**settings):
    tokenizer = WordTokenizer.train(["a b c"], "word", min_freq=1)
    return DocumentEncoder(tokenizer, ["x", "y"], DataConfig(**settings))


@pytest.mark.parametrize(("length", "cut"), [(1, 3), (2, 2), (3, 1), (4, 0)])
def test_a_document_of_the_maximum_length_is_not_cut(capsys, length, cut):
    """The documents have 2, 1, 3, 0 and 4 tokens, all known."""
    encoder, texts = (
        make_encoder(max_length=length),
        ["a b", "c", "b c a", "", "a a a a"],
    )
    note_unread(encoder, texts, encoder.encode(texts))
    note = f"{cut} documents are cut to --max_length={length} tokens.\n" if cut else ""
    assert capsys.readouterr().err == note


def test_the_model_has_the_rates_of_the_settings():
    def rates(**settings):
        model = build_model(Config.of(**settings).model, make_encoder())
        return model.dropout, model.locked, model.word_dropout

    found = rates(dropout=0.25, locked_dropout=True, word_dropout=0.125)
    assert found == (0.25, True, 0.125)
    assert rates(dropout=0.5) == (0.5, False, 0.0)


def test_cleaning_is_the_default_of_words_alone():
    found = [Config.of(level=level).data.clean for level in ("word", "char")]
    assert found == [True, False]
    assert Config.of(level="char", clean=True).data.clean


def test_folds_and_three_files(corpus, tmp_path):
    """Each fold has a test part of its own; three files are used as they are."""
    numbers = []
    for fold in (0, 1):
        more = ("--folds=4", f"--fold={fold}", "--epochs=1", "--examples=0")
        result = train(corpus, tmp_path / f"{fold}", *more)
        assert result.code == 0, result.err
        assert not (tmp_path / f"{fold}" / "attention.png").exists()
        numbers.append(summary(tmp_path / f"{fold}"))
    assert numbers[0]["dataset_sha256"] == numbers[1]["dataset_sha256"]
    assert numbers[0]["test_perplexity"] != numbers[1]["test_perplexity"]
    assert numbers[1]["valid_accuracy"] != numbers[0]["valid_accuracy"]
    other = train(corpus, tmp_path / "0", "--folds=4", "--fold=1")
    refused(other, "--fold (0 there, 1 here)")
    three = train(",".join([str(corpus)] * 3), tmp_path / "3", "--epochs=1")
    assert three.code == 0 and "250, 250, 250" in three.out


BAD_FLAGS = {
    "--pooling=min": "there are last, max, mean and attention",
    "--dataset=reviews": "did you mean movie_review",
    "--output=": "--output is empty",
    "--fold=3": "--fold splits the documents of a single file",
    "--split_seed=1 --corpus=a,b,c": "--split_seed splits the documents of a single",
    "--fold=10": "--fold=10 must be below --folds=10",
    "--cell=gruu": "did you mean gru",
    "--weight_decay=0.1": "--weight_decay needs --optimizer=adamw or sgd",
}


@pytest.mark.parametrize(("flag", "sentence"), BAD_FLAGS.items(), ids=BAD_FLAGS)
def test_bad_flags_are_named(tmp_path, flag, sentence):
    refused(command(*flag.split(), f"--workdir={tmp_path / 'run'}"), sentence)
    assert not (tmp_path / "run").exists()


BAD_FILES = {
    "a\tone\nno tab\n": "own.tsv, line 2: a label, a tab and a text were expected",
    "a\tone\nb\t  \n": "own.tsv, line 2: a label, a tab and a text were expected",
    "a\tone\na\ttwo\n": "own.tsv has nothing in its",
    "".join(f"a\t{i}\n" for i in range(99)): "has only the label 'a'",
    "": "is empty",
}


@pytest.mark.parametrize(("content", "sentence"), BAD_FILES.items())
def test_bad_files_are_named_and_nothing_is_written(tmp_path, content, sentence):
    (tmp_path / "own.tsv").write_text(content)
    refused(train(tmp_path / "own.tsv", tmp_path / "run"), sentence)
    assert not (tmp_path / "run").exists()


def test_bad_input_is_named(trained, tmp_path):
    refused(train(tmp_path / "no", tmp_path / "run"), "does not exist")
    bad = tmp_path / "bad.tsv"
    bad.write_bytes(b"vowel\ta \xff\n")
    refused(train(bad, tmp_path / "run"), "byte offset 8")
    refused(use(trained, "classify", f"--input={bad}"), "byte offset 8")
    bad.write_text("vowel\ta b\n\nconsonant\tb a\n")
    result = use(trained, "evaluate", f"--input={bad}")
    refused(
        result, "bad.tsv, line 3: the label 'consonant' does not occur in the training"
    )
    three = f"{trained[0].parent}/none.tsv,{bad},{bad}"
    refused(train(three, tmp_path / "run"), "none.tsv does not exist")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("mode", ["evaluate", "classify"])
def test_no_run_in_the_workdir_is_refused(tmp_path, mode):
    result = command(f"--mode={mode}", f"--workdir={tmp_path / 'none'}")
    refused(result, "holds no run")


def test_another_run_in_the_workdir_is_refused_and_left_alone(
    trained, corpus, tmp_path
):
    before = files(trained[0])
    refused(
        train(corpus, trained[0], *LEARN, "--pooling=max"),
        "--pooling (attention there, max here)",
    )
    other = write_documents(tmp_path / "other.tsv", number=260)
    result = train(other, trained[0], *LEARN)
    refused(result, "holds a run on other data")
    assert files(trained[0]) == before


@pytest.mark.parametrize("name", ["confusion.png", "attention.png"])
def test_figures_without_a_run_are_left_alone(tmp_path, name):
    (tmp_path / name).touch()
    refused(command(f"--workdir={tmp_path}"), f"holds {name} but no flags.txt")


def test_patience_ends_the_run(corpus, tmp_path):
    more = ("--patience=2", "--epochs=50", "--learning_rate=0")
    assert train(corpus, tmp_path / "run", *more).code == 0
    validations = [m for m in metrics(tmp_path / "run") if "valid_accuracy" in m]
    assert len(validations) == 3


def test_the_flags_of_the_recipe_go_together(tmp_path):
    recipe = ROOT / "experiments" / "recipes" / "movie_review.flags"
    flags = (f"--flagfile={recipe}", "--mode=evaluate")
    refused(command(*flags, f"--workdir={tmp_path / 'none'}"), "holds no run")


def test_commands_are_functions(corpus, tmp_path):
    """Two runs with different settings in one process; summaries are returned."""
    numbers = {}
    for pooling in ("max", "mean"):
        config = Config.of(
            corpus=[str(corpus)],
            workdir=str(tmp_path / pooling),
            pooling=pooling,
            hidden_size=8,
            epochs=1,
        )
        numbers[pooling] = train_from_python(config)
        assert numbers[pooling] == summary(tmp_path / pooling)
    assert numbers["max"]["test_perplexity"] != numbers["mean"]["test_perplexity"]
    lines = tmp_path / "lines.txt"
    lines.write_text("a b c\n")
    found = tmp_path / "found.txt"
    ((label, probability),) = classify_from_python(
        config.replace(input=str(lines), output=str(found))
    )
    assert found.read_text() == f"{label}\t{probability:.4f}\n"


def write_vectors(path, size=8, words="abcd"):
    """Vectors of some words; the letters' own numbers are their code points."""
    lines = [f"{word} {' '.join([str(ord(word))] * size)}\n" for word in words]
    path.write_text("".join(lines))
    return path


def embedding(workdir):
    """The embedding {word: row} of the last checkpoint."""
    config = Config.of_run(workdir, checkpoint="last")
    encoder, _, _, params = load(config, open_workdir(config, training=False))
    return dict(zip(encoder.tokenizer.vocab.tokens, params.embed, strict=True))


def test_training_starts_from_word_vectors(corpus, tmp_path):
    path = write_vectors(tmp_path / "glove.txt", size=6)
    more = (f"--vectors={path}", "--epochs=1", "--learning_rate=0")
    small = [flag for flag in SMALL if "embed_size" not in flag]
    flags = (f"--corpus={corpus}", f"--workdir={tmp_path / 'run'}", *small, *more)
    result = command(*flags)
    assert result.code == 0, result.err
    assert f"{path} has 4 of 15 words (26.7%)." in result.err
    rows = embedding(tmp_path / "run")
    for word in "abcd":
        np.testing.assert_array_equal(rows[word], [ord(word)] * 6)
    others = np.stack([row for word, row in rows.items() if word not in "abcd"])
    spread = np.std([ord(word) for word in "abcd"])
    assert 0.7 * spread < others.std() < 1.3 * spread
    path.unlink()  # a run that goes on needs them no more
    assert use((tmp_path / "run",), "evaluate").code == 0
    assert command(*flags, "--embed_size=6").code == 0


def test_vectors_that_do_not_fit_are_refused(corpus, tmp_path):
    path, run = write_vectors(tmp_path / "a.txt"), tmp_path / "run"
    refused(train(corpus, run, f"--vectors={path}", "--embed_size=9"), "have 8 numbers")
    refused(train(corpus, run, f"--vectors={tmp_path}/b"), "b does not exist; a file")
    path.write_text(path.read_text() + "e 1 2\n")
    refused(train(corpus, run, f"--vectors={path}"), "a.txt, line 5: a word and 8 num")
    assert not run.exists()


def test_pretraining_is_a_run_of_its_own_that_goes_on(corpus, tmp_path):
    """The classifier starts from its parameters, and from no others."""
    more = ("--pretrain_epochs=2", "--epochs=1", "--learning_rate=0.01")
    whole = train(corpus, tmp_path / "whole", *more)
    assert whole.code == 0 and "pretraining as a language model, 2 epochs" in whole.out
    found = [
        m["valid_perplexity"]
        for m in metrics(tmp_path / "whole" / "pretraining")
        if "valid_perplexity" in m
    ]
    assert len(found) == 2 and found[1] < found[0]
    shutil.copytree(tmp_path / "whole" / "pretraining", tmp_path / "parts/pretraining")
    shutil.copy(tmp_path / "whole" / "flags.txt", tmp_path / "parts")
    other = write_documents(tmp_path / "other.tsv", number=260)
    refused(train(other, tmp_path / "parts", *more), "holds a run on other data")
    parts = train(corpus, tmp_path / "parts", *more)  # stopped after the pretraining
    assert parts.code == 0, parts.err
    numbers = [summary(tmp_path / name) for name in ("whole", "parts")]
    plain = train(corpus, tmp_path / "plain", *more[1:])
    assert plain.code == 0, plain.err
    numbers.append(summary(tmp_path / "plain"))
    assert numbers[0]["test_perplexity"] == numbers[1]["test_perplexity"]
    assert numbers[0]["test_perplexity"] != numbers[2]["test_perplexity"]
    result = train(corpus, tmp_path / "whole", *more[1:])
    refused(result, "--pretrain_epochs (2 there, 0 here)")


def test_a_run_without_naive_bayes_in_its_flags_has_none(corpus, tmp_path):
    """It was started before there was such a setting."""
    flags = ("--learning_rate=0", "--naive_bayes=none", "--epochs=1")
    run = tmp_path / "run"
    assert train(corpus, run, *flags).code == 0
    path = run / "flags.txt"
    path.write_text(path.read_text().replace("--naive_bayes=none\n", ""))
    before = use((run,), "evaluate")
    assert before.code == 0, before.err
    assert f"{summary(run)['test_perplexity']:.4f}" in before.out
    more = [flag for flag in flags if "bayes" not in flag]
    refused(train(corpus, run, *more), "--naive_bayes (not set there, bigrams here)")
    assert use((run,), "evaluate").out == before.out
    assert train(corpus, run, *flags).code == 0


def test_documents_of_one_token_are_not_pretrained(tmp_path):
    (tmp_path / "own.tsv").write_text("".join(f"{i % 2}\tw{i}\n" for i in range(200)))
    result = train(tmp_path / "own.tsv", tmp_path / "run", "--pretrain_epochs=1")
    refused(result, "--pretrain_epochs needs documents of at least two tokens")


def test_layers_that_see_what_they_predict_are_not_pretrained(corpus, tmp_path):
    more = ("--pretrain_epochs=1", "--bidirectional", "--num_layers=2")
    refused(train(corpus, tmp_path / "run", *more), "use --num_layers=1 or --nobidir")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("counted", ["words", "bigrams"])
def test_naive_bayes_is_in_the_logits(tmp_path, counted):
    """Each training document by the counts of all others, new ones by all."""
    rng = np.random.default_rng(0)
    documents = [rng.integers(4, 19, rng.integers(0, 7)) for _ in range(60)]
    split = EncodedSplit(documents, rng.integers(0, 3, 60))
    bag, offsets = BagOfWords.train(split, 19, 3, counted == "bigrams")
    features = [
        [*words, *(pairwise(words) if counted == "bigrams" else ())]
        for words in (document.tolist() for document in documents)
    ]
    # A pair that one document has is unknown.
    found = Counter(f for document in features for f in set(document))
    known = sorted((f for f, n in found.items() if type(f) is int or n > 1), key=str)
    size = 19 + len({f for f in known if isinstance(f, tuple)})

    def scores(document, without):
        counts = np.ones((3, size))
        index_of = {f: f if isinstance(f, int) else None for f in known}
        pairs = [f for f in known if isinstance(f, tuple)]
        index_of |= {pair: 19 + i for i, pair in enumerate(pairs)}
        for i, other in enumerate(features):
            for feature in other if i != without else ():
                if feature in index_of:
                    counts[split.labels[i], index_of[feature]] += 1
        likelihood = np.log(counts / counts.sum(axis=1, keepdims=True))
        prior = np.log(np.bincount(split.labels) / 60)
        found = [likelihood[:, index_of[f]] for f in document if f in index_of]
        scored = bag.scale * (prior + sum(found, np.zeros(3)))
        return scored - scored.mean()

    for i in (0, 7, 30):
        np.testing.assert_allclose(offsets[i], scores(features[i], i), atol=1e-5)
    new = [np.array([8, 4, 4, 8, 5]), np.zeros(0, int)]
    new_features = [[8, 4, 4, 8, 5, (8, 4), (4, 4), (4, 8), (8, 5)], []]
    if counted == "words":
        new_features[0] = new_features[0][:5]
    for found, document in zip(bag.offsets(new), new_features, strict=True):
        np.testing.assert_allclose(found, scores(document, None), atol=1e-5)


def test_the_scale_of_naive_bayes_is_that_of_the_lowest_loss():
    """Labels that are independent of the words ask for no scale."""
    rng = np.random.default_rng(0)
    documents = [rng.integers(4, 9, 30) for _ in range(400)]
    noise = EncodedSplit(documents, rng.integers(0, 2, 400))
    assert BagOfWords.train(noise, 9, 2, False)[0].scale == bag_of_words.SCALES[0]
    told = [np.array([4 + label] * 3) for label in noise.labels]
    certain = EncodedSplit(told, noise.labels)
    assert BagOfWords.train(certain, 9, 2, False)[0].scale > 1


def test_damaged_counts_are_named(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained[0], run)
    whole = (run / "naive_bayes.npz").read_bytes()
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    flipped = bytes(255 - b if i % 50 == 0 else b for i, b in enumerate(whole))
    for content in (b"PK\x03\x04 no", b"", flipped, whole[:-9], array.getvalue()):
        (run / "naive_bayes.npz").write_bytes(content)
        result = use((run,), "classify", stdin=b"a\n")
        refused(result, "naive_bayes.npz is missing or damaged")
    (run / "naive_bayes.npz").unlink()
    refused(use((run,), "evaluate"), "naive_bayes.npz is missing or damaged")
