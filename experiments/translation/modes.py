"""The modes of the translation command: train, evaluate, translate, interactive."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.common.console import note, note_unknown, print_table
from experiments.common.devices import Placement
from experiments.common.errors import UserError
from experiments.common.job import PERPLEXITY, Job, Objective
from experiments.common.line_io import read_lines, typed_lines, write_lines
from experiments.common.optimizer import (
    initial_train_state,
    make_optimizer,
    make_schedule,
)
from experiments.common.recurrent import with_precision
from experiments.common.training_run import (
    Trained,
    closing_rows,
    epoch_plan,
    load_params,
    open_run,
    run_summary,
    train_model,
)
from experiments.common.workdir import Workdir
from experiments.translation.bleu import check_tokenizer
from experiments.translation.config import Config, DecodeConfig, ScoreConfig
from experiments.translation.data import (
    SUBWORD_FILES,
    Tokenizers,
    draw_segmentations,
    encode_pairs,
    load_pairs,
    plan_minibatches,
    prepare,
    prepare_split,
    read_tokenizers,
    tokens_of,
    train_tokenizers,
    vocabulary,
    write_tokenizers,
)
from experiments.translation.evaluate import (
    make_perplexity,
    make_validation,
    print_samples,
    score_rows,
    translate_test,
)
from experiments.translation.figures import draw_attention
from experiments.translation.model import Params, build_model, build_train_loop
from experiments.translation.translator import (
    Translation,
    Translator,
    note_cut_off,
)
from seqjax.data import parallel
from seqjax.data.buckets import PairBatch
from seqjax.models.seq2seq import Seq2Seq

FILES = (*SUBWORD_FILES, "attention_*.png")
OBJECTIVES = {
    "loss": PERPLEXITY,
    "bleu": Objective(criterion="valid_bleu", maximize=True),
}


@with_precision
def train(config: Config) -> dict[str, Any]:
    """Train until the run is done; the entries of its summary.json."""
    check_tokenizer(config.score.tokenize)
    workdir = open_for_training(config)
    corpus = load_pairs(config.data, config.run.data_dir)
    workdir.check_data(corpus.sha256)
    if workdir.has_checkpoints():
        tokenizers = read_tokenizers(config.data, workdir)
    else:
        tokenizers = train_tokenizers(config.data, corpus.train)
    pairs = encode_pairs(config.data, corpus.train, tokenizers)
    model = build_model(config, tokenizers)

    def make_plan(rng: np.random.Generator) -> Any:
        drawn = draw_segmentations(config.data, pairs, tokenizers, rng)
        return plan_minibatches(config.train, drawn, rng)

    plan, accumulate = epoch_plan(config.run.seed, make_plan), config.train.accumulate
    # Sampled segmentations vary the number of minibatches per epoch, so that the
    # schedule spans an estimate, and the number of epochs ends the run.
    total_steps = config.train.epochs * len(plan(0))
    optimizer = make_optimizer(config.optimizer, total_steps, accumulate)
    schedule = make_schedule(config.optimizer, total_steps, accumulate)
    rows = 0 if config.train.batch_tokens else config.train.batch_size
    placement = Placement.of(config.devices, PairBatch._make([1, 0, 1, 0]), rows)
    job = Job(
        build_train_loop(config.train, model, optimizer, placement),
        data=None,
        plan=plan,
        total_steps=total_steps,
        epochs=config.train.epochs,
        validate=make_validation(config, model, tokenizers, corpus.valid, placement),
        objective=OBJECTIVES[config.train.criterion],
        learning_rate=lambda step: schedule(step // accumulate),
        plateau_factor=config.optimizer.plateau_factor,
        averaging=config.optimizer,
        placement=placement,
        model=model,
    )
    state = initial_train_state(model, optimizer, config.run.seed)
    with workdir.open_for_training():
        write_tokenizers(workdir, tokenizers, corpus.sha256)
        trained = train_model(job, workdir, state, config.train)
        return report(config, workdir, corpus, tokenizers, model, trained)


def open_for_training(config: Config) -> Workdir:
    """The folder of a run that trains.

    With --criterion=bleu the settings of the search and of BLEU decide about the best
    checkpoint, and must not change.
    """
    fields = (*dataclasses.fields(DecodeConfig), *dataclasses.fields(ScoreConfig))
    fixed = [field.name for field in fields] if config.train.criterion == "bleu" else []
    return open_run(config, FILES, fixed=fixed)


def report(
    config: Config,
    workdir: Workdir,
    corpus: parallel.ParallelCorpus,
    tokenizers: Tokenizers,
    model: Seq2Seq,
    trained: Trained,
) -> dict[str, Any]:
    """Translate the test part; write summary.json and figures, print the table."""
    params = trained.params
    ensemble = [params, *load_ensemble(config, tokenizers, model)]
    translator = Translator(model, tokenizers, config.decode, config.run.seed)
    result = translate_test(config, translator, ensemble, corpus.test)
    perplexity_of = make_perplexity(
        model, corpus.valid, tokenizers, config.train.batch_size
    )
    summary = {
        **result.scores,
        "valid_perplexity": perplexity_of(params),
        "sentences_per_second": result.sentences_per_second,
        **run_summary(trained, "tokens", corpus.sha256),
    }
    workdir.write_summary(summary)
    if model.attention is not None:
        number = config.files.figures
        sources, found = corpus.test.source[:number], result.translations[:number]
        draw_attention(workdir.path, model, params, tokenizers, sources, found)
    rows = [
        *score_rows(result),
        ("valid perplexity", f"{summary['valid_perplexity']:.3f}"),
        ("vocabularies", " and ".join(f"{len(t):,}" for t in tokenizers)),
        *closing_rows(summary, "tokens", workdir),
    ]
    print_table(f"{corpus.name}, {config.model.cell}", rows)
    print_samples(corpus.test, result)
    return summary


@with_precision
def evaluate(config: Config) -> dict[str, Any]:
    """Scores of the test part, or of --input with --references, also printed."""
    sources, references = config.files.input, config.files.references
    if sources is not None and references is None:
        raise UserError("--mode=evaluate needs --references for its --input.")
    check_tokenizer(config.score.tokenize)
    workdir = open_run(config, FILES, training=False)
    corpus = load_pairs(config.data, config.run.data_dir)
    workdir.check_data(corpus.sha256)
    test = corpus.test
    if sources is not None and references is not None:
        test = prepare_split(config.data, parallel.load_split(sources, references))
    tokenizers, model, ensemble = load_model(config, workdir)
    translator = Translator(model, tokenizers, config.decode, config.run.seed)
    result = translate_test(config, translator, ensemble, test)
    batch_size = config.train.batch_size
    perplexity_of = make_perplexity(model, corpus.valid, tokenizers, batch_size)
    perplexity = perplexity_of(ensemble[0])
    rows = [
        *score_rows(result),
        ("valid perplexity", f"{perplexity:.4f}"),
        ("files", workdir.path),
    ]
    print_table(f"{config.train.checkpoint} checkpoint", rows)
    print_samples(test, result)
    return {
        **result.scores,
        "valid_perplexity": perplexity,
        "sentences_per_second": result.sentences_per_second,
    }


@with_precision
def translate(config: Config) -> list[list[Translation]]:
    """The translations of each line of --input, best first, written to --output."""
    if config.files.references is not None:
        raise UserError("--references needs --mode=evaluate and --input.")
    workdir = open_run(config, FILES, training=False)
    lines = read_lines(config.files.input)
    sentences = [prepare(config.data, line) for line in lines]
    tokenizers, model, ensemble = load_model(config, workdir)
    translator = Translator(model, tokenizers, config.decode, config.run.seed)
    found = translator.translate(sentences, ensemble)
    note_unknown(tokens_of(tokenizers.source, sentences))
    note_cut_off(found)
    several = config.decode.n_best > 1
    write_lines(
        config.files.output,
        [
            f"{number}\t{t.score:.4f}\t{t.text}" if several else t.text
            for number, of_one in enumerate(found, start=1)
            for t in of_one
        ],
    )
    if config.files.attention_dir:
        folder = Path(config.files.attention_dir)
        draw_attention(folder, model, ensemble[0], tokenizers, sentences, found)
    return found


@with_precision
def interactive(config: Config) -> list[list[Translation]]:
    """The translations of each line of standard input, printed as it is typed."""
    workdir = open_run(config, FILES, training=False)
    tokenizers, model, ensemble = load_model(config, workdir)
    decode = dataclasses.replace(config.decode, decode_batch=1)
    translator = Translator(model, tokenizers, decode, config.run.seed)
    note("type one sentence per line; end with Ctrl-D.")
    results = []
    for line in typed_lines():
        sentence = prepare(config.data, line)
        (found,) = translator.translate([sentence], ensemble)
        note_unknown(tokens_of(tokenizers.source, [sentence]))
        note_cut_off([found])
        for t in found:
            print(f"{t.score:.4f}\t{t.text}" if decode.n_best > 1 else t.text)
        results.append(found)
    return results


class TrainedModel(NamedTuple):
    """What the modes that train nothing use."""

    tokenizers: Tokenizers
    model: Seq2Seq
    ensemble: list[Params]  # the run's own parameters first


def load_model(config: Config, workdir: Workdir) -> TrainedModel:
    """The model of a run, and the parameters of those that --ensemble names."""
    tokenizers = read_tokenizers(config.data, workdir)
    model = build_model(config, tokenizers)
    params = load_params(config, workdir, model, config.train.accumulate)
    others = load_ensemble(config, tokenizers, model)
    return TrainedModel(tokenizers, model, [params, *others])


def load_ensemble(
    config: Config, tokenizers: Tokenizers, model: Seq2Seq
) -> list[Params]:
    """The parameters of the runs that --ensemble names.

    Raises:
      UserError: if one holds no run, or one with other settings or vocabularies.
    """
    ensemble = []
    for path in config.files.ensemble or ():
        try:
            workdir = open_run(
                config, FILES, training=False, path=path, fixed=("epochs",)
            )
        except UserError as error:
            raise UserError(f"--ensemble: {error}") from None
        others = read_tokenizers(config.data, workdir)
        if [*map(vocabulary, others)] != [*map(vocabulary, tokenizers)]:
            raise UserError(f"--ensemble: {path} has another vocabulary.")
        ensemble.append(load_params(config, workdir, model, config.train.accumulate))
    return ensemble
