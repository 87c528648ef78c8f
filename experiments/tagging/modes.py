"""The modes of the tagging command: train, evaluate, tag."""

from collections.abc import Callable, Sequence
from typing import Any

from experiments.common.console import note, note_unknown, print_table
from experiments.common.devices import Placement
from experiments.common.job import Job, Objective
from experiments.common.line_io import evaluation_title, read_lines, write_lines
from experiments.common.optimizer import (
    initial_train_state,
    make_optimizer,
    make_schedule,
)
from experiments.common.recurrent import with_precision
from experiments.common.train_on_valid import valid_heading
from experiments.common.training_run import (
    Trained,
    closing_rows,
    load_params,
    open_run,
    run_summary,
    train_model,
)
from experiments.common.vectors import start_from_vectors
from experiments.common.workdir import Workdir
from experiments.tagging.config import Config
from experiments.tagging.data import (
    EncodedSentences,
    TaggingVocabs,
    as_bio,
    load_corpus,
    make_plan,
    scheme_of,
)
from experiments.tagging.evaluate import evaluate_corpus, evaluate_sentences, score
from experiments.tagging.model import build_model, build_train_loop, predict
from seqjax import metrics
from seqjax.data import tagged
from seqjax.data.tagged import Sentence, TaggedCorpus
from seqjax.data.text import shown_path
from seqjax.models.tagger import Tagger, TaggerBatch, TaggerInputs


def open_workdir(config: Config, training: bool) -> Workdir:
    """The run's folder, compared with the settings that it was started with."""
    free = [] if training else ["batch_size", "outside_bias", "constrain"]
    if config.files.input is not None:  # another file may have other columns
        free += ["token_column", "tag_column"]
    return open_run(config, training=training, free=free)


@with_precision
def train(config: Config) -> dict[str, Any]:
    """Train until the run is done; the entries of its summary.json."""
    workdir = open_workdir(config, training=True)
    corpus = load(config)
    workdir.check_data(corpus.sha256)
    vocabs = TaggingVocabs.train(corpus.train, config.data, corpus.scheme)
    model = build_model(config.model, config.decode, vocabs)
    sentences = encode(corpus.train, vocabs, model)
    plan = make_plan(sentences, config.train.batch_size, config.run.seed)
    total_steps = config.train.epochs * len(plan(0))
    optimizer = make_optimizer(config.optimizer, total_steps)
    criterion = "valid_f1" if vocabs.have_spans else "valid_accuracy"
    axes = TaggerBatch._make([TaggerInputs._make([1, 0, 2, 1]), 1])
    placement = Placement.of(config.devices, axes, config.train.batch_size)
    job = Job(
        build_train_loop(config.train, model, optimizer, placement),
        data=None,
        plan=plan,
        total_steps=total_steps,
        validate=make_validation(config, model, corpus.valid, vocabs, placement),
        objective=Objective(criterion=criterion, maximize=True),
        learning_rate=make_schedule(config.optimizer, total_steps),
        plateau_factor=config.optimizer.plateau_factor,
        averaging=config.optimizer,
        placement=placement,
        model=model,
    )
    state = initial_train_state(model, optimizer, config.run.seed)
    if config.model.vectors is not None and not workdir.has_checkpoints():
        state = start_from_vectors(state, config.model.vectors, vocabs.words.tokens)
    with workdir.open_for_training():
        vocabs.write(workdir, corpus.sha256)
        trained = train_model(job, workdir, state, config.train)
        return report(config, workdir, corpus, vocabs, model, trained)


def make_validation(
    config: Config,
    model: Tagger,
    valid: Sequence[Sentence],
    vocabs: TaggingVocabs,
    placement: Placement,
) -> Callable[[Any], dict[str, float]]:
    """state -> the numbers of a validation."""
    sentences = encode(valid, vocabs, model)

    def validate(state: Any) -> dict[str, float]:
        where = config.train.batch_size, placement
        found = predict(model, state.params, sentences, *where)
        numbers = score(valid, found.tags, (), vocabs.have_spans).numbers
        shown = {name: numbers.get(name) for name in ("f1", "accuracy")}
        return {
            "valid_perplexity": metrics.perplexity(found.loss, found.num_words),
            **{f"valid_{k}": v for k, v in shown.items() if v is not None},
        }

    return validate


