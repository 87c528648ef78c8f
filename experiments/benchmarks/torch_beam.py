"""The translation model and its beam search in PyTorch, for `benchmarks.decoding`."""

import numpy as np

from seqjax.data.vocab import BOS, EOS


class TorchTranslator:
    """A Seq2Seq of one bidirectional and one attending GRU layer, with its weights.

    Args:
      model, params: of seqjax; attention "general", input feeding, a linear bridge.
      width: K.
      max_length: tokens of a translation at most.
      alpha: of the length penalty, log P / length**alpha.
    """

    def __init__(self, model, params, width, max_length, alpha):
        import torch

        self._torch = torch
        self._width, self._max_length, self._alpha = width, max_length, alpha
        self._source_embed = self._tensor(params.source_embed)
        self._embed = self._tensor(params.target_embed)
        hidden = model.decoder[0].hidden_size
        width_in = params.source_embed.shape[1]
        self._encoder = torch.nn.GRU(
            width_in, model.encoder.cell.hidden_size, bidirectional=True
        )
        for cell, suffix in zip(params.encoder, ("", "_reverse"), strict=True):
            self._load(self._encoder, cell, "_l0" + suffix)
        # x and the fed output side by side, as OpenNMT-py feeds its GRUCell.
        top = params.top
        self._cell = torch.nn.GRUCell(width_in + len(top.w_feed), hidden)
        w_x = np.concatenate([top.cell.w_x, top.w_feed])
        self._load(self._cell, top.cell._replace(w_x=w_x), "")
        (bridge,) = params.bridge
        self._bridge = self._linear(bridge.w, bridge.b)
        self._keys = self._linear(top.attention.w_k)
        out = np.concatenate([top.w_state, top.w_context])
        self._out = self._linear(out, top.b)
        self._logits = self._linear(params.out_w, params.out_b)

    def _tensor(self, array):
        return self._torch.from_numpy(np.array(array))

    def _linear(self, w, b=None):
        layer = self._torch.nn.Linear(*w.shape, bias=b is not None)
        layer.weight.data = self._tensor(w).T.contiguous()
        if b is not None:
            layer.bias.data = self._tensor(b)
        return layer

    def _load(self, module, cell, suffix):
        for name, value in (
            ("weight_ih", np.transpose(cell.w_x)),
            ("weight_hh", np.transpose(cell.w_h)),
            ("bias_ih", cell.b_x),
            ("bias_hh", cell.b_h),
        ):
            getattr(module, name + suffix).data = self._tensor(value).contiguous()

    def translate(self, source):
        """[(tokens, score)], the best of each sentence; source is int [S, B]."""
        with self._torch.inference_mode():
            return self._search(self._torch.from_numpy(np.asarray(source)).long())

    def _encode(self, source):
        memory, last = self._encoder(self._source_embed[source])
        state = self._torch.tanh(self._bridge(self._torch.cat([*last], dim=-1)))
        memory = memory.transpose(0, 1)  # [B, S, M]
        return memory, self._keys(memory), state

    def _step(self, tokens, state, feed, keys, memory):
        """One decoder step for [N] hypotheses: (log-probabilities, state, feed)."""
        torch = self._torch
        state = self._cell(torch.cat([self._embed[tokens], feed], dim=-1), state)
        weights = torch.bmm(keys, state[..., None]).softmax(dim=1)  # [N, S, 1]
        context = torch.bmm(weights.transpose(1, 2), memory)[:, 0]
        feed = torch.tanh(self._out(torch.cat([state, context], dim=-1)))
        return self._logits(feed).log_softmax(dim=-1), state, feed

    def _search(self, source):
        torch, width = self._torch, self._width
        memory, keys, state = self._encode(source)
        batch = len(memory)
        memory, keys, state = (
            a.repeat_interleave(width, dim=0) for a in (memory, keys, state)
        )
        feed = torch.zeros(batch * width, self._out.out_features)
        tokens = torch.full((batch * width, 1), BOS)
        totals = torch.full((batch, width), -torch.inf)
        totals[:, 0] = 0.0
        best = [([], -np.inf)] * batch
        alive = list(range(batch))  # sentences that go on
        for length in range(1, self._max_length + 1):
            log_probs, state, feed = self._step(
                tokens[:, -1], state, feed, keys, memory
            )
            vocab_size = log_probs.shape[-1]
            scores = totals[..., None] + log_probs.view(-1, width, vocab_size)
            count = width if width == 1 else 2 * width
            values, places = scores.view(len(alive), -1).topk(count)
            parents = places // vocab_size
            parents += width * torch.arange(len(alive))[:, None]
            chosen = places % vocab_size
            ended = chosen == EOS
            final = values / length**self._alpha
            for row, column in ended.nonzero().tolist():
                score = float(final[row, column])
                if score > best[alive[row]][1]:
                    words = tokens[parents[row, column], 1:].tolist()
                    best[alive[row]] = ([*words, EOS], score)
            totals, order = values.masked_fill(ended, -torch.inf).topk(width)
            going_on = self._going_on(totals, [best[i][1] for i in alive], length)
            if not going_on:
                return best
            rows = torch.tensor(going_on)
            parents, chosen = (
                a.gather(1, order)[rows].flatten() for a in (parents, chosen)
            )
            totals = totals[rows]
            tokens = torch.cat([tokens[parents], chosen[:, None]], dim=1)
            state, feed = state[parents], feed[parents]
            if len(going_on) < len(alive):
                memory, keys = memory[parents], keys[parents]
                alive = [alive[i] for i in going_on]
        for row, i in enumerate(alive):
            if best[i][1] == -np.inf:
                score = float(totals[row, 0]) / self._max_length**self._alpha
                best[i] = (tokens[row * width, 1:].tolist(), score)
        return best

    def _going_on(self, totals, best, length):
        """Rows whose sentence can still get a better score than its best."""
        if length == self._max_length:
            return list(range(len(best)))
        if self._width == 1:  # greedy ends with the first eos
            return [row for row, score in enumerate(best) if score == -np.inf]
        bounds = (totals[:, 0] / self._max_length**self._alpha).tolist()
        return [row for row, bound in enumerate(bounds) if bound > best[row]]
