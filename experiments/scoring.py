"""What translations are worth: perplexity, BLEU, chrF, samples, attention."""

import jax
import sacrebleu
from absl import flags

from experiments import pairs
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
    """(scores, translations of the test set, sentences a second)."""
    found = translation.translate(test.source, members)
    texts = [t[0].text for t in found]
    bleu, chrf = sacrebleu.BLEU(force=True), sacrebleu.CHRF()
    references = [test.target]
    scores = {
        "test_bleu": bleu.corpus_score(texts, references).score,
        "test_bleu_signature": str(bleu.get_signature()),
        "test_chrf": chrf.corpus_score(texts, references).score,
    }
    return scores, found, translation.sentences / max(translation.seconds, 1e-9)


def score_rows(scores):
    return [
        ("test BLEU", f"{scores['test_bleu']:.2f}"),
        ("test chrF", f"{scores['test_chrf']:.2f}"),
        ("BLEU's signature", scores["test_bleu_signature"]),
    ]


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
