"""The poems command end to end, in small."""

import json
from functools import partial
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax import training
from seqjax.checkpoint import Checkpoints
from seqjax.data import poems
from seqjax.data.synthetic import verses
from seqjax.data.vocab import BOS, EOS, PAD, SENTENCE_TOKENS, UNK, Vocab
from seqjax.models.language_model import LanguageModel
from tests.commands import Command, refused, returned, summary

SMALL = ("--hidden_size=8", "--embed_size=6", "--batch_size=16", "--epochs=2")
QUICK = (
    *SMALL,
    "--learning_rate=0.03",
    "--samples=4",
    "--ngram_order=3",
    "--length=40",
    "--dropout=0",
)


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    command = Command("experiments.poems", tmp_path_factory.mktemp("xla"))
    yield command
    command.close()


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A file of 120 poems, one of them twice, one with a gap."""
    path = tmp_path_factory.mktemp("data") / "own.txt"
    lines = [f"{title}:{content}" for title, content in verses.write(5, 120)]
    path.write_text("\n".join([*lines, lines[0], "x:冰□已鏤津。"]) + "\n")
    return path


@pytest.fixture(scope="module")
def trained(command, own, tmp_path_factory):
    """(workdir, what training said); not to be changed."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    result = train(command, own, workdir, "--titles", "--clean")
    assert result.code == 0, result.err
    return workdir, result


def train(command, own, workdir, *more):
    return command(f"--corpus={own}", f"--workdir={workdir}", *QUICK, *more)


def generate(command, workdir, *more):
    result = command("--mode=generate", f"--workdir={workdir}", *more)
    assert result.code == 0, result.err
    return result.out.splitlines()


def test_train_writes_everything_it_promises(trained):
    workdir, result = trained
    assert {p.name for p in workdir.iterdir()} == {
        *("flags.txt", "metrics.jsonl", "summary.json", "vocab.json", "checkpoints"),
        "learning_curve.png",
    }
    numbers = summary(workdir)
    assert {
        *("test_perplexity", "valid_perplexity", "kneser_ney_perplexity"),
        *("below_kneser_ney", "valid_form", "novelty", "parameters", "seconds"),
        *("dataset_sha256", "sample"),
    } <= set(numbers)
    assert 0 <= numbers["valid_form"] <= 1
    assert "2 of 122 poems are left out" in result.err
    assert numbers["below_kneser_ney"] == pytest.approx(
        1 - numbers["test_perplexity"] / numbers["kneser_ney_perplexity"]
    )


def test_perplexity_is_of_the_poem_and_its_end_alone(trained, command, own):
    """Cross-entropy by hand, poem by poem."""
    workdir, _ = trained
    _, tokens = json.loads((workdir / "vocab.json").read_text())
    vocab = Vocab.from_list(tokens)
    model = LanguageModel(len(vocab), seqjax.GRU(8), 6)
    optimizer = training.make_optimizer("adam", lambda step: 0.1, clip_norm=1.0)
    key = jax.random.key(0)
    template = training.init_state(model.init(key), optimizer, None, key)
    params = Checkpoints(workdir / "checkpoints" / "best").restore(template)[0].params
    found, sha256 = poems.read(own)
    total = count = 0
    for title, content in poems.split("x", poems.clean(found), sha256).test:
        before = [BOS, *vocab.encode(title + ":")]
        tokens = np.array([*before, *vocab.encode(content), EOS])
        _, logits = model.apply(params, jnp.asarray(tokens[:-1]), model.initial_state())
        logs = jax.nn.log_softmax(logits)[np.arange(len(tokens) - 1), tokens[1:]]
        total -= float(logs[len(before) - 1 :].sum())
        count += len(content) + 1
    assert summary(workdir)["test_perplexity"] == pytest.approx(
        np.exp(total / count), rel=1e-5
    )


