"""How far each key lies from each query."""

from __future__ import annotations

import torch
from torch import Tensor


def distances(queries: int, keys: int, past: int, device: torch.device) -> Tensor:
    """Returns s - (past + t) for query t and key s: negative behind the query, positive ahead.

    Args:
        queries: T.
        keys: S.
        past: how many keys lie before the first query.
        device: of the result.

    Returns:
        ``(T, S)``, int64.
    """
    behind = torch.arange(past, past + queries, device=device)
    return torch.arange(keys, device=device) - behind.unsqueeze(1)
