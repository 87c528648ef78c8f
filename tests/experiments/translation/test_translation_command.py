"""The translation command end to end, in small."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import sacrebleu

from tests.commands import Command, files, refused, summary

ROOT = Path(__file__).parent.parent
SUMMARY_KEYS = {
    *("test_bleu", "test_bleu_signature", "test_chrf", "valid_perplexity"),
    *("sentences_per_second", "parameters", "seconds", "tokens_per_second"),
    *("dataset_sha256", "test_references"),
}
BY_SOURCE = {"test_bleu_multi", "test_bleu_multi_signature"}  # where sources repeat
SMALL = (
    *("--hidden_size=24", "--embed_size=12", "--batch_size=16", "--epochs=2"),
    *("--log_every=5", "--checkpoint_every=10", "--decode_batch=8", "--min_freq=1"),
    "--figures=1",
)
WELL = (  # with few validations and checkpoints, which take most of the time
    *("--epochs=60", "--learning_rate=0.01", "--dropout=0", "--log_every=50"),
    *("--eval_every=10", "--checkpoint_every=1000"),
)
FAST = ("--nobidirectional", "--max_length=14", "--beam_size=1", "--figures=0")
WORDS = {"red": "rouge", "big": "grand", "cat": "chat", "dog": "chien", "sees": "voit"}
needs_data = pytest.mark.skipif(
    "SEQJAX_DATA_DIR" not in os.environ, reason="needs real data in SEQJAX_DATA_DIR"
)


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    command = Command("experiments.translation", tmp_path_factory.mktemp("xla"))
    yield command
    command.close()


def write_pairs(path, number=300, longest=5):
    """Sentences of two words and more, translated word by word, the order reversed."""
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(number):
        words = rng.choice(list(WORDS), rng.integers(2, longest + 1))
        lines.append(f"{' '.join(words)}\t{' '.join(WORDS[w] for w in words[::-1])}")
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("data") / "pairs.tsv")


@pytest.fixture(scope="module")
def short_corpus(tmp_path_factory):
    """All of one padded length: a model of words is compiled once."""
    path = tmp_path_factory.mktemp("short_data") / "pairs.tsv"
    return write_pairs(path, longest=3)


@pytest.fixture(scope="module")
def trained(command, corpus, tmp_path_factory):
    """(workdir, what training printed); not to be changed."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    result = train(command, corpus, workdir, *WELL)
    assert result.code == 0, result.err
    return workdir, result.out


@pytest.fixture(scope="module")
def untrained(command, corpus, tmp_path_factory):
    """Workdirs of two runs that differ by their seeds and have learnt nothing."""
    folder = tmp_path_factory.mktemp("untrained")
    for seed in (0, 1):
        more = ("--epochs=1", "--learning_rate=0", f"--seed={seed}", *FAST)
        result = train(command, corpus, folder / str(seed), *more)
        assert result.code == 0, result.err
    return folder / "0", folder / "1"


def train(command, corpus, workdir, *more):
    return command(f"--corpus={corpus}", f"--workdir={workdir}", *SMALL, *more)


def use(command, trained, mode, *more, stdin=b""):
    return command(f"--mode={mode}", f"--workdir={trained[0]}", *more, stdin=stdin)


