"""A text from flags: the corpus, its tokens, the prompt to go on from."""

from absl import flags

from experiments import run
from seqjax.data import corpora
from seqjax.data.text import detokenize, keep_letters, tokenize

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", "python_docs", "one of " + ", ".join(corpora.NAMES))
flags.DEFINE_string("corpus", None, "a UTF-8 text file of your own, instead")
flags.DEFINE_enum("level", "char", ["char", "word"], "what a token is")
flags.DEFINE_integer("min_freq", 1, "rarer tokens become <unk>", lower_bound=1)
flags.DEFINE_integer("max_tokens", 0, "train on the first so many; 0: all", 0)

flags.DEFINE_string("prompt", None, "text to continue")
flags.DEFINE_integer("length", 300, "tokens to generate", lower_bound=0)

PROMPTS = {
    "python_docs": "The ",
    "time_machine": "time traveller",
    "wikitext2": "The",
    "tang_poems": "春",
}


def check_flags():
    """Refuse a data set that there is not, and a prompt that holds nothing."""
    run.choose("dataset", dict.fromkeys(corpora.NAMES))
    if FLAGS.prompt is not None and not prompt_tokens():
        raise run.UserError("--prompt holds no token; give at least one.")


def load():
    """(Corpus, TokenizedCorpus) that the flags name."""
    if FLAGS.corpus is not None:
        corpus = corpora.load_file(FLAGS.corpus)
    else:
        corpus = corpora.load(FLAGS.dataset, FLAGS.data_dir)
    limits = FLAGS.min_freq, FLAGS.max_tokens
    return corpus, corpora.tokenize_corpus(corpus, FLAGS.level, *limits)


def prompt_tokens():
    """The tokens of the prompt; the default depends on the data."""
    prompt = FLAGS.prompt
    if prompt is None:
        prompt = PROMPTS[FLAGS.dataset] if FLAGS.corpus is None else "\n"
    elif FLAGS.dataset == "time_machine" and FLAGS.corpus is None:
        prompt = keep_letters(prompt)
    return tokenize(prompt, FLAGS.level)


def known_prompt(vocab):
    """The tokens of the prompt, and a word to the user about those nobody knows.

    A default prompt with such a token gives way to the most frequent token.
    """
    tokens = prompt_tokens()
    unknown = sorted({token for token in tokens if token not in vocab})
    if unknown and FLAGS.prompt is None:
        return [vocab.to_tokens(1)]
    if unknown:
        run.note(f"the model does not know {unknown} of the prompt: read as <unk>.")
    return tokens


def pieces(tokens, indices, vocab):
    """A prompt and its continuation as pieces of text.

    Args:
      tokens: of the prompt, at least one.
      indices: an iterable of integers, the tokens that follow.
    """
    yield detokenize(tokens, FLAGS.level)
    last = tokens[-1]
    for index in indices:
        token = vocab.to_tokens(index)
        joined = detokenize([last, token], FLAGS.level)
        yield joined.removeprefix(detokenize([last], FLAGS.level))
        last = token