def test_a_run_that_was_stopped_ends_the_same(command, own, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    flags = ("--dropout=0.2", "--log_every=2", "--checkpoint_every=2")
    assert train(command, own, whole, *flags).code == 0
    assert train(command, own, parts, *flags).code == 0
    newest = max((parts / "checkpoints" / "last").iterdir(), key=lambda p: int(p.name))
    for folder in ("last", "best"):
        for path in (parts / "checkpoints" / folder).glob(newest.name):
            path.rename(tmp_path / f"{folder}-{path.name}")
    (parts / "summary.json").unlink()
    again = train(command, own, parts, *flags)
    assert again.code == 0 and "going on from step" in again.err
    a, b = summary(whole), summary(parts)
    for name in ("train_perplexity", "valid_perplexity", "test_perplexity", "sample"):
        assert a[name] == b[name]


def test_other_flags_are_refused(trained, command, own):
    result = train(command, own, trained[0], "--titles", "--clean", "--hidden_size=9")
    refused(result, "--hidden_size (8 there, 9 here)")


def test_evaluate_says_the_same_again(trained, command):
    workdir, _ = trained
    result = command("--mode=evaluate", f"--workdir={workdir}", "--batch_size=5")
    assert result.code == 0, result.err
    assert f"{summary(workdir)['test_perplexity']:.4f}" in result.out


def test_poems_are_written_as_asked(trained, command):
    workdir, _ = trained
    written = generate(command, workdir, "--number=3", "--seed=1")
    assert len(written) == 3 and all(len(poem) <= 40 for poem in written)
    assert written == generate(command, workdir, "--number=3", "--seed=1")
    assert written != generate(command, workdir, "--number=3", "--seed=2")
    for poem in generate(command, workdir, "--prompt=春江", "--number=2"):
        assert poem.startswith("春江")
    more = ("--acrostic=江山雪", "--length=200", "--number=2", "--temperature=0.5")
    for poem in generate(command, workdir, *more):
        starts = "".join(line[0] for line in poems.lines(poem))
        assert starts[:3] == "江山雪"
    (best,) = generate(command, workdir, "--beam_size=3")
    assert best == generate(command, workdir, "--beam_size=3", "--seed=9")[0]


def test_a_character_that_training_never_saw_is_named(trained, command):
    for flag in ("prompt", "acrostic", "title"):
        where = f"--workdir={trained[0]}"
        result = command("--mode=generate", where, f"--{flag}=春龘")
        refused(result, f"--{flag}: the model does not know 龘")


def test_a_title_is_heard(trained, command):
    workdir, _ = trained
    one, other = (
        generate(command, workdir, f"--title={title}", "--number=5")
        for title in ("春花", "冬雪")
    )
    assert one != other


def test_lengths_and_forms_can_be_chosen(command, own, tmp_path):
    flags = ("--num_lines=8", f"--workdir={tmp_path / 'a'}")
    refused(command(f"--corpus={own}", *flags, *QUICK), "no poem of")
    flags = ("--max_length=12", "--truncate", "--clean")
    result = train(command, own, tmp_path / "b", *flags)
    assert result.code == 0, result.err
    assert "2 of 122" in result.err


def contents():
    from experiments import verse_data

    verse_data.check_flags()
    corpus = verse_data.load_corpus()
    return [p.content for part in corpus[1:4] for p in part]


def test_poems_of_ones_own_are_taken_as_they_are(command, tmp_path):
    path = tmp_path / "own.txt"
    lines = [f"{i}:the {i * 'o'} said, and so." for i in range(150)]
    path.write_text("\n".join(lines) + "\n")
    result = command(f"--corpus={path}", call=contents)
    assert len(returned(result)) == 150 and not result.err
    refused(command(f"--corpus={path}", "--clean", call=contents), "--noclean keeps")
    repeated = returned(command(call=contents))
    assert len(set(repeated)) == len(repeated) > 1000


# ---------------------------------------------------------------- parts of it


def small_vocab(characters):
    """The characters from 4 on, in their order."""
    return Vocab(characters, reserved_tokens=SENTENCE_TOKENS)


def poems_of(*contents):
    return [poems.Poem("", content) for content in contents]


def encoded():
    from experiments import verse_data

    split, vocab = poems_of("ab", "abc", "abcd"), small_vocab("abcd")
    sequences = verse_data.encode(split, vocab)
    text = verse_data.one_text(split, vocab)
    return [s.tokens.tolist() for s in sequences], text.tolist()


def test_a_poem_that_is_cut_short_has_no_end(command):
    found, text = returned(command("--max_length=3", "--truncate", call=encoded))
    assert found == [[BOS, 4, 5, EOS], [BOS, 4, 5, 6, EOS], [BOS, 4, 5, 6]]
    assert text == [token for tokens in found for token in tokens]


def left(contents):
    from experiments import verse_data

    return [verse_data._fits(content) for content in contents]


FORMS = (  # lines x characters, and all characters
    "一二三，四五六。",  # 2 x 3, 8
    "一二三四五，六七八九十。",  # 2 x 5, 12
    "一二三四五，六七八九十。" * 2,  # 4 x 5, 24
    "一二三，四五六七。",  # of two lengths, 9
)


@pytest.mark.parametrize(
    ("flags", "which"),
    [
        ("", "1111"),
        ("--line_length=5", "0110"),
        ("--line_length=3", "1000"),
        ("--num_lines=2", "1100"),
        ("--num_lines=4 --line_length=3", "0000"),
        ("--min_length=9", "0111"),
        ("--min_length=10", "0110"),
        ("--max_length=12", "1101"),
        ("--max_length=11", "1001"),
        ("--max_length=11 --truncate", "1111"),
    ],
)
def test_flags_of_lengths_let_these_through(command, flags, which):
    found = returned(command(*flags.split(), call=partial(left, FORMS)))
    assert found == [digit == "1" for digit in which]


def ngram_perplexity():
    from experiments import poems as experiment

    corpus = SimpleNamespace(train=poems_of("aab"), test=poems_of("a", "b"))
    return experiment.ngram_perplexity(corpus, small_vocab("ab"))


def test_the_ngram_model_is_not_asked_for_beginnings(command):
    """bos a a b eos: with the fallback's discounts of 1/2 and 1 for one and two,
    half of all probability is shared by 6 tokens, so that a has 1/5 + 1/12, and b, eos
    and bos have 1/10 + 1/12 each. Asked for: a eos b eos."""
    want = (17 / 60 * (11 / 60) ** 3) ** (-1 / 4)
    found = returned(command("--ngram_order=1", call=ngram_perplexity))
    assert found == pytest.approx(want)


class Scripted(NamedTuple):
    """A model that would say one token always, and else these one after the other."""

    tokens: tuple
    vocab_size: int
    always: int = -1  # no token

    def initial_state(self, batch_shape):
        return jnp.zeros(batch_shape, jnp.int32)

    def apply(self, params, tokens, state):
        return state, None

    def step(self, params, state, token):
        then, always = jax.nn.one_hot(
            jnp.stack([jnp.asarray(self.tokens)[state], jnp.asarray(self.always)]),
            self.vocab_size,
        )
        return state + 1, 20 * then + 40 * always


def acrostics(text):
    from experiments import writing

    vocab = small_vocab(text)
    model = Scripted((*vocab.encode(text).tolist(), EOS), len(vocab))
    return writing.write(model, None, vocab, 1)


def test_an_acrostic_that_is_cut_says_so(command):
    call, flags = partial(acrostics, "ab，ab。"), ("--acrostic=bb", "--temperature=0")
    result = command(*flags, "--length=9", call=call)
    assert (returned(result), result.err) == (["bb，bb。"], "")
    result = command(*flags, "--length=3", call=call)
    assert returned(result) == ["bb，"]
    assert "1 of 1 poems are cut at --length=3." in result.err
    refused(command(*flags, call=partial(acrostics, "abba")), "--acrostic needs lines")
    assert returned(command("--acrostic=b", call=partial(acrostics, "ab"))) == ["bb"]


def written(always):
    from experiments import writing

    vocab = small_vocab("ab")
    model = Scripted((4, 5, 5, EOS), len(vocab), always)
    return writing.draw(model, None, vocab, [""]), writing.write(model, None, vocab, 1)


@pytest.mark.parametrize("token", [UNK, PAD, BOS])
def test_what_is_no_character_is_never_written(command, token):
    """Neither drawn, nor found by beam search."""
    flags = ("--beam_size=2", "--temperature=0", "--length=9")
    found = returned(command(*flags, call=partial(written, token)))
    assert found == ([("abb", True)], ["abb"])


POEM = "一二三四五，六七八九十。"


def judged():
    from experiments import poems as experiment

    vocab = small_vocab(POEM)
    model = Scripted((*vocab.encode(POEM * 2).tolist(), EOS), len(vocab))
    corpus = SimpleNamespace(train=poems_of(POEM * 2), valid=poems_of(POEM))
    return experiment.judge(model, None, vocab, corpus)


@pytest.mark.parametrize(
    ("flags", "valid", "length"),
    [
        ("--length=25", 1.0, 24),
        ("--length=24", 1.0, 24),
        ("--length=23", 0.0, 23),
        ("--length=12", 0.0, 12),  # it looks whole, but was not over
        ("--length=24 --line_length=5 --num_lines=4", 1.0, 24),
        ("--length=24 --line_length=7", 0.0, 24),
        ("--length=24 --num_lines=2", 0.0, 24),
    ],
)
def test_drawn_poems_are_valid_if_they_end_in_form(command, flags, valid, length):
    flags = (*flags.split(), "--samples=2", "--temperature=0")
    numbers = {"valid_form": valid, "novelty": 0.0}
    found = returned(command(*flags, call=judged))
    assert found == (numbers, [(POEM * 2)[:length]] * 2)


class Echo(NamedTuple):
    """A model whose poem is the last character of the title."""

    colon: int
    vocab_size: int

    def initial_state(self, batch_shape):
        return jnp.zeros(batch_shape, jnp.int32)

    def step(self, params, state, token):
        says = jnp.where(token == self.colon, state, EOS)
        return token, 40 * jax.nn.one_hot(says, self.vocab_size)


def titled():
    from experiments import poems as experiment

    vocab = small_vocab("ab:")
    corpus = SimpleNamespace(
        train=poems_of("ab"),
        valid=[poems.Poem(title, "a") for title in ("a", "x", "aab")],
    )
    return experiment.judge(Echo(6, len(vocab)), None, vocab, corpus)[1]


def test_poems_are_judged_under_titles_of_validation_in_turn(command):
    """One with a character that training never saw is left out."""
    flags = ("--titles", "--samples=3", "--length=1", "--temperature=0")
    assert returned(command(*flags, call=titled)) == ["a", "b", "a"]


def empties():
    from experiments import writing

    vocab = small_vocab("a")
    return writing.write(Scripted((EOS, EOS), len(vocab)), None, vocab, 3)


def test_no_empty_poem_is_written(command):
    """There is "a" that ends and "a" that would go on, and no third."""
    assert returned(command("--temperature=0", call=empties)) == ["a"] * 3
    flags = ("--beam_size=3", "--length=1")
    assert returned(command(*flags, call=empties)) == ["a"] * 2


def begin():
    from experiments import poems as experiment

    workdir = experiment.open_workdir()
    with workdir.open_for_training():
        workdir.write_summary({})


def test_validations_are_fixed_where_they_decide_on_training(command, tmp_path):
    for flag in ("schedule=constant", "schedule=plateau", "patience=1"):
        flags = (f"--workdir={tmp_path / flag}", f"--{flag}")
        returned(command(*flags, call=begin))
        again = command(*flags, "--eval_every=2", call=begin)
        if flag == "schedule=constant":
            returned(again)
        else:
            refused(again, "--eval_every (1 there, 2 here)")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--corpus=nowhere.txt"], "nowhere.txt"),
        (["--dataset=tang"], "tang_poems"),
        (["--title=x"], "--title needs"),
        (["--mode=generate"], "holds no run"),
        (["--prompt=一二三", "--length=2"], "--length=2 is shorter"),
        (["--acrostic=一", "--prompt=二"], "exclude each other"),
        (["--acrostic=一二三", "--length=4"], "lines have 5 characters at least"),
        (["--beam_size=2", "--number=3"], "--number=3 needs"),
        (["--bidirectional"], "bidirectional"),
    ],
)
def test_mistakes_are_one_sentence(command, tmp_path, flags, sentence):
    workdir = tmp_path / "run"
    refused(command(f"--workdir={workdir}", *QUICK, *flags), sentence)
    assert not workdir.exists()


def test_a_line_without_a_colon_is_named(command, tmp_path):
    path = tmp_path / "bad.txt"
    path.write_text("a:一二三四五。\nno colon\n")
    refused(train(command, path, tmp_path / "run"), "line 2")
