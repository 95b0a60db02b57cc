"""Encoder layer, decoder layer and the whole Transformer beside torch.nn's: time and peak memory.

The referee is torch.nn in training mode with its fused attention: there is no dropout, and nobody asks for
the weights. Both start from the same weights, and all gradients are compared before anything is timed, in
float64: in float32 a ReLU on the other side of 0 makes a difference. A step is forward and backward, to the
inputs, too.
"""

import warnings

import torch
from ds_core import engine
from ds_core.verify.benchmark import Comparison, compare, report
from ds_transformer import Transformer, TransformerDecoderLayer, TransformerEncoderLayer
from torch import nn

warnings.filterwarnings("ignore", message="enable_nested_tensor")
TOKENS = 4096  # in a batch


def measure(name, model, referee, inputs, masks=None, their_masks=None) -> Comparison:
    """Compares all gradients, then times forward and backward of both on the same inputs."""
    referee.load_state_dict(model.state_dict())
    leaves = [x.clone().requires_grad_() for x in inputs]
    grad = torch.randn(inputs[-1 if isinstance(model, Transformer) else 0].shape)

    def ours(inputs=inputs, grad=grad):
        model.zero_grad()
        with engine("manual"):
            model(*inputs, **(masks or {}))
            return model.backward(grad)

    def theirs(leaves=leaves, grad=grad):
        referee.zero_grad()
        for leaf in leaves:
            leaf.grad = None
        referee(*leaves, **(their_masks or {})).backward(grad)

    model.double(), referee.double()
    exact = [x.double().requires_grad_() for x in inputs]
    grads = ours([x.double() for x in inputs], grad.double())
    theirs(exact, grad.double())
    pairs = list(zip(grads if isinstance(grads, tuple) else (grads,), [x.grad for x in exact], strict=True))
    named = dict(referee.named_parameters())
    pairs += [(parameter.grad, named[key].grad) for key, parameter in model.named_parameters()]
    for mine, other in pairs:
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-10 * float(1 + other.abs().max()))
    model.float(), referee.float()
    return compare(name, ours, theirs, medium=True)


def encoder_layer(width: int, context: int) -> Comparison:
    arguments = (width, width // 64, 4 * width, 0.0)
    return measure(
        f"width {width}, context {context}",
        TransformerEncoderLayer(*arguments, batch_first=True),
        nn.TransformerEncoderLayer(*arguments, batch_first=True),
        [torch.randn(TOKENS // context, context, width)],
    )


def decoder_layer(width: int, context: int) -> Comparison:
    arguments = (width, width // 64, 4 * width, 0.0)
    hidden = nn.Transformer.generate_square_subsequent_mask(context)
    return measure(
        f"width {width}, context {context}, causal",
        TransformerDecoderLayer(*arguments, batch_first=True),
        nn.TransformerDecoderLayer(*arguments, batch_first=True),
        [torch.randn(TOKENS // context, context, width) for _ in range(2)],
        {"tgt_is_causal": True},
        {"tgt_mask": hidden, "tgt_is_causal": True},
    )


def transformer(width: int, context: int) -> Comparison:
    arguments = (width, width // 64, 3, 3, 4 * width, 0.0)
    hidden = nn.Transformer.generate_square_subsequent_mask(context)
    return measure(
        f"width {width}, context {context}, 3 + 3 layers",
        Transformer(*arguments, batch_first=True),
        nn.Transformer(*arguments, batch_first=True),
        [torch.randn(TOKENS // context, context, width) for _ in range(2)],
        {"tgt_is_causal": True},
        {"tgt_mask": hidden, "tgt_is_causal": True},
    )


def main() -> None:
    torch.manual_seed(0)
    sizes = [(width, context) for width in (256, 512) for context in (128, 512, 2048)]
    report(
        f"Encoder layer, {TOKENS} tokens, forward and backward beside torch.nn",
        [encoder_layer(*size) for size in sizes],
    )
    report(
        f"Decoder layer, {TOKENS} tokens, forward and backward beside torch.nn",
        [decoder_layer(256, context) for context in (128, 512, 2048)],
    )
    report(
        f"Transformer, {TOKENS} tokens, forward and backward beside torch.nn",
        [transformer(256, context) for context in (128, 512)],
    )


if __name__ == "__main__":
    main()