def lines(workdir):
    text = (workdir / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_train_writes_everything_it_promises_and_has_learnt(trained):
    workdir, out = trained
    assert set(summary(workdir)) - BY_SOURCE == SUMMARY_KEYS
    assert {p.name for p in workdir.iterdir()} == {
        *("flags.txt", "metrics.jsonl", "summary.json", "checkpoints", "vocab.json"),
        *("learning_curve.png", "attention_1.png"),
    }
    assert summary(workdir)["test_bleu"] > 90
    assert "nrefs:1" in summary(workdir)["test_bleu_signature"]
    for word in ("test BLEU", "source", "translation", "reference"):
        assert word in out
    assert (workdir / "attention_1.png").read_bytes().startswith(b"\x89PNG")


def test_evaluate_finds_the_numbers_of_training(command, trained, corpus):
    before = files(trained[0])
    result = use(command, trained, "evaluate")
    assert result.code == 0
    assert f"{summary(trained[0])['test_bleu']:.2f}" in result.out
    assert files(trained[0]) == before


def test_evaluate_scores_files_instead_of_the_test_set(command, trained, tmp_path):
    sources, references = tmp_path / "a.txt", tmp_path / "b.txt"
    sources.write_text("big dog sees red cat\nred cat\n")
    references.write_text("chat rouge voit chien grand\nchien\n")
    flags = (f"--input={sources}", f"--references={references}")
    result = use(command, trained, "evaluate", *flags)
    translations = ["chat rouge voit chien grand", "chat rouge"]
    bleu = sacrebleu.corpus_bleu(translations, [references.read_text().splitlines()])
    assert f"{bleu.score:.2f}" in result.out
    assert "reference    chien   (BLEU-2 0.000)" in result.out
    sources.write_text("red cat\n")
    lone = use(command, trained, "evaluate", *flags)
    refused(lone, f"{sources} has 1 lines and {references} 2")
    refused(use(command, trained, "translate", *flags), "--references needs")
    refused(use(command, trained, "evaluate", flags[0]), "evaluate needs --references")


def test_a_source_that_repeats_is_scored_once_against_all_its_references(
    command, trained, tmp_path
):
    sources, references = tmp_path / "a.txt", tmp_path / "b.txt"
    text = "red cat\nbig dog sees cat\nRed cat\nred cat\ndog\n"
    sources.write_text(text)
    all_references = ["le chat rouge", "chat voit le chien", "chat rouge", "chat", "x"]
    references.write_text("".join(f"{line}\n" for line in all_references))
    flags = (f"--input={sources}", f"--references={references}")
    out = use(command, trained, "evaluate", *flags).out
    found = use(command, trained, "translate", stdin=text.encode()).out.splitlines()
    assert found[0] == found[2] == found[3] == "chat rouge"
    pairs = sacrebleu.corpus_bleu(found, [all_references])
    streams = [
        ["le chat rouge", "chat voit le chien", "x"],
        ["chat rouge", None, None],
        ["chat", None, None],
    ]
    by_source = sacrebleu.corpus_bleu([found[i] for i in (0, 1, 4)], streams)
    assert f"{pairs.score:.2f}" != f"{by_source.score:.2f}"
    rows = [
        [part.strip() for part in line.split("│")[1:-1]] for line in out.split("\n")
    ]
    assert ["test BLEU", f"{pairs.score:.2f}"] in rows
    assert ["BLEU, all references", f"{by_source.score:.2f}"] in rows
    assert "nrefs:1|" in out and "nrefs:var|" in out
    assert ["references", "cleaned: lower-case, spaced"] in rows


def test_sources_that_do_not_repeat_have_one_score(command, trained, tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("red cat\nbig dog sees cat\n")
    flags = (f"--input={tmp_path / 'a.txt'}", f"--references={tmp_path / 'b.txt'}")
    assert "all references" not in use(command, trained, "evaluate", *flags).out


def test_translate_writes_a_line_for_a_line(command, trained, tmp_path):
    text = "red cat\n\nbig dog sees cat\n   \nred big zebra\ndog"
    result = use(command, trained, "translate", stdin=text.encode())
    assert result.code == 0
    found = result.out.split("\n")
    assert found[:5] == ["chat rouge", "", "chat voit chien grand", "", found[4]]
    assert len(found) == 7 and found[6] == ""
    assert "1 of 10 tokens are unknown" in result.err
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_bytes(text.encode())
    flags = (f"--input={source}", f"--output={target}")
    assert use(command, trained, "translate", *flags).out == ""
    assert target.read_text() == result.out
    assert use(command, trained, "translate", stdin=b"").out == ""


def test_translations_do_not_depend_on_the_batch(command, trained):
    text = b"red cat\nbig dog sees cat big\ndog\ncat sees red dog\n"
    results = {
        use(command, trained, "translate", f"--decode_batch={n}", stdin=text).out
        for n in (1, 3, 32)
    }
    assert len(results) == 1


def test_a_very_long_line_is_read_in_full(command, trained):
    text = b"red cat " * 300 + b"\n"
    result = use(command, trained, "translate", "--beam_size=1", stdin=text)
    assert (result.code, result.err) == (0, "")
    assert len(result.out.splitlines()) == 1 and "chat" in result.out


def test_n_best_are_lines_of_number_score_and_text(command, trained):
    result = use(command, trained, "translate", "--n_best=3", stdin=b"red cat\ndog\n")
    rows = [line.split("\t") for line in result.out.splitlines()]
    assert [row[0] for row in rows] == ["1"] * 3 + ["2"] * 3
    scores = [float(row[1]) for row in rows]
    assert scores[:3] == sorted(scores[:3], reverse=True)
    assert rows[0][2] == "chat rouge"


@pytest.mark.parametrize(
    "flags",
    [
        ("--beam_size=1",),
        ("--temperature=0.01",),
        ("--length_penalty=gnmt", "--coverage=0.2"),
        ("--length_penalty=reward", "--alpha=0.1"),
        ("--length_penalty=none", "--no_repeat_ngram=2"),
        ("--checkpoint=last",),
    ],
    ids=lambda flags: flags[0],
)
def test_every_search_translates(command, trained, flags):
    result = use(command, trained, "translate", *flags, stdin=b"big red cat\n")
    assert result.out == "chat rouge grand\n"


SENTENCES = b"red cat\nbig dog sees cat\ndog\nsees big red dog\n"


def translations(command, run, *more):
    """Of `SENTENCES`, each a list of words."""
    result = use(command, run, "translate", "--beam_size=4", *more, stdin=SENTENCES)
    assert result.code == 0, result.err
    return [line.split(" ") for line in result.out.splitlines()]


def mean_length(translations):
    return sum(map(len, translations)) / len(translations)


def n_best(command, run, *more):
    """For each of `SENTENCES` the translations with their scores, the best of a text.

    Tokens of no text, as bos, may repeat one.
    """
    flags = ("--n_best=12", "--beam_size=12", "--length_penalty=none", *more)
    result = use(command, run, "translate", *flags, stdin=SENTENCES)
    found = {}
    for line in result.out.splitlines():
        number, score, text = line.split("\t")
        found.setdefault(number, {}).setdefault(text, float(score))
    assert result.code == 0 and len(found) == 4
    return list(found.values())


@pytest.mark.parametrize("penalty", ["reward", "power", "gnmt"])
def test_length_penalties_and_their_strength_are_heard(command, untrained, penalty):
    flag = f"--length_penalty={penalty}"
    short, long = (
        translations(command, untrained, flag, f"--alpha={alpha}") for alpha in (-4, 4)
    )
    assert mean_length(short) < mean_length(long)
    none = translations(command, untrained, "--length_penalty=none", "--alpha=4")
    assert none == translations(command, untrained, flag, "--alpha=0") != long


def test_coverage_is_paid_by_translations_that_leave_source_unread(command, untrained):
    free, paid = (n_best(command, untrained, f"--coverage={b}") for b in (0, 0.5))
    for line, one, other in zip(SENTENCES.splitlines(), free, paid, strict=True):
        assert all(other[text] <= one[text] for text in one.keys() & other.keys())
        # Of one step, weights a_s that sum to 1: sum_s log(a_s) is S log(1/S) at most.
        size = len(line.split())
        assert other[""] - one[""] <= -0.5 * size * math.log(size) + 2e-4


def test_a_wider_beam_finds_likelier_translations(command, untrained):
    best = []
    for width in (1, 2, 12):
        flags = (f"--beam_size={width}", "--length_penalty=power", "--alpha=-1")
        best.append(translations(command, untrained, *flags))
    assert best[0] != best[2] or best[1] != best[2]
    wide = n_best(command, untrained)
    narrow = n_best(command, untrained, "--n_best=2", "--beam_size=2")
    for one, other in zip(wide, narrow, strict=True):
        assert len(one) > len(other) and max(one.values()) >= max(other.values())


@pytest.mark.parametrize("number", [3, 40])  # 40: more than twice a source and 10
def test_minimum_length_is_heard(command, untrained, number):
    flags = ("--length_penalty=none", f"--min_length={number}")
    assert any(len(t) < number for t in translations(command, untrained, flags[0]))
    found = translations(command, untrained, *flags)
    assert all(len(words) >= number for words in found)


def test_repeated_ngrams_are_blocked(command, untrained):
    flags = ("--length_penalty=reward", "--alpha=4")
    free = translations(command, untrained, *flags)
    assert any(len(set(words)) < len(words) for words in free)
    blocked = translations(command, untrained, *flags, "--no_repeat_ngram=1")
    assert all(len(set(words)) == len(words) for words in blocked)


def test_draws_are_as_the_flags_say(command, untrained):
    greedy = translations(command, untrained, "--beam_size=1")
    hot = "--temperature=3"
    assert translations(command, untrained, hot) != greedy
    assert translations(command, untrained, hot, "--seed=9") != greedy
    for sharp in ("--top_k=1", "--top_p=0.000001"):
        assert translations(command, untrained, hot, sharp) == greedy
    assert translations(command, untrained, "--temperature=0.00001") == greedy


def test_an_ensemble_is_the_mean_of_its_members_probabilities(command, untrained):
    one, other = (n_best(command, (workdir,)) for workdir in untrained)
    both = n_best(command, untrained, f"--ensemble={untrained[1]}")
    for a, b, mean in zip(one, other, both, strict=True):
        # Nothing but eos: a single step, whose probability is the score's.
        want = math.log((math.exp(a[""]) + math.exp(b[""])) / 2)
        assert mean[""] == pytest.approx(want, abs=2e-4)
        assert a[""] != b[""]


def test_a_model_twice_is_an_ensemble_like_it(command, trained):
    flag = f"--ensemble={trained[0]}"
    found = use(command, trained, "translate", flag, stdin=b"red dog\n")
    assert found.out == "chien rouge\n"


def test_translations_that_are_cut_off_are_noted(command, untrained):
    greedy = "--beam_size=1"
    endless = use(command, untrained, "translate", greedy, stdin=SENTENCES)
    assert "4 of 4 translations were cut off" in endless.err
    endless = use(command, untrained, "interactive", greedy, stdin=b"dog\n")
    assert "1 of 1 translations were cut off" in endless.err
    # Where each token comes once at the most, all come to an end.
    flags = (greedy, "--no_repeat_ngram=1")
    assert use(command, untrained, "translate", *flags, stdin=SENTENCES).err == ""


def test_attention_to_chosen_lines_is_drawn(command, trained, tmp_path):
    flag = f"--attention_dir={tmp_path / 'drawn'}"
    use(command, trained, "translate", flag, stdin=b"red cat\n\nbig dog\n")
    drawn = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert drawn == ["attention_1.png", "attention_3.png"]


def test_interactive_finds_what_translate_finds(command, untrained):
    batch = use(command, untrained, "translate", stdin=SENTENCES)
    assert use(command, untrained, "interactive", stdin=SENTENCES).out == batch.out


def test_interactive_answers_line_by_line(command, trained):
    result = use(command, trained, "interactive", stdin=b"red cat\n\nred dog\n")
    assert result.code == 0
    assert result.out == "chat rouge\n\nchien rouge\n"


@pytest.mark.parametrize(
    "more",
    [
        ("--attention=none", "--cell=lstm", "--bridge=copy", "--nobidirectional"),
        ("--attention=additive", "--num_layers=2", "--cell=gru_textbook"),
        ("--attention=dot", "--tie_embeddings", "--embed_size=24", "--noinput_feeding"),
        ("--level=char", "--joint_vocab", "--locked_dropout", "--bridge=zero", *FAST),
        ("--level=subword", "--vocab_size=40", "--subword_sampling=0.2", *FAST),
        ("--level=subword", "--vocab_size=60", "--joint_vocab", "--batch_tokens=100"),
        ("--accumulate=3", "--label_smoothing=0.1", "--scheduled_sampling=0.3"),
        ("--criterion=bleu", "--patience=1", "--average_checkpoints=2", "--swap"),
        ("--truncate", "--max_length=2", "--bfloat16", "--schedule=plateau"),
    ],
    ids=lambda more: more[0].removeprefix("--") + more[1].removeprefix("--"),
)
def test_every_choice_trains_and_translates(command, short_corpus, tmp_path, more):
    result = train(command, short_corpus, tmp_path / "run", *more)
    assert result.code == 0, result.err
    assert set(summary(tmp_path / "run")) - BY_SOURCE == SUMMARY_KEYS
    cleaned = "as they are" if "--level" in more[0] else "cleaned: lower-case, spaced"
    assert summary(tmp_path / "run")["test_references"] == cleaned
    again = use(command, (tmp_path / "run",), "evaluate")
    assert again.code == 0, again.err
    for name in ("test_bleu", "test_chrf"):  # of so few words the first is 0
        assert f"{summary(tmp_path / 'run')[name]:.2f}" in again.out


def test_resumed_is_uninterrupted_bit_for_bit(command, corpus, tmp_path):
    """Epochs that differ in length end where they end; the beam may change."""
    options = ("--level=subword", "--vocab_size=40", "--subword_sampling=0.1", *FAST)
    options = (*options, "--schedule=constant", "--accumulate=2", "--dropout=0.3")
    options = (*options, "--batch_size=8", "--checkpoint_every=1000")
    assert train(command, corpus, tmp_path / "whole", *options).code == 0
    for epochs, beam_size in ((1, 2), (2, 1)):
        parts = (*options, f"--epochs={epochs}", f"--beam_size={beam_size}")
        assert train(command, corpus, tmp_path / "parts", *parts).code == 0
    ends = [m for m in lines(tmp_path / "whole") if "valid_perplexity" in m]
    assert [m["epoch"] for m in ends] == [1, 2]
    assert ends[1]["step"] != 2 * ends[0]["step"]
    whole, parts = (
        [{k: v for k, v in m.items() if "second" not in k} for m in lines(folder)]
        for folder in (tmp_path / "whole", tmp_path / "parts")
    )
    assert whole == parts
    for key in SUMMARY_KEYS - {"seconds", "sentences_per_second", "tokens_per_second"}:
        assert summary(tmp_path / "whole")[key] == summary(tmp_path / "parts")[key]


def test_the_best_by_bleu_is_the_highest(command, corpus, tmp_path):
    more = ("--criterion=bleu", "--epochs=6", "--learning_rate=0.02", "--dropout=0")
    assert train(command, corpus, tmp_path / "run", *more).code == 0
    bleus = {
        m["step"]: m["valid_bleu"] for m in lines(tmp_path / "run") if "valid_bleu" in m
    }
    (best,) = (tmp_path / "run" / "checkpoints" / "best").iterdir()
    assert bleus[int(best.name)] == max(bleus.values()) > 0
    # What is found decides how training goes on, and nothing after it.
    result = train(command, corpus, tmp_path / "run", *more, "--alpha=0.5")
    refused(result, "--alpha (0.75 there, 0.5 here)")
    few = use(
        command, (tmp_path / "run",), "evaluate", "--alpha=0", "--average_checkpoints=3"
    )
    assert few.code == 0
    assert "--average_checkpoints=3: 1 there" in few.err


def test_sampling_draws_anew_for_each_line(command, trained):
    more = ("--temperature=30", "--min_length=4")
    text = b"red cat\n" * 4
    found = use(command, trained, "interactive", *more, stdin=text).out.splitlines()
    assert len(found) == 4 and len(set(found)) > 1
    again = use(command, trained, "interactive", *more, stdin=text).out.splitlines()
    assert found == again


def test_patience_ends_the_run(command, short_corpus, tmp_path):
    more = ("--patience=2", "--epochs=50", "--learning_rate=0", "--schedule=constant")
    assert train(command, short_corpus, tmp_path / "run", *more).code == 0
    validations = [m for m in lines(tmp_path / "run") if "valid_perplexity" in m]
    assert len(validations) == 3


def test_bleu_is_sacrebleus_of_the_translations(command, trained, corpus):
    from seqjax.data import parallel

    test = parallel.load_tsv(corpus).test
    text = "".join(f"{s}\n" for s in test.source).encode()
    found = use(command, trained, "translate", stdin=text).out.splitlines()
    bleu = sacrebleu.corpus_bleu(found, [test.target])
    assert summary(trained[0])["test_bleu"] == pytest.approx(bleu.score)
    chrf = sacrebleu.corpus_chrf(found, [test.target])
    assert summary(trained[0])["test_chrf"] == pytest.approx(chrf.score)


BAD_FLAGS = {
    "--attention=general2": "there is no attention 'general2'",
    "--length_penalty=long": "there is no length_penalty 'long'",
    "--n_best=9": "--n_best=9 needs a --beam_size of as many",
    "--hidden_size=25": "--bidirectional halves --hidden_size",
    "--bridge=copy": 'bridge="copy" needs an encoder',
    "--bridge=mean": 'bridge must be "copy", "linear" or "zero"',
    "--subword_sampling=0.1": "--subword_sampling needs --level=subword",
    "--source_file=a.txt": "--source_file and --target_file belong together",
    "--max_length=1": "no pair to train on is left",
    "--attention=none --coverage=0.2": "--coverage needs a model with attention",
    "--dataset=fra": "did you mean fra_eng",
}


@pytest.mark.parametrize(("flag", "sentence"), BAD_FLAGS.items(), ids=BAD_FLAGS)
def test_bad_flags_are_named(command, corpus, tmp_path, flag, sentence):
    refused(train(command, corpus, tmp_path / "run", *flag.split()), sentence)
    assert not (tmp_path / "run").exists()


def test_bad_pairs_are_named_and_nothing_is_written(command, tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("go .\tva !\nno tab here\n")
    refused(train(command, path, tmp_path / "run"), "pairs.tsv, line 2")
    path.write_text("go .\tva !\n")
    refused(train(command, path, tmp_path / "run"), "has no pair in its")
    refused(train(command, tmp_path / "no", tmp_path / "run"), "does not exist")
    assert not (tmp_path / "run").exists()


def test_another_run_in_the_workdir_is_refused_and_left_alone(
    command, trained, corpus, tmp_path
):
    before = files(trained[0])
    result = train(command, corpus, trained[0], *WELL, "--attention=dot")
    refused(result, "--attention (general there, dot here)")
    other = write_pairs(tmp_path / "other.tsv", number=310)
    result = train(command, other, trained[0], *WELL)
    refused(result, "holds a run on other data")
    assert files(trained[0]) == before


@pytest.mark.parametrize("mode", ["evaluate", "translate", "interactive"])
def test_no_run_in_the_workdir_is_said(command, tmp_path, mode):
    result = command(f"--mode={mode}", f"--workdir={tmp_path / 'none'}")
    refused(result, "holds no run")


@pytest.mark.parametrize("name", ["multi30k", "fra_eng", "fra_eng_textbook"])
def test_the_flags_of_recipes_go_together(command, tmp_path, name):
    recipe = ROOT / "experiments" / "recipes" / f"{name}.flags"
    flags = (f"--flagfile={recipe}", "--mode=evaluate")
    refused(command(*flags, f"--workdir={tmp_path / 'none'}"), "holds no run")


def test_bad_input_and_ensembles_are_named(command, trained, tmp_path):
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"red \xff cat\n")
    refused(use(command, trained, "translate", f"--input={bad}"), "byte offset 4")
    refused_line = use(command, trained, "interactive", stdin=b"red \xff cat\n")
    assert (refused_line.code, refused_line.out) == (2, "")
    assert "standard input is not UTF-8" in refused_line.err
    missing = f"--input={tmp_path / 'missing.txt'}"
    refused(use(command, trained, "translate", missing), "does not exist")
    none = f"--ensemble={tmp_path / 'none'}"
    refused(use(command, trained, "translate", none, stdin=b"dog\n"), "holds no run")
    full = "--output=/proc/none/out.txt"
    refused(use(command, trained, "translate", full, stdin=b"dog\n"), "/proc/none")
