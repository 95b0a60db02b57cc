"""Sequence models, beside the same put together from torch.nn's parts."""

import torch
from ds_core.verify import Case
from ds_rnn import (
    RecurrentLanguageModel,
    Seq2Seq,
    Seq2SeqConfig,
    SequenceClassifier,
    SequenceTagger,
)
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

RNNS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


def read(rnn, x, lengths):
    """Runs a torch network over padded sequences, (B, T, F); returns the padded output and the last state."""
    if lengths is None:
        return rnn(x)
    packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
    output, state = rnn(packed)
    return pad_packed_sequence(output, batch_first=True, total_length=x.shape[1])[0], state


class TorchReader(nn.Module):
    """Embedding, recurrent network, last layer."""

    def __init__(self, vocab_size, outputs, embedding_dim, hidden_size, layers=1, cell="gru", both=True):
        super().__init__()
        self.embedding = nn.Identity() if vocab_size is None else nn.Embedding(vocab_size, embedding_dim)
        self.rnn = RNNS[cell](embedding_dim, hidden_size, layers, batch_first=True, bidirectional=both)
        self.head = nn.Linear(hidden_size * (2 if both else 1), outputs)


class TorchClassifier(TorchReader):
    def forward(self, x, lengths=None):
        _, state = read(self.rnn, self.embedding(x), lengths)
        h = state[0] if isinstance(state, tuple) else state
        return self.head(torch.cat(list(h[-2:] if self.rnn.bidirectional else h[-1:]), 1))


class TorchTagger(TorchReader):
    def forward(self, x, lengths=None):
        return self.head(read(self.rnn, self.embedding(x), lengths)[0])


class TorchLanguageModel(TorchReader):
    def forward(self, tokens, state=None):
        output, state = self.rnn(self.embedding(tokens), state)
        return self.head(output), state


class TorchAttention(nn.Module):
    def __init__(self, kind, query, key):
        super().__init__()
        self.additive = kind == "additive"
        if self.additive:
            self.query_proj = nn.Linear(query, query, bias=False)
            self.v = nn.Parameter(torch.empty(query))
        self.key_proj = nn.Linear(key, query, bias=self.additive)

    def forward(self, query, memory, hidden):
        keys = self.key_proj(memory)
        if self.additive:
            scores = (self.query_proj(query)[:, :, None] + keys[:, None]).tanh() @ self.v
        else:
            scores = query @ keys.mT
        return scores.masked_fill(hidden[:, None], float("-inf")).softmax(-1) @ memory


class TorchSeq2Seq(nn.Module):
    """Encoder, bridge, decoder and attention of torch.nn's parts, under the same names."""

    def __init__(self, sources, targets, width, size, layers, cell, attention):
        super().__init__()
        self.encoder, self.decoder = nn.Module(), nn.Module()
        self.encoder.embedding = nn.Embedding(sources, width)
        self.encoder.rnn = RNNS[cell](width, size, layers, batch_first=True, bidirectional=True)
        self.encoder.bridges = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * size, size), nn.Tanh()) for _ in range(2 if cell == "lstm" else 1)
        )
        self.decoder.embedding = nn.Embedding(targets, width)
        self.decoder.rnn = RNNS[cell](width, size, layers, batch_first=True)
        self.decoder.attention = None if attention is None else TorchAttention(attention, size, 2 * size)
        self.decoder.combine = nn.Sequential(
            nn.Linear(size * (1 if attention is None else 3), size), nn.Tanh()
        )
        self.decoder.head = nn.Linear(size, targets)

    def forward(self, source, lengths, target):
        memory, state = read(self.encoder.rnn, self.encoder.embedding(source), lengths)
        parts = state if isinstance(state, tuple) else (state,)
        start = tuple(
            bridge(torch.cat([part[0::2], part[1::2]], -1))
            for bridge, part in zip(self.encoder.bridges, parts, strict=True)
        )
        y, _ = self.decoder.rnn(self.decoder.embedding(target), start if len(start) > 1 else start[0])
        if self.decoder.attention is not None:
            hidden = torch.arange(source.shape[1], device=source.device) >= lengths[:, None]
            y = torch.cat([y, self.decoder.attention(y, memory, hidden)], -1)
        return self.decoder.head(self.decoder.combine(y))


def sentences(generator):
    """Three sources of lengths 5, 2 and 4, and their targets; token 0 is padding."""
    lengths = torch.tensor([5, 2, 4])
    source = torch.randint(4, 11, (3, 5), generator=generator)
    source[torch.arange(5) >= lengths[:, None]] = 0
    return source, lengths, torch.randint(1, 9, (3, 4), generator=generator)


def seq2seq(cell, attention, layers=1):
    return Case(
        name=f"Seq2Seq({cell}, attention={attention}, layers={layers})",
        make=lambda: Seq2Seq(
            Seq2SeqConfig(
                11, 9, embedding_dim=4, hidden_size=3, num_layers=layers, cell=cell, attention=attention
            )
        ),
        inputs=sentences,
        namesake=lambda: TorchSeq2Seq(11, 9, 4, 3, layers, cell, attention),
    )


def tokens(generator):
    return torch.randint(0, 7, (3, 5), generator=generator), torch.tensor([5, 1, 3])


def features(generator):
    return torch.randn(3, 5, 4, generator=generator), torch.tensor([2, 5, 5])


CASES = [
    *(
        Case(
            name=f"{ours.__name__}({cell}, layers={layers})",
            make=lambda ours=ours, cell=cell, layers=layers: ours(7, 3, 4, 5, layers, cell),
            inputs=tokens,
            namesake=lambda theirs=theirs, cell=cell, layers=layers: theirs(7, 3, 4, 5, layers, cell),
        )
        for ours, theirs in ((SequenceClassifier, TorchClassifier), (SequenceTagger, TorchTagger))
        for cell, layers in (("rnn", 1), ("gru", 2), ("lstm", 1))
    ),
    *(
        Case(
            name=f"{ours.__name__}(features, one direction)",
            make=lambda ours=ours: ours(None, 3, 4, 5, bidirectional=False),
            inputs=features,
            namesake=lambda theirs=theirs: theirs(None, 3, 4, 5, both=False),
        )
        for ours, theirs in ((SequenceClassifier, TorchClassifier), (SequenceTagger, TorchTagger))
    ),
    *(
        Case(
            name=f"RecurrentLanguageModel({cell})",
            make=lambda cell=cell: RecurrentLanguageModel(7, 4, 5, cell=cell),
            inputs=lambda generator: (torch.randint(0, 7, (3, 5), generator=generator),),
            namesake=lambda cell=cell: TorchLanguageModel(7, 7, 4, 5, cell=cell, both=False),
        )
        for cell in RNNS
    ),
    Case(
        name="RecurrentLanguageModel with a state",
        make=lambda: RecurrentLanguageModel(7, 4, 5, cell="gru"),
        inputs=lambda generator: (
            torch.randint(0, 7, (3, 5), generator=generator),
            torch.randn(1, 3, 5, generator=generator),
        ),
        namesake=lambda: TorchLanguageModel(7, 7, 4, 5, both=False),
    ),
    *(seq2seq(cell, attention) for cell in RNNS for attention in ("additive", "general", None)),
    seq2seq("gru", "additive", 2),
    seq2seq("lstm", "general", 2),
]
