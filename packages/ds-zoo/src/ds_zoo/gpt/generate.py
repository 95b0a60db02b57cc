"""How a model continues texts: token by token, several at once, by chance or along beams.

Read :meth:`Generates.generate` first; :class:`Reading` below it is what it moves forward: sequences of
different lengths, filled up on the left to one width, and the caches of what was read.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self

import torch
from ds_core.checks import check_whole, seeded, shape
from ds_core.functional import log_softmax
from ds_core.module import Module, evaluating
from ds_core.text import Tokenizer, beam_search, penalize_repetition, sample
from ds_transformer import KeyValueCache, StaticCache
from torch import Tensor

from ds_zoo.gpt.decoder import Decoder

_TAIL = 8  # tokens looked at for a stop string, besides as many as it has bytes: none is shorter


class Generates(Module):
    """Base of a model that continues texts."""

    @torch.no_grad()
    def generate(
        self,
        prompts: Any,
        max_new_tokens: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float = 1.0,
        num_beams: int = 1,
        length_penalty: float = 1.0,
        stop_tokens: Sequence[int] = (),
        stop_strings: Sequence[str] = (),
        tokenizer: Tokenizer | None = None,
        seed: int | Sequence[int] | None = None,
        use_cache: bool = True,
        pad_token: int = 0,
    ) -> Any:
        """Continues texts token by token.

        Prompts of different lengths go side by side, and what comes of one depends on nothing but itself and
        its seed: not on the others. With the cache each new token costs one position. Once the context is
        full, the later half of it is read again from its start, since learned positions cannot slide.

        Args:
            prompts: one ``(T,)``, several of one length ``(B, T)``, or a list of ``(T_b,)``; token ids.
            max_new_tokens: how many to add at most.
            temperature: 0 for greedy; see :func:`ds_core.text.sample`, also for the next three.
            top_k: keep only the k likeliest tokens.
            top_p: keep only the nucleus.
            min_p: keep only tokens at least this share as likely as the likeliest.
            repetition_penalty: above 1 against tokens that the text already has, see
                :func:`ds_core.text.penalize_repetition`.
            num_beams: above 1 for the likeliest continuation that so many beams find, without chance: see
                :func:`ds_core.text.beam_search`.
            length_penalty: of beams: log p is divided by the number of new tokens to this power.
            stop_tokens: each ends a text, and is its last token.
            stop_strings: each ends a text as soon as what was added holds it.
            tokenizer: reads the tokens; needed for stop_strings.
            seed: of chance: one for each text, or the first one's, from which the others' count on; None to
                draw it from torch's global generator.
            use_cache: False recomputes every position for each token: the plain form, for comparison.
            pad_token: fills the rows of a tensor after the end of a text.

        Returns:
            Prompts and continuations, as given: ``(T + new,)``, ``(B, T + new)``, or a list of
            ``(T_b + new,)``; int64.

        Raises:
            ValueError: if a prompt is empty or longer than the context, or an option is out of range.
            TypeError: if prompts are no token ids.
            IndexError: if a token is outside the vocabulary.
        """
        model: Any = self
        context, vocabulary = model.config.n_positions, model.config.vocab_size
        rows = self._rows(prompts, context)
        check_whole("MiniGPT.generate", 0, max_new_tokens=max_new_tokens)
        check_whole("MiniGPT.generate", num_beams=num_beams)
        if isinstance(stop_tokens, int):
            raise TypeError(
                f"MiniGPT.generate: expected a list of stop_tokens, got one; write [{stop_tokens}]"
            )
        for token in stop_tokens:
            if not 0 <= token < vocabulary:
                raise IndexError(
                    f"MiniGPT.generate: expected stop_tokens from 0 to {vocabulary - 1}, got {token}"
                )
        if isinstance(stop_strings, str):
            raise TypeError(
                f"MiniGPT.generate: expected a list of stop_strings, got one text; write [{stop_strings!r}]"
            )
        if stop_strings and tokenizer is None:
            raise ValueError("MiniGPT.generate: stop_strings need the tokenizer=, to read the tokens")
        if not all(stop_strings):
            raise ValueError("MiniGPT.generate: expected stop_strings of at least one character, got ''")
        if num_beams == 1 and length_penalty != 1:
            raise ValueError(
                f"MiniGPT.generate: length_penalty is of beams: leave it out, or give num_beams above 1, got "
                f"{length_penalty}"
            )
        if not (rows and max_new_tokens):
            return self._as_given(prompts, rows, pad_token)
        with evaluating(self):
            reading = Reading(model, rows, use_cache, repetition_penalty)
            if num_beams > 1:
                if (temperature, top_k, top_p, min_p) not in ((1.0, None, None, None), (0, None, None, None)):
                    raise ValueError(
                        "MiniGPT.generate: beams take no chance: give num_beams=1, or neither temperature, "
                        "top_k, top_p nor min_p"
                    )
                if stop_strings:
                    raise ValueError("MiniGPT.generate: beams stop at stop_tokens, not at stop_strings")
                if max(map(len, rows)) + max_new_tokens > context:
                    raise ValueError(
                        f"MiniGPT.generate: with beams prompt and continuation must fit into the context of "
                        f"{context}, got {max(map(len, rows))} and {max_new_tokens}"
                    )
                found = beam_search(
                    beam_step,
                    reading,
                    batch_size=len(rows),
                    bos_id=0,  # which nobody reads: the prompts are read already
                    eos_id=list(stop_tokens),
                    beam_size=num_beams,
                    max_length=max_new_tokens,
                    length_penalty=length_penalty,
                    normalizer="power",
                    keep_unfinished=True,
                    device=reading.device,
                )
                ends = zip(rows, found.tokens.tolist(), found.lengths.tolist(), strict=True)
                return self._as_given(prompts, [row + new[:n] for row, new, n in ends], pad_token)

            chance = None if temperature == 0 else draws(len(rows), max_new_tokens, seed)  # (new, B)
            going = list(range(len(rows)))  # which texts have not ended
            for place in range(max_new_tokens):
                draw = None if chance is None else chance[place, going]
                chosen = sample(reading.scores(), temperature, top_k, top_p, min_p=min_p, draws=draw)
                latest = chosen.tolist()
                for row, token in zip(going, latest, strict=True):
                    rows[row].append(token)
                keep = list(range(len(going)))
                if stop_tokens or stop_strings:
                    keep = [
                        i
                        for i, row in enumerate(going)
                        if latest[i] not in stop_tokens
                        and not holds(rows[row][-place - 1 :], stop_strings, tokenizer)
                    ]
                if not keep or place + 1 == max_new_tokens:
                    break
                if len(keep) < len(going):
                    kept = torch.tensor(keep, device=reading.device)
                    going, reading, chosen = [going[i] for i in keep], reading.reorder(kept), chosen[kept]
                reading.read(chosen)
        return self._as_given(prompts, rows, pad_token)

    def _rows(self, prompts: Any, context: int) -> list[list[int]]:
        """Returns each prompt as a list of tokens."""
        several = list(prompts) if not isinstance(prompts, Tensor) or prompts.dim() == 2 else [prompts]
        rows = []
        for one in several:
            if isinstance(one, str):
                raise TypeError("MiniGPT.generate: expected token ids, as encode gives them, got a text")
            one = torch.as_tensor(one)
            if one.numel() and (one.is_floating_point() or one.dtype == torch.bool):
                raise TypeError(f"MiniGPT.generate: expected token ids, integers, got {one.dtype}")
            if one.dim() == 0:
                raise ValueError(
                    "MiniGPT.generate: expected a list of prompts, got one of numbers; write [prompt], or "
                    "torch.tensor(prompt)"
                )
            if one.dim() != 1 or not 1 <= len(one) <= context:
                raise ValueError(
                    f"MiniGPT.generate: expected a prompt of at least one token and at most {context} (the "
                    f"context), got {shape(one)}"
                )
            rows.append(one.tolist())
        return rows

    def _as_given(self, prompts: Any, rows: list[list[int]], pad_token: int) -> Any:
        """Returns texts in the form in which the prompts came."""
        if not isinstance(prompts, Tensor):
            device = next(iter(self.parameters())).device
            return [torch.tensor(row, dtype=torch.int64, device=device) for row in rows]
        if prompts.dim() == 1:
            return torch.tensor(rows[0], dtype=torch.int64, device=prompts.device)
        width = max(map(len, rows), default=prompts.shape[1])
        filled = [row + [pad_token] * (width - len(row)) for row in rows]
        return torch.tensor(filled, dtype=torch.int64, device=prompts.device).view(len(rows), width)


class Reading:
    """Sequences that a model reads on, token by token.

    Args:
        model: who reads, in eval mode.
        rows: the sequences so far, of at least one token each; a copy is kept.
        use_cache: whether keys and values of what was read are kept.
        penalty: of repetition.
    """

    def __init__(self, model: Any, rows: list[list[int]], use_cache: bool, penalty: float) -> None:
        self.model, self.use_cache, self.penalty = model, use_cache, penalty
        self.device = model.wte.weight.device
        self.rows = [list(row) for row in rows]
        self.starts = [0] * len(rows)  # where the window that the model sees begins
        self.decoder = Decoder(model) if use_cache and Decoder.serves(model) else None
        self.seen = torch.zeros(len(rows), model.config.vocab_size, dtype=torch.bool, device=self.device)
        self.fresh = True  # nobody has asked for scores yet
        self._open()
        if penalty != 1:
            for seen, row in zip(self.seen, rows, strict=True):
                seen[torch.tensor(row, device=self.device)] = True

    def _open(self) -> None:
        """Reads all windows from their beginnings."""
        windows = [row[start:] for row, start in zip(self.rows, self.starts, strict=True)]
        lengths = [len(window) for window in windows]
        width = max(lengths)
        ids = torch.tensor([[0] * (width - len(window)) + window for window in windows], device=self.device)
        empty = width - torch.tensor(lengths, device=self.device)  # (R,), how much is filled up
        columns = torch.arange(width, device=self.device)
        places = (columns - empty[:, None]).clamp(min=0)  # (R, T)
        self.places = places[:, -1]
        self.hidden: Tensor | None = None
        if min(lengths) < width:
            room = torch.arange(self.model.config.n_positions, device=self.device)
            self.hidden = room < empty[:, None]  # (R, context)
        self.caches: list[KeyValueCache] | None = None
        if self.use_cache:
            self.caches = [StaticCache(self.model.config.n_positions) for _ in self.model.blocks]
        output = self.model(
            input_ids=ids,
            attention_mask=None if self.hidden is None else ~self.hidden[:, :width],
            position_ids=places,
            past_key_values=self.caches,
            logits_to_keep=1,
        )
        self.logits: Tensor = output.logits[:, -1]  # (R, V)

    def read(self, tokens: Tensor) -> None:
        """Takes one more token of each sequence, ``(R,)``."""
        context = self.model.config.n_positions
        for row, token in zip(self.rows, tokens.tolist(), strict=True):
            row.append(token)
        if self.penalty != 1:
            self.seen.scatter_(1, tokens[:, None], True)
        full = [len(row) - start > context for row, start in zip(self.rows, self.starts, strict=True)]
        for i, row in enumerate(self.rows):
            if full[i]:
                self.starts[i] = len(row) - (context + 1) // 2
        # The caches are also full where the longest sequence, for which the others were filled up, has left.
        if any(full) or self.caches is None or self.caches[0].length == context:
            self._open()
            return
        self.places = self.places + 1
        end = self.caches[0].length + 1
        hidden = None if self.hidden is None else self.hidden[:, :end]
        if self.decoder is not None:
            self.logits = self.decoder(
                tokens, self.places, self.caches, None if hidden is None else hidden[:, None]
            )
            return
        output = self.model(
            input_ids=tokens[:, None],
            attention_mask=None if hidden is None else ~hidden,
            position_ids=self.places[:, None],
            past_key_values=self.caches,
        )
        self.logits = output.logits[:, -1]

    def scores(self) -> Tensor:
        """Returns the scores of the next token, ``(R, V)``, less so of those that have come."""
        if self.penalty == 1:
            return self.logits
        return penalize_repetition(self.logits, self.seen, self.penalty)

    def reorder(self, index: Tensor) -> Self:
        """Takes some of the sequences, ``(rows,)`` of the old ones; this one stays as it is."""
        other = copy.copy(self)
        chosen = index.tolist()
        other.rows = [list(self.rows[i]) for i in chosen]
        other.starts = [self.starts[i] for i in chosen]
        other.seen, other.logits, other.places = self.seen[index], self.logits[index], self.places[index]
        other.hidden = None if self.hidden is None else self.hidden[index]
        other.caches = None if self.caches is None else [cache.reorder(index) for cache in self.caches]
        return other


def beam_step(tokens: Tensor, reading: Reading) -> tuple[Tensor, Reading]:
    """Returns the log-probabilities of the next token, and the reading: the step that a beam search takes.

    The first one's tokens are not read: the prompts are.
    """
    if not reading.fresh:
        reading.read(tokens)
    reading.fresh = False
    log_p, _ = log_softmax(reading.logits)
    if reading.penalty != 1:
        log_p = penalize_repetition(log_p, reading.seen, reading.penalty)
    return log_p, reading


def draws(rows: int, count: int, seed: int | Sequence[int] | None) -> Tensor:
    """Draws uniform numbers, ``(count, rows)``, each column from its own seed."""
    if seed is None:
        seed = int(torch.randint(2**62, ()))
    if not isinstance(seed, Sequence):
        check_whole("MiniGPT.generate", -(2**63), seed=seed)
        seed = [seed + row for row in range(rows)]
    if len(seed) != rows:
        raise ValueError(f"MiniGPT.generate: expected one seed or {rows}, one for each text, got {len(seed)}")
    generators = [seeded("MiniGPT.generate", one) for one in seed]
    columns = [torch.rand(count, generator=one, dtype=torch.float64) for one in generators]
    return torch.stack(columns, 1)


def holds(tokens: list[int], strings: Sequence[str], tokenizer: Tokenizer | None) -> bool:
    """Says whether the end of new tokens holds one of some strings."""
    if not strings or tokenizer is None:
        return False
    longest = max(len(string.encode("utf-8", "surrogatepass")) for string in strings)
    text = tokenizer.decode(tokens[-longest - _TAIL :])
    return any(string in text for string in strings)
