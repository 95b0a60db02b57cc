"""Bad input gets an error that names the layer, what it expected and what it got."""

import re

import pytest
import torch
from ds_rnn import (
    GRU,
    LSTM,
    RNN,
    AdditiveAttention,
    GRUCell,
    LSTMCell,
    MultiplicativeAttention,
    RNNCell,
    Unrolled,
)

GRU_LABEL, LSTM_LABEL = "GRU(3, 4)", "LSTM(3, 4, num_layers=2)"


def gru(*args, **kwargs):
    return GRU(3, 4)(*args, **kwargs)


def lstm(*args, **kwargs):
    return LSTM(3, 4, 2)(*args, **kwargs)


X = torch.zeros(5, 2, 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: gru(torch.zeros(5, 2, 4)),
            ValueError,
            f"{GRU_LABEL}: expected input (L, N, 3), or (L, 3) without a batch, got (5, 2, 4)",
        ),
        (
            lambda: GRU(3, 4, batch_first=True)(torch.zeros(3)),
            ValueError,
            "expected input (N, L, 3), or (L, 3) without a batch, got (3,)",
        ),
        (
            lambda: gru(X.double()),
            TypeError,
            f"{GRU_LABEL}: expected torch.float32 input like its parameters, got torch.float64",
        ),
        (lambda: gru(X[:0]), ValueError, f"{GRU_LABEL}: expected a sequence of at least 1 step, got 0"),
        (
            lambda: gru(X, torch.zeros(1, 3, 4)),
            ValueError,
            f"{GRU_LABEL}: expected initial state h (1, 2, 4), one for each layer and "
            "direction, got (1, 3, 4)",
        ),
        (lambda: gru(X, (X, X)), TypeError, f"{GRU_LABEL}: expected a tensor as state, got tuple"),
        (
            lambda: gru(X, torch.zeros(1, 2, 4, dtype=torch.float64)),
            TypeError,
            "expected torch.float32 input",
        ),
        (lambda: lstm(X, X), TypeError, f"{LSTM_LABEL}: expected a pair (h, c) as state, got Tensor"),
        (
            lambda: lstm(X, (torch.zeros(2, 2, 4), None)),
            TypeError,
            f"{LSTM_LABEL}: expected a pair (h, c) as state, got tuple of Tensor, NoneType",
        ),
        (
            lambda: lstm(X, (torch.zeros(2, 2, 4), torch.zeros(2, 2, 5))),
            ValueError,
            f"{LSTM_LABEL}: expected initial state c (2, 2, 4), one for each layer and "
            "direction, got (2, 2, 5)",
        ),
        (
            lambda: gru(X, lengths=[5, 6]),
            ValueError,
            f"{GRU_LABEL}: expected lengths from 1 to 5, the steps of the batch, got 6 for sequence 1",
        ),
        (
            lambda: gru(X, lengths=torch.tensor([0, 5])),
            ValueError,
            f"{GRU_LABEL}: expected lengths from 1 to 5, the steps of the batch, got 0 for sequence 0",
        ),
        (
            lambda: gru(X, lengths=[5, 5, 5]),
            ValueError,
            f"{GRU_LABEL}: expected lengths (2,) of whole numbers, one for each sequence, got (3,)",
        ),
        (lambda: gru(X, lengths=torch.tensor([1.0, 2.0])), ValueError, "got (2,) of torch.float32"),
        (lambda: gru(X, lengths=torch.tensor([True, False])), ValueError, "got (2,) of torch.bool"),
        (
            lambda: gru(X[:, 0], lengths=[5]),
            ValueError,
            f"{GRU_LABEL}: lengths are for a batch, got one sequence, (5, 3)",
        ),
        (
            lambda: RNN(3, 4, nonlinearity="gelu"),
            ValueError,
            "RNN: expected nonlinearity 'tanh' or 'relu', got 'gelu'",
        ),
        (
            lambda: RNNCell(3, 4, nonlinearity="gelu"),
            ValueError,
            "RNNCell: expected nonlinearity 'tanh' or 'relu', got 'gelu'",
        ),
        (
            lambda: LSTM(3, 4, proj_size=4),
            ValueError,
            "LSTM: expected proj_size of at least 0 and below hidden_size 4, got 4",
        ),
        (
            lambda: LSTM(3, 4, dtype=torch.int64),
            TypeError,
            "Parameter: expected a floating point tensor, got torch.int64",
        ),
        (lambda: GRUCell(3, 0), ValueError, "GRUCell: expected hidden_size of at least 1, got 0"),
        (lambda: GRU(0, 4), ValueError, "GRU: expected input_size of at least 1, got 0"),
        (lambda: GRU(3, 4, 0), ValueError, "GRU: expected num_layers of at least 1, got 0"),
        (lambda: GRU(3, 4, 2, dropout=2.0), ValueError, "expected a probability p from 0 to 1, got 2.0"),
        (
            lambda: GRUCell(3, 4)(torch.zeros(2, 5)),
            ValueError,
            "GRUCell(3, 4): expected last dimension 3, got input of shape (2, 5)",
        ),
        (
            lambda: GRUCell(3, 4)(X),
            ValueError,
            "GRUCell(3, 4): expected input (N, 3), or (3,) without a batch, got (5, 2, 3)",
        ),
        (
            lambda: GRUCell(3, 4)(X[0], torch.zeros(3, 4)),
            ValueError,
            "GRUCell(3, 4): expected state (2, 4), got (3, 4)",
        ),
        (
            lambda: LSTMCell(3, 4)(X[0], (torch.zeros(2, 4), torch.zeros(2, 3))),
            ValueError,
            "LSTMCell(3, 4): expected a pair (h, c), each (2, 4), got (2, 4), (2, 3)",
        ),
        (
            lambda: GRUCell(3, 4)(X[0], (torch.zeros(2, 4),)),
            TypeError,
            "GRUCell(3, 4): expected a tensor as state, got tuple of Tensor",
        ),
        (
            lambda: LSTMCell(3, 4)(X[0], torch.zeros(2, 4)),
            TypeError,
            "LSTMCell(3, 4): expected a pair (h, c) as state, got Tensor",
        ),
        (
            lambda: Unrolled(GRUCell(3, 4))(X[:0]),
            ValueError,
            "expected (L, N, 3) with at least one step, got (0, 2, 3)",
        ),
        (
            lambda: AdditiveAttention(4, 5)(torch.zeros(2, 4), torch.zeros(3, 6, 5), torch.zeros(3, 6, 5)),
            ValueError,
            "AdditiveAttention(4, 5): expected query (B, T, 4) or (B, 4)",
        ),
        (
            lambda: MultiplicativeAttention(4, 5, "dot"),
            ValueError,
            "expected queries as wide as keys for kind='dot'",
        ),
        (
            lambda: MultiplicativeAttention(4, 5, "cosine"),
            ValueError,
            "expected kind 'dot' or 'general', got 'cosine'",
        ),
        (
            lambda: AdditiveAttention(4, 5)(
                torch.zeros(2, 4), torch.zeros(2, 6, 5), torch.zeros(2, 6, 5), torch.zeros(2, 6)
            ),
            ValueError,
            "expected key_padding_mask (2, 6) of torch.bool, got (2, 6) of torch.float32",
        ),
    ],
)
def test_the_message_says_what_was_expected_and_what_came(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_a_bad_call_loses_nothing():
    net = GRU(3, 4)
    with torch.no_grad():
        output, _ = net(X)
        with pytest.raises(ValueError, match="expected input"):
            net(torch.zeros(5, 2, 4))
        assert net.backward(torch.ones_like(output)).shape == X.shape  # the good forward still waits


def test_a_packed_sequence_is_answered_with_lengths():
    packed = torch.nn.utils.rnn.pack_sequence([torch.ones(3, 2), torch.ones(1, 2)])
    for layer in (LSTM(2, 3), GRU(2, 3), RNN(2, 3)):
        with pytest.raises(TypeError, match=r"got a PackedSequence; give the padded tensor, and .* lengths="):
            layer(packed)
