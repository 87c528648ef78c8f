"""A translation model and its beam search in PyTorch, for `benchmarks.decoding`.

Letters: B batch, K beam, S source length, N = B*K hypotheses, M width of the memory.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from seqjax.data.vocab import BOS, EOS
from seqjax.models.seq2seq import Seq2Seq, Seq2SeqParams

Tensor: TypeAlias = Any  # torch.Tensor; torch may be absent
Translation: TypeAlias = tuple[list[int], float]  # tokens and score


class TorchTranslator:
    """A Seq2Seq of one bidirectional GRU and one GRU with attention, in PyTorch.

    The search is a Python loop over steps with batched beams, as in OpenNMT-py: the
    memory is repeated for each hypothesis, and finished sentences leave the batch.

    Args:
      model: with attention "general", input feeding and a linear bridge.
      params: its parameters.
      beam_size: K.
      max_length: the largest number of tokens of a translation.
      alpha: exponent of the length penalty; the score is log P / length**alpha.
    """

    def __init__(
        self,
        model: Seq2Seq,
        params: Seq2SeqParams,
        beam_size: int,
        max_length: int,
        alpha: float,
    ) -> None:
        import torch

        self._torch = torch
        self._beam_size, self._max_length, self._alpha = beam_size, max_length, alpha
        self._load_encoder(model, params)
        self._load_decoder(model, params)

    def _load_encoder(self, model: Any, params: Any) -> None:
        self._source_embed = self._tensor(params.source_embed)
        self._encoder = self._torch.nn.GRU(
            model.embed_size, model.encoder.cell.hidden_size, bidirectional=True
        )
        for cell, suffix in zip(params.encoder, ("", "_reverse"), strict=True):
            self._load_gru(self._encoder, cell, "_l0" + suffix)
        (bridge,) = params.bridge
        self._bridge = self._linear(bridge.w, bridge.b)

    def _load_decoder(self, model: Any, params: Any) -> None:
        top = params.top
        self._embed = self._tensor(params.target_embed)
        # One product for the embedding and the fed output, as in OpenNMT-py.
        self._cell = self._torch.nn.GRUCell(
            model.embed_size + len(top.w_feed), model.decoder[0].hidden_size
        )
        w_x = np.concatenate([top.cell.w_x, top.w_feed])
        self._load_gru(self._cell, top.cell._replace(w_x=w_x), "")
        self._keys = self._linear(top.attention.w_k)
        out = np.concatenate([top.w_state, top.w_context])
        self._out = self._linear(out, top.b)
        self._logits = self._linear(params.out_w, params.out_b)

    def _tensor(self, array: Any) -> Tensor:
        return self._torch.as_tensor(np.array(array))

    def _linear(self, w: Any, b: Any = None) -> Any:
        input_size, output_size = w.shape
        has_bias = b is not None
        layer = self._torch.nn.Linear(input_size, output_size, bias=has_bias)
        layer.weight.data = self._tensor(w).T.contiguous()
        if has_bias:
            layer.bias.data = self._tensor(b)
        return layer

    def _load_gru(self, module: Any, cell: Any, suffix: str) -> None:
        for name, value in (
            ("weight_ih", np.transpose(cell.w_x)),
            ("weight_hh", np.transpose(cell.w_h)),
            ("bias_ih", cell.b_x),
            ("bias_hh", cell.b_h),
        ):
            getattr(module, name + suffix).data = self._tensor(value).contiguous()

    def translate(self, source: np.ndarray) -> list[Translation]:
        """The best translation of each sentence.

        Args:
          source: integers [S, B], without padding.
        """
        with self._torch.inference_mode():
            return self._search(self._torch.as_tensor(np.asarray(source)).long())

    def _encode(self, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(memory [B, S, M], keys [B, S, H], state [B, H])."""
        memory, last = self._encoder(self._source_embed[source])
        state = self._torch.tanh(self._bridge(self._torch.cat([*last], dim=-1)))
        memory = memory.transpose(0, 1)
        return memory, self._keys(memory), state

    def _step(
        self, tokens: Tensor, state: Tensor, feed: Tensor, keys: Tensor, memory: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One decoder step for [N] hypotheses: (log-probabilities, state, feed)."""
        torch = self._torch
        state = self._cell(torch.cat([self._embed[tokens], feed], dim=-1), state)
        weights = torch.bmm(keys, state[..., None]).softmax(dim=1)  # [N, S, 1]
        context = torch.bmm(weights.transpose(1, 2), memory)[:, 0]
        feed = torch.tanh(self._out(torch.cat([state, context], dim=-1)))
        return self._logits(feed).log_softmax(dim=-1), state, feed

    def _search(self, source: Tensor) -> list[Translation]:
        torch, beam_size = self._torch, self._beam_size
        memory, keys, state = self._encode(source)
        batch_size = len(memory)
        memory, keys, state = (
            a.repeat_interleave(beam_size, dim=0) for a in (memory, keys, state)
        )
        feed = torch.zeros(batch_size * beam_size, self._out.out_features)
        tokens = torch.full((batch_size * beam_size, 1), BOS)
        totals = torch.full((batch_size, beam_size), -torch.inf)
        totals[:, 0] = 0.0
        best: list[Translation] = [([], -np.inf)] * batch_size
        active = list(range(batch_size))  # unfinished sentences
        for length in range(1, self._max_length + 1):
            log_probs, state, feed = self._step(
                tokens[:, -1], state, feed, keys, memory
            )
            values, parents, chosen = self._expand(totals, log_probs)
            finished = chosen == EOS
            self._keep_best(best, active, tokens, parents, values, finished, length)
            totals, order = values.masked_fill(finished, -torch.inf).topk(beam_size)
            unfinished = self._unfinished(totals, [best[i][1] for i in active], length)
            if not unfinished:
                return best
            rows = torch.tensor(unfinished)
            parents, chosen = (
                a.gather(1, order)[rows].flatten() for a in (parents, chosen)
            )
            totals = totals[rows]
            tokens = torch.cat([tokens[parents], chosen[:, None]], dim=1)
            state, feed = state[parents], feed[parents]
            if len(unfinished) < len(active):
                memory, keys = memory[parents], keys[parents]
                active = [active[i] for i in unfinished]
        self._use_unfinished(best, active, tokens, totals)
        return best

    def _expand(
        self, totals: Tensor, log_probs: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The best continuations of each sentence: (totals, parents, tokens)."""
        beam_size, vocab_size = self._beam_size, log_probs.shape[-1]
        batch_size = len(totals)
        scores = totals[..., None] + log_probs.view(-1, beam_size, vocab_size)
        # At most K of 2K continuations end in EOS, so that K unfinished ones are left.
        count = beam_size if beam_size == 1 else 2 * beam_size
        values, indices = scores.view(batch_size, -1).topk(count)
        parents = indices // vocab_size
        parents += beam_size * self._torch.arange(batch_size)[:, None]
        return values, parents, indices % vocab_size

    def _keep_best(
        self,
        best: list[Translation],
        active: Sequence[int],
        tokens: Tensor,
        parents: Tensor,
        values: Tensor,
        finished: Tensor,
        length: int,
    ) -> None:
        """Replace translations in `best` by better ones that are finished now."""
        final = values / length**self._alpha
        for row, column in finished.nonzero().tolist():
            score = float(final[row, column])
            if score > best[active[row]][1]:
                prefix = tokens[parents[row, column], 1:].tolist()
                best[active[row]] = ([*prefix, EOS], score)

    def _unfinished(
        self, totals: Tensor, best: Sequence[float], length: int
    ) -> list[int]:
        """Rows whose sentence may still get a higher score than its best one."""
        if length == self._max_length:
            return list(range(len(best)))
        if self._beam_size == 1:  # greedy search ends with the first EOS
            return [row for row, score in enumerate(best) if score == -np.inf]
        bounds = (totals[:, 0] / self._max_length**self._alpha).tolist()
        return [row for row, bound in enumerate(bounds) if bound > best[row]]

    def _use_unfinished(
        self,
        best: list[Translation],
        active: Sequence[int],
        tokens: Tensor,
        totals: Tensor,
    ) -> None:
        """Give sentences without a finished translation their best unfinished one."""
        for row, i in enumerate(active):
            if best[i][1] == -np.inf:
                score = float(totals[row, 0]) / self._max_length**self._alpha
                best[i] = (tokens[row * self._beam_size, 1:].tolist(), score)
