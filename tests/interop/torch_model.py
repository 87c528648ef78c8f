"""A regularized language model and its updates in PyTorch, for `recipes_in_torch`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.optimizer import OptimizerConfig
from seqjax.cells import LSTM
from seqjax.lstm_variants import MogrifierLSTM
from seqjax.models.language_model import LanguageModel, LanguageModelParams
from seqjax.nn.layers import dropout
from seqjax.nn.regularization import drop_connect, drop_words
from seqjax.recurrence import Stack


def drawn(mask: jax.Array) -> Any:
    """A mask, which jax draws, as a tensor."""
    import torch

    return torch.as_tensor(np.array(mask))


class TorchModel:
    """The loss of a LanguageModel of LSTMs, one time step after another.

    Attributes:
      leaves: the parameters, in the order of the leaves of seqjax's.
      state: (h, c) of every layer after the last minibatch.
      value: the last loss, without penalties.
    """

    def __init__(self, model: LanguageModel, params: LanguageModelParams) -> None:
        import torch

        self.model = model
        cell = model.cell
        self.cells = cell.cells if isinstance(cell, Stack) else (cell,)
        self.rates = (cell.dropout, cell.locked) if isinstance(cell, Stack) else (0, 0)
        arrays, self.tree = jax.tree.flatten(params)
        self.leaves = [torch.tensor(np.array(a), requires_grad=True) for a in arrays]
        self.state: Any = None
        self.value = 0.0

    def parameters(self) -> list[np.ndarray]:
        """The parameters as arrays."""
        return [a.detach().numpy() for a in self.leaves]

    def loss(self, window: np.ndarray, length: int, key: jax.Array) -> Any:
        """The mean loss of the first `length` steps of a minibatch, with penalties.

        Args:
          window: integers [T + 1, B].
          length: the steps that count; masks are drawn for all T.
          key: the random key of the minibatch.
        """
        import torch

        params = jax.tree.unflatten(self.tree, self.leaves)
        model, num_steps = self.model, len(window) - 1
        k_inputs, k_cell, k_outputs = jax.random.split(key, 3)
        k_words, k_weights, _ = jax.random.split(jax.random.fold_in(key, 3), 3)
        tokens = torch.as_tensor(window.astype(np.int64))
        rows = window.shape[1:]

        def masked(xs: Any, key: jax.Array, rate: float, locked: bool) -> Any:
            ones = jnp.ones((num_steps, *rows, xs.shape[-1]))
            return xs * drawn(dropout(key, ones, rate, bool(locked)))[:length]

        xs = params.embed[tokens[:length]]
        ones = jnp.ones((num_steps, *rows, 1))
        words = drop_words(
            k_words, ones, window[:-1], model.vocab_size, model.embed_dropout
        )
        xs = xs * drawn(words)[:length]
        rate = model.dropout if model.input_dropout is None else model.input_dropout
        xs = masked(xs, k_inputs, rate, model.locked)
        of_layers = params.cell if isinstance(model.cell, Stack) else (params.cell,)
        shapes = jax.tree.map(lambda a: jnp.ones(tuple(a.shape)), params.cell)
        masks = drop_connect(k_weights, shapes, model.weight_dropout)
        masks = masks if isinstance(model.cell, Stack) else (masks,)
        state = self.state or [None] * len(self.cells)
        after = []
        for layer, (cell, own) in enumerate(zip(self.cells, of_layers, strict=True)):
            if layer:
                between = jax.random.split(jax.random.fold_in(k_cell, layer))[0]
                xs = masked(xs, between, *self.rates)
            own = own._replace(w_h=own.w_h * drawn(masks[layer].w_h))
            xs, last = unrolled(cell, own, xs, state[layer])
            after.append(last)
        self.state = [tuple(s.detach() for s in pair) for pair in after]
        rate = model.dropout if model.output_dropout is None else model.output_dropout
        dropped = masked(xs, k_outputs, rate, model.locked)
        w, b = params.out if not model.tie_embeddings else (params.embed.T, params.out)
        labels = tokens[1 : length + 1].reshape(-1)
        logits = (dropped @ w + b).flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(logits, labels)
        self.value = float(loss.detach())
        count = labels.numel()
        width = xs.shape[-1]
        squares, changes = (dropped**2).sum(), ((xs[1:] - xs[:-1]) ** 2).sum()
        loss = loss + model.activation_penalty * squares / (width * count)
        return loss + model.temporal_penalty * changes / (width * count)


def unrolled(cell: Any, params: Any, xs: Any, state: Any) -> tuple[Any, Any]:
    """(outputs [T, B, H], (h, c)) of an LSTM or a MogrifierLSTM."""
    import torch

    if not isinstance(cell, LSTM | MogrifierLSTM):
        raise TypeError(f"no PyTorch form of a {type(cell).__name__}")
    if state is None:
        zeros = torch.zeros(*xs.shape[1:-1], cell.hidden_size, dtype=xs.dtype)
        state = zeros, zeros
    h, c = state
    found = []
    for x in xs:
        before = h
        for k, factors in enumerate(getattr(params, "rounds", ())):
            gate = before if k % 2 == 0 else x
            for w in factors:
                gate = gate @ w
            if k % 2 == 0:
                x = 2 * torch.sigmoid(gate) * x
            else:
                before = 2 * torch.sigmoid(gate) * before
        gates = x @ params.w_x + before @ params.w_h + params.b
        i, f, g, o = gates.chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        found.append(h)
    return torch.stack(found), (h, c)


class TorchOptimizer:
    """SGD, Adam or AdamW of PyTorch with clipping, a schedule, and averages."""

    def __init__(
        self, config: OptimizerConfig, model: TorchModel, schedule: Callable[[int], Any]
    ) -> None:
        import torch

        self.config, self.model, self.schedule = config, model, schedule
        kinds: Any = {
            "sgd": torch.optim.SGD,
            "adam": torch.optim.Adam,
            "adamw": torch.optim.AdamW,
        }
        options: Any = {"lr": 1.0}
        if config.optimizer != "adam":
            options["weight_decay"] = config.weight_decay
        self.optimizer = kinds[config.optimizer](model.leaves, **options)
        self.updates = 0
        self.history: list[list[np.ndarray]] = []  # the parameters that are averaged

    def step(self, loss: Any, factor: float) -> None:
        """One update, at the scheduled rate times a factor."""
        import torch

        rate = factor * float(self.schedule(self.updates))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()
        if self.config.clip_norm:
            norm = torch.sqrt(sum((a.grad**2).sum() for a in self.model.leaves))
            for a in self.model.leaves:  # torch's own function adds 1e-6 to the norm
                a.grad *= torch.clamp(self.config.clip_norm / norm, max=1.0)
        self.optimizer.step()
        self.updates += 1
        if self.history or self.config.averaging == "ema":
            self.begin_average()

    def begin_average(self) -> None:
        """Count the present parameters."""
        self.history.append([a.copy() for a in self.model.parameters()])

    def averages(self) -> list[np.ndarray]:
        """The mean of the parameters, or their exponential average."""
        if not self.history:
            return self.model.parameters()
        n, decay = len(self.history), self.config.ema_decay
        weights = np.ones(n)
        if self.config.averaging == "ema":
            weights = decay ** np.arange(n)[::-1]
        weights /= weights.sum()
        return [
            np.tensordot(weights, np.stack(arrays), axes=1)
            for arrays in zip(*self.history, strict=True)
        ]
