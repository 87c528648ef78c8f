"""A language model and its training in PyTorch, for `benchmarks.training`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from seqjax.models.language_model import LanguageModel, LanguageModelParams
from seqjax.recurrence import Stack


def make_trainer(
    model: LanguageModel,
    params: LanguageModelParams,
    tokens: np.ndarray,
    bfloat16: bool = False,
) -> Callable[[int], float]:
    """Truncated backpropagation through time, as in PyTorch's tutorials.

    Args:
      model: a LanguageModel of a Stack of equal cells.
      params: the initial parameters.
      tokens: minibatches, integers [N, T + 1, B].
      bfloat16: compute products in bfloat16, by torch.autocast.

    Returns:
      train(count), which trains on the first `count` minibatches and returns the mean
      loss. Each call continues from the weights and the state of the last one.
    """
    import torch

    module = make_module(model)
    load_params(module, params)
    weights = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=1.0)
    windows = torch.as_tensor(tokens.astype(np.int64))
    autocast = torch.autocast(torch.get_default_device().type, torch.bfloat16, bfloat16)
    state: Any = None

    def train(count: int) -> float:
        nonlocal state
        total = torch.zeros(())
        for window in windows[:count]:
            with autocast:
                logits, state = module(window[:-1], state)
                labels = window[1:].reshape(-1)
                loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            is_pair = isinstance(state, tuple)
            state = tuple(s.detach() for s in state) if is_pair else state.detach()
            total += loss.detach()
        return float(total) / count

    return train


def make_module(model: LanguageModel) -> Any:
    """The model as a torch.nn.Module: (tokens, state) -> (logits, state)."""
    import torch

    assert isinstance(model.cell, Stack)
    cell: Any = model.cell.cells[0]
    layer_class = getattr(torch.nn, type(cell).__name__)
    num_layers = len(model.cell.cells)

    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            embed_size = model.embed_size or model.vocab_size
            if model.embed_size:
                self.embed = torch.nn.Embedding(model.vocab_size, embed_size)
            self.layers = layer_class(
                embed_size, cell.hidden_size, num_layers, dropout=model.dropout
            )
            self.dropout = torch.nn.Dropout(model.dropout)
            self.out = torch.nn.Linear(cell.hidden_size, model.vocab_size)

        def forward(self, tokens: Any, state: Any) -> tuple[Any, Any]:
            if model.embed_size:
                xs = self.dropout(self.embed(tokens))
            else:
                one_hot = torch.nn.functional.one_hot
                xs = one_hot(tokens, model.vocab_size).float()
            ys, state = self.layers(xs, state)
            return self.out(self.dropout(ys)), state

    return Module()


def load_params(module: Any, params: LanguageModelParams) -> None:
    """Copy parameters into a torch module.

    A seqjax cell with one bias leaves torch's second bias at zero, without training.
    """
    import torch

    arrays = {"out.weight": params.out.w.T, "out.bias": params.out.b}
    if params.embed is not None:
        arrays["embed.weight"] = params.embed
    for layer, cell in enumerate(params.cell):
        arrays[f"layers.weight_ih_l{layer}"] = cell.w_x.T
        arrays[f"layers.weight_hh_l{layer}"] = cell.w_h.T
        has_two_biases = hasattr(cell, "b_h")
        arrays[f"layers.bias_ih_l{layer}"] = cell.b_x if has_two_biases else cell.b
        if has_two_biases:
            arrays[f"layers.bias_hh_l{layer}"] = cell.b_h
    for name, parameter in module.named_parameters():
        if name in arrays:
            parameter.data.copy_(torch.tensor(np.array(arrays[name])))
        else:
            parameter.data.zero_()
            parameter.requires_grad_(False)
