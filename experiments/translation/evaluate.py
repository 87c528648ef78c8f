"""What translations are worth: perplexity, BLEU, chrF, samples, attention."""

import itertools

import jax
import sacrebleu
from absl import flags

from experiments import pairs, translator
from seqjax import metrics

FLAGS = flags.FLAGS


def make_perplexity(model, split, tokenizers):
    """params -> perplexity of a split's translations, unsmoothed."""
    batches = pairs.held_out(split, tokenizers, FLAGS.batch_size)
    loss = jax.jit(model.loss)

    def perplexity_of(params):
        totals, counts = zip(*(loss(params, batch) for batch in batches), strict=True)
        return metrics.perplexity(sum(map(float, totals)), sum(map(float, counts)))

    return perplexity_of


def translate_test(translation, members, test):
    """(scores, translations of the test set, sentences a second).

    A source that comes several times is translated once.
    """
    references = {}  # of each source
    for source, target in zip(*test, strict=True):
        references.setdefault(source, []).append(target)
    translations = translation.translate(list(references), members)
    of_source = dict(zip(references, translations, strict=True))
    found = [of_source[source] for source in test.source]
    translator.note_cut_off(translations)

    bleu, chrf = sacrebleu.BLEU(force=True), sacrebleu.CHRF()
    texts = [of_one[0].text for of_one in found]
    cleaned = "cleaned: lower-case, spaced"
    scores = {
        "test_bleu": bleu.corpus_score(texts, [test.target]).score,
        "test_bleu_signature": str(bleu.get_signature()),
        "test_chrf": chrf.corpus_score(texts, [test.target]).score,
        "test_references": cleaned if pairs.cleaning() else "as they are",
    }
    if len(references) < len(found):
        scores |= _score_by_source(translations, list(references.values()))
    return scores, found, translation.sentences / max(translation.seconds, 1e-9)


def _score_by_source(translations, references):
    """BLEU of the translation of each distinct source, with all its references."""
    bleu = sacrebleu.BLEU(force=True)
    texts = [of_one[0].text for of_one in translations]
    distinct = map(dict.fromkeys, references)
    streams = list(itertools.zip_longest(*distinct))  # None where there are fewer
    return {
        "test_bleu_multi": bleu.corpus_score(texts, streams).score,
        "test_bleu_multi_signature": str(bleu.get_signature()),
    }


def score_rows(scores):
    """Rows of a table."""
    rows = [
        ("test BLEU", f"{scores['test_bleu']:.2f}"),
        ("test chrF", f"{scores['test_chrf']:.2f}"),
        ("BLEU's signature", scores["test_bleu_signature"]),
        ("references", scores["test_references"]),
    ]
    if "test_bleu_multi" in scores:
        rows += [
            ("BLEU, all references", f"{scores['test_bleu_multi']:.2f}"),
            ("its signature", scores["test_bleu_multi_signature"]),
        ]
    return rows


def print_samples(split, translations, number=4):
    """Some sentences, their translations and the references."""
    step = max(1, len(split.source) // number)
    for i in range(0, len(split.source), step)[:number]:
        text = translations[i][0].text
        bleu = metrics.bleu(text.split(), split.target[i].split(), 2)
        print(f"source       {split.source[i]}")
        print(f"translation  {text}")
        print(f"reference    {split.target[i]}   (BLEU-2 {bleu:.3f})\n")


def draw_attention(folder, translation, params, sentences, translations):
    """attention_1.png and so on: where the best translation of each sentence looked."""
    folder.mkdir(parents=True, exist_ok=True)
    both = zip(sentences, translations, strict=True)
    for number, (sentence, found) in enumerate(both, start=1):
        if len(found[0].tokens):
            path = folder / f"attention_{number}.png"
            translation.draw_attention(path, sentence, found[0], params)
