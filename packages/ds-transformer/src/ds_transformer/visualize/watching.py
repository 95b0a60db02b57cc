"""Watching attention at work: the weights of every head in a model, caught while it runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ds_core import Module
from ds_core.module import replaced
from torch import Tensor

from ds_transformer.layers.multihead_attention import MultiheadAttention

__all__ = ["attention_maps"]


@contextmanager
def attention_maps(model: Module) -> Iterator[dict[MultiheadAttention, Tensor]]:
    """Keeps, while the block runs, the attention weights of each :class:`MultiheadAttention` in a model.

    They are computed even where the layer around does not ask for them, and it gets what it asks for. An
    attention that runs several times leaves the latest.

    Args:
        model: runs as ever; only that no score is computed block by block.

    Yields:
        A dict, filled as the model runs: attention -> weights ``(B, H, T, S)``, or ``(H, T, S)`` without a
        batch; T is 1 where a layer computes only the position that a head reads.

    Example:
        >>> with attention_maps(model) as maps:
        ...     model(ids)
        >>> maps[model.blocks[0].self_attn].shape
    """
    maps: dict[MultiheadAttention, Tensor] = {}

    def watched(part: MultiheadAttention, original: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(original)

        def forward(*args: Any, **options: Any) -> Any:
            call = signature.bind(*args, **options)
            wanted = call.arguments.get("need_weights", True)
            averaged = call.arguments.get("average_attn_weights", True)
            call.arguments |= {"need_weights": True, "average_attn_weights": False}
            output, weights = original(*call.args, **call.kwargs)
            maps[part] = weights
            if not wanted:
                return output, None
            return output, weights.mean(-3) if averaged else weights

        return forward

    parts = [part for part in model.modules() if isinstance(part, MultiheadAttention)]
    with ExitStack() as stack:
        for part in parts:
            stack.enter_context(replaced(part, forward=watched(part, part.forward)))
        yield maps
