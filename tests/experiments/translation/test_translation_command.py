"""The modes of the translation command that use a trained run."""

import pytest
import sacrebleu

from seqjax.data import parallel
from tests.commands import files, refused, summary
from tests.small_translation import SENTENCES, use


def test_evaluate_finds_the_numbers_of_training(trained, corpus):
    before = files(trained)
    result = use(trained, "evaluate")
    assert result.code == 0
    assert f"{summary(trained)['test_bleu']:.2f}" in result.out
    assert files(trained) == before


def test_evaluate_scores_files_instead_of_the_test_set(trained, tmp_path):
    sources, references = tmp_path / "a.txt", tmp_path / "b.txt"
    sources.write_text("big dog sees red cat\nred cat\n")
    references.write_text("chat rouge voit chien grand\nchien\n")
    flags = (f"--input={sources}", f"--references={references}")
    result = use(trained, "evaluate", *flags)
    translations = ["chat rouge voit chien grand", "chat rouge"]
    bleu = sacrebleu.corpus_bleu(translations, [references.read_text().splitlines()])
    assert f"{bleu.score:.2f}" in result.out
    assert "reference    chien   (BLEU-2 0.000)" in result.out
    sources.write_text("red cat\n")
    lone = use(trained, "evaluate", *flags)
    refused(lone, f"{sources} has 1 lines and {references} 2")
    refused(use(trained, "translate", *flags), "--references needs")
    refused(use(trained, "interactive", flags[1]), "--references needs")
    refused(use(trained, "interactive", flags[0]), "--input is read in")
    refused(use(trained, "evaluate", flags[0]), "evaluate needs --references")


def test_a_source_that_repeats_is_scored_once_against_all_its_references(
    trained, tmp_path
):
    sources, references = tmp_path / "a.txt", tmp_path / "b.txt"
    text = "red cat\nbig dog sees cat\nRed cat\nred cat\ndog\n"
    sources.write_text(text)
    all_references = ["le chat rouge", "chat voit le chien", "chat rouge", "chat", "x"]
    references.write_text("".join(f"{line}\n" for line in all_references))
    flags = (f"--input={sources}", f"--references={references}")
    out = use(trained, "evaluate", *flags).out
    found = use(trained, "translate", stdin=text.encode()).out.splitlines()
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


def test_sources_that_do_not_repeat_have_one_score(trained, tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("red cat\nbig dog sees cat\n")
    flags = (f"--input={tmp_path / 'a.txt'}", f"--references={tmp_path / 'b.txt'}")
    assert "all references" not in use(trained, "evaluate", *flags).out


def test_translate_writes_one_line_per_line(trained, tmp_path):
    text = "red cat\n\nbig dog sees cat\n   \nred big zebra\ndog"
    result = use(trained, "translate", stdin=text.encode())
    assert result.code == 0
    found = result.out.split("\n")
    assert found[:5] == ["chat rouge", "", "chat voit chien grand", "", found[4]]
    assert len(found) == 7 and found[6] == ""
    assert "1 of 10 tokens are unknown" in result.err
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_bytes(text.encode())
    flags = (f"--input={source}", f"--output={target}")
    assert use(trained, "translate", *flags).out == ""
    assert target.read_text() == result.out
    assert use(trained, "translate", stdin=b"").out == ""


def test_translations_do_not_depend_on_the_batch(trained):
    text = b"red cat\nbig dog sees cat big\ndog\ncat sees red dog\n"
    results = {
        use(trained, "translate", f"--decode_batch={n}", stdin=text).out
        for n in (1, 3, 32)
    }
    assert len(results) == 1


def test_a_very_long_line_is_read_in_full(trained):
    text = b"red cat " * 300 + b"\n"
    result = use(trained, "translate", "--beam_size=1", stdin=text)
    assert (result.code, result.err) == (0, "")
    assert len(result.out.splitlines()) == 1 and "chat" in result.out


def test_n_best_lines_hold_number_score_and_text(trained):
    result = use(trained, "translate", "--n_best=3", stdin=b"red cat\ndog\n")
    rows = [line.split("\t") for line in result.out.splitlines()]
    assert [row[0] for row in rows] == ["1"] * 3 + ["2"] * 3
    scores = [float(row[1]) for row in rows]
    assert scores[:3] == sorted(scores[:3], reverse=True)
    assert rows[0][2] == "chat rouge"


def test_translate_draws_the_attention_of_each_line(trained, tmp_path):
    flag = f"--attention_dir={tmp_path / 'drawn'}"
    use(trained, "translate", flag, stdin=b"red cat\n\nbig dog\n")
    drawn = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert drawn == ["attention_1.png", "attention_3.png"]


def test_interactive_translates_line_by_line(trained):
    result = use(trained, "interactive", stdin=b"red cat\n\nred dog\n")
    assert result.code == 0
    assert result.out == "chat rouge\n\nchien rouge\n"


def test_bleu_is_sacrebleus_of_the_translations(trained, corpus):
    test = parallel.load_tsv(corpus).test
    text = "".join(f"{s}\n" for s in test.source).encode()
    found = use(trained, "translate", stdin=text).out.splitlines()
    bleu = sacrebleu.corpus_bleu(found, [test.target])
    assert summary(trained)["test_bleu"] == pytest.approx(bleu.score)
    chrf = sacrebleu.corpus_chrf(found, [test.target])
    assert summary(trained)["test_chrf"] == pytest.approx(chrf.score)


def test_interactive_equals_translate(untrained):
    batch = use(untrained[0], "translate", stdin=SENTENCES)
    assert use(untrained[0], "interactive", stdin=SENTENCES).out == batch.out
