"""A fingerprint of data: a few characters that differ where the data do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import safetensors.torch
import torch
from torch import Tensor

_MOST = 1 << 26  # bytes read of each tensor


def fingerprint(tensors: Iterable[Tensor]) -> str:
    """Returns 16 characters that tell these tensors from others.

    Types, shapes and numbers count; of a tensor of more than 64 MiB, those of rows at equal distances.
    """
    made = hashlib.sha256()
    for tensor in tensors:
        made.update(str(tuple(tensor.shape)).encode())
        rows = tensor.detach()
        size = rows.numel() * rows.element_size()
        if size > _MOST:
            rows = rows[:: -(-size // _MOST)]
        if rows.is_complex():
            rows = torch.view_as_real(rows)
        made.update(safetensors.torch.save({"rows": rows.cpu().contiguous().clone()}))
    return made.hexdigest()[:16]
