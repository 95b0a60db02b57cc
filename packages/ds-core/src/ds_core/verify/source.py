"""What no source may reach for: torch's ready-made parts, found in the text before it runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator

# What torch offers ready-made and this project writes itself, what it never uses of torch's autograd, and the
# ways around both: operators by their internal names, and new ones.
READY_MADE = {
    f"torch.{name}"
    for name in ("nn", "optim", "fft", "linalg", "special", "func", "autograd", "ops", "_C", "library")
}
# Functions of torch that are ready-made, too; some fall into elementary steps before anything records them.
FUNCTIONS = """
    adaptive_avg_pool1d adaptive_max_pool1d alpha_dropout avg_pool1d batch_norm bernoulli bilinear
    binary_cross_entropy_with_logits cdist celu celu_ chain_matmul channel_shuffle cholesky conv1d
    conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d convolution corrcoef
    cosine_embedding_loss cosine_similarity cov cross ctc_loss cumulative_trapezoid det dropout dropout_
    einsum embedding embedding_bag feature_alpha_dropout feature_dropout gradient group_norm gru
    gru_cell hardshrink hinge_embedding_loss inner instance_norm inverse kl_div kron layer_norm
    log_softmax logaddexp logcumsumexp logdet logit logsumexp lstm lstm_cell margin_ranking_loss
    matrix_exp matrix_power max_pool1d max_pool1d_with_indices max_pool2d max_pool3d multinomial
    native_batch_norm native_dropout native_group_norm native_layer_norm native_norm norm outer
    pairwise_distance pdist pinverse pixel_shuffle pixel_unshuffle poisson_nll_loss prelu qr relu relu_
    renorm rms_norm rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell rrelu selu selu_ sigmoid sigmoid_
    slogdet softmax std std_mean stft svd tensordot threshold trapezoid trapz triplet_margin_loss vander
    var var_mean vmap xlogy
"""
READY_MADE |= {f"torch.{name}" for name in FUNCTIONS.split()}


def ready_made(code: str) -> Iterator[tuple[int, str]]:
    """Yields (line, name) of every way in which code reaches into torch's ready-made parts."""
    tree = ast.parse(code)
    torch_names = {
        alias.asname or "torch"
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "torch" or (alias.name.startswith("torch.") and alias.asname is None)
    }

    def is_torch(node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id in torch_names

    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                names = [alias.name for alias in aliases]
            case ast.ImportFrom(module=str(module), names=aliases, level=0):
                names = [f"{module}.{alias.name}" for alias in aliases]
            case ast.Attribute(value=value, attr=attribute) if is_torch(value):
                names = [f"torch.{attribute}"]
            case ast.Call(func=ast.Name(id="getattr"), args=[value, ast.Constant(value=str(name)), *_]):
                names = [f"torch.{name}"] if is_torch(value) else []
            case ast.Call(args=[ast.Constant(value=str(name)), *_]):  # import_module("torch.nn"), __import__
                names = [name] if name.isprintable() and " " not in name else []
            case _:
                continue
        for name in names:
            if ".".join(name.split(".")[:2]) in READY_MADE:
                yield node.lineno, name
