"""PyTorch's word language model on WikiText-2, the peer of two recipes.

    python -m experiments.benchmarks.word_language_model
    python -m experiments.benchmarks.word_language_model --epochs=2 --json=runs/two.json

A tied LSTM of 2 x 200 units with dropout of 0.2 is trained by SGD at a rate of 20,
divided by 4 after an epoch without improvement. Gradients are clipped at a norm of
0.25, and minibatches are 20 rows of 35 steps: the settings of PyTorch's example
word_language_model. It reads the tokens of `--dataset=wikitext2 --level=word`, and its
perplexities are over whole texts read as one row, like those of the language model
command. After every epoch, the table and the JSON file have the seconds of training so
far, without validations, and the perplexities. The benchmark needs torch.
"""

import dataclasses
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.benchmarks import environment
from experiments.benchmarks.results import check_json, write_json
from experiments.common.command_line import launch
from experiments.common.console import note, print_columns
from experiments.common.settings import Settings, setting
from seqjax.data import corpora

HIDDEN_SIZE, NUM_LAYERS, DROPOUT = 200, 2, 0.2
BATCH_SIZE, NUM_STEPS = 20, 35
RATE, CLIP_NORM, DECAY = 20.0, 0.25, 4.0
HEADER = [
    "epoch",
    "rate",
    "train perplexity",
    "valid perplexity",
    "tokens/s",
    "seconds",
]


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """The settings of this benchmark."""

    data_dir: str | None = setting(
        None, "Folder that holds the data sets, as for the language model."
    )
    epochs: int = setting(6, "Number of passes over the training text.", minimum=1)
    minutes: float = setting(
        0.0, "Number of minutes of training; 0 counts epochs.", minimum=0
    )
    max_tokens: int = setting(
        0, "Number of training tokens to use; 0 uses all.", minimum=0
    )
    seed: int = setting(0, "Random seed of the parameters and of dropout.", minimum=0)
    threads: int = setting(0, "Number of threads; 0 uses all cores.", minimum=0)
    json: str = setting(
        "runs/benchmarks/word_language_model.json", "JSON file for all numbers."
    )


def make_module(vocab_size: int) -> Any:
    """The model: (tokens [T, B], state) -> (logits [T, B, V], state)."""
    import torch

    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = torch.nn.Embedding(vocab_size, HIDDEN_SIZE)
            self.layers = torch.nn.LSTM(
                HIDDEN_SIZE, HIDDEN_SIZE, NUM_LAYERS, dropout=DROPOUT
            )
            self.dropout = torch.nn.Dropout(DROPOUT)
            self.out = torch.nn.Linear(HIDDEN_SIZE, vocab_size)
            self.out.weight = self.embed.weight
            torch.nn.init.uniform_(self.embed.weight, -0.1, 0.1)
            torch.nn.init.zeros_(self.out.bias)

        def forward(self, tokens: Any, state: Any) -> tuple[Any, Any]:
            ys, state = self.layers(self.dropout(self.embed(tokens)), state)
            return self.out(self.dropout(ys)), state

    return Module()


def rows_of(tokens: np.ndarray) -> Any:
    """The text as [N / B, B], its rows one after another; the rest is dropped."""
    import torch

    length = len(tokens) // BATCH_SIZE
    rows = tokens[: length * BATCH_SIZE].reshape(BATCH_SIZE, length).T
    return torch.as_tensor(np.ascontiguousarray(rows), dtype=torch.int64)


def train_epoch(
    module: Any, rows: Any, rate: float, until: float
) -> tuple[float, int, bool]:
    """(summed loss, number of tokens, whether the epoch was read to its end)."""
    import torch

    module.train()
    total, count, state = 0.0, 0, None
    for begin in range(0, len(rows) - 1, NUM_STEPS):
        if time.perf_counter() >= until:
            return total, count, False
        end = min(begin + NUM_STEPS, len(rows) - 1)
        labels = rows[begin + 1 : end + 1].reshape(-1)
        if state is not None:
            state = tuple(s.detach() for s in state)
        module.zero_grad()
        logits, state = module(rows[begin:end], state)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), CLIP_NORM)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(parameter.grad, alpha=-rate)
        total += loss.item() * labels.numel()
        count += labels.numel()
    return total, count, True


def perplexity(module: Any, tokens: np.ndarray, num_steps: int = 512) -> float:
    """Of a whole text, read as one row from a state of zero."""
    import torch

    module.eval()
    text = torch.as_tensor(tokens, dtype=torch.int64)[:, None]
    total, state = 0.0, None
    with torch.no_grad():
        for begin in range(0, len(text) - 1, num_steps):
            end = min(begin + num_steps, len(text) - 1)
            logits, state = module(text[begin:end], state)
            labels = text[begin + 1 : end + 1].reshape(-1)
            loss = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), labels, reduction="sum"
            )
            total += loss.item()
    return math.exp(total / (len(text) - 1))


def run(config: Config) -> dict[str, Any]:
    """Train as the settings say; the record of the run."""
    check_json(config.json)
    environment.require("torch")
    environment.prepare()
    import torch

    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    corpus = corpora.load("wikitext2", config.data_dir)
    tokens = corpora.tokenize_corpus(corpus, "word", 1, config.max_tokens)
    module, rows = make_module(len(tokens.vocab)), rows_of(tokens.train)
    records: list[dict[str, Any]] = []
    rate, best, seconds, best_weights = RATE, math.inf, 0.0, None
    limit = 60 * config.minutes or math.inf
    while seconds < limit and (config.minutes or len(records) < config.epochs):
        clock = time.perf_counter()
        total, count, is_whole = train_epoch(
            module, rows, rate, clock + limit - seconds
        )
        took = time.perf_counter() - clock
        seconds += took
        valid = perplexity(module, tokens.valid)
        records.append(
            {
                "epoch": len(records) + 1,
                "rate": rate,
                "train_perplexity": math.exp(total / count),
                "valid_perplexity": valid,
                "tokens_per_second": count / took,
                "seconds": seconds,
                "whole": is_whole,
            }
        )
        note(f"epoch {len(records)}: valid perplexity {valid:.2f}, {seconds:.0f} s")
        if valid < best:
            best, best_weights = (
                valid,
                {k: v.clone() for k, v in module.state_dict().items()},
            )
        else:
            rate /= DECAY
        write_json("word_language_model", config, records, {"best_valid": best})
    assert best_weights is not None
    module.load_state_dict(best_weights)
    found = {"valid": best, "test": perplexity(module, tokens.test)}
    write_json("word_language_model", config, records, found)
    shown = [[f"{v:,.4g}" for k, v in r.items() if k != "whole"] for r in records]
    print_columns("PyTorch's word language model", HEADER, shown)
    print(f"test perplexity of the best epoch: {found['test']:.2f}")
    return {"epochs": records, **found}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with these arguments, by default those of the process."""
    launch(__doc__, Config, {"run": run}, argv)


if __name__ == "__main__":
    main()