@with_precision
def evaluate(config: Config) -> dict[str, float | None]:
    """TagScores of the held-out parts and of the baseline, or of --input; printed."""
    workdir = open_workdir(config, training=False)
    vocabs = TaggingVocabs.read(workdir)
    model = build_model(config.model, config.decode, vocabs)
    if config.files.input is None:
        corpus = load(config)
        workdir.check_data(corpus.sha256)
        params = load_params(config, workdir, model)
        scores = evaluate_model(config, corpus, vocabs, model, params)
    else:
        sentences = read_input(config, config.files.input, vocabs)
        params = load_params(config, workdir, model)
        found = predicted_tags(config, sentences, vocabs, model, params)
        title = evaluation_title(f"{config.train.checkpoint} checkpoint", config.files)
        scores = evaluate_sentences(title, sentences, found, vocabs.have_spans)
    print(f"files: {workdir.path}")
    return scores


def read_input(config: Config, path: str, vocabs: TaggingVocabs) -> list[Sentence]:
    """The sentences of --input in BIO, with notes of unknown words and tags."""
    data = config.data
    read = tagged.read(path, data.token_column, data.tag_column, data.columns)
    sentences = as_bio(read, scheme_of(shown_path(path), read))
    note_unknown((s.tokens, vocabs.encode_words(s.tokens)) for s in sentences)
    tags = {tag for sentence in sentences for tag in sentence.tags}
    if unknown := sorted(tags - set(vocabs.tags)):
        note(
            f"no training sentence has the tags {', '.join(unknown)}: never predicted."
        )
    return sentences


@with_precision
def tag(config: Config) -> list[Sentence]:
    """The sentences of the input lines and their tags, also written as CoNLL."""
    workdir = open_workdir(config, training=False)
    lines = [line.split() for line in read_lines(config.files.input)]
    vocabs = TaggingVocabs.read(workdir)
    model = build_model(config.model, config.decode, vocabs)
    params = load_params(config, workdir, model)
    note_unknown((words, vocabs.encode_words(words)) for words in lines)
    untagged = [Sentence(words, []) for words in lines]
    found = predicted_tags(config, untagged, vocabs, model, params)
    tags = map(vocabs.in_scheme, found)
    sentences = [Sentence(*pair) for pair in zip(lines, tags, strict=True)]
    write_lines(config.files.output, tagged.conll_lines(sentences))
    return sentences


def predicted_tags(
    config: Config,
    sentences: Sequence[Sentence],
    vocabs: TaggingVocabs,
    model: Tagger,
    params: Any,
) -> list[list[str]]:
    """The tags of sentences whose own tags may be absent or unknown."""
    any_tag = vocabs.tags[:1]
    words = [Sentence(s.tokens, any_tag * len(s.tokens)) for s in sentences]
    encoded = encode(words, vocabs, model)
    return predict(model, params, encoded, config.train.batch_size).tags


def load(config: Config) -> TaggedCorpus:
    """The corpus of the settings."""
    return load_corpus(config.data, config.run.data_dir, config.train.train_on_valid)


def encode(
    sentences: Sequence[Sentence], vocabs: TaggingVocabs, model: Tagger
) -> EncodedSentences:
    """Sentences as the model reads them."""
    return EncodedSentences(sentences, vocabs, with_chars=model.num_chars > 0)


def evaluate_model(
    config: Config,
    corpus: TaggedCorpus,
    vocabs: TaggingVocabs,
    model: Tagger,
    params: Any,
) -> dict[str, float | None]:
    """The scores of the held-out parts; the table is printed."""

    def tags_of(part: Sequence[Sentence]) -> list[list[str]]:
        return predicted_tags(config, part, vocabs, model, params)

    heading = valid_heading(config.train.train_on_valid)
    return evaluate_corpus(corpus, tags_of, vocabs.have_spans, heading)


def report(
    config: Config,
    workdir: Workdir,
    corpus: TaggedCorpus,
    vocabs: TaggingVocabs,
    model: Tagger,
    trained: Trained,
) -> dict[str, Any]:
    """Print the tables, write summary.json; the summary."""
    summary = {
        **evaluate_model(config, corpus, vocabs, model, trained.params),
        **run_summary(trained, "tokens", corpus.sha256),
    }
    workdir.write_summary(summary)
    rows = [
        ("vocabulary", f"{len(vocabs.words):,}"),
        *closing_rows(summary, "tokens", workdir),
    ]
    print_table(f"{corpus.name}, {config.model.cell}, {config.model.head}", rows)
    return summary
