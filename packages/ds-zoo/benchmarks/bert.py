"""One training step of MiniBERT beside transformers' BERT: forward, backward, clip, AdamW.

Both guess hidden tokens, on the same texts, half of them padded; the referee uses its fused attention. It
scores the vocabulary at every token; ours can leave out those not hidden, with the same loss and gradients.
"""

from functools import partial

import torch
import transformers
from ds_core import AdamW
from ds_core.verify.benchmark import Sides, step, twin
from ds_zoo import MiniBERTConfig, MiniBERTForMaskedLM, mask_tokens

QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def bert(batch: int, config: MiniBERTConfig, sparse: bool) -> Sides:
    model = MiniBERTForMaskedLM(config)
    length = config.max_position_embeddings
    ids = torch.randint(5, config.vocab_size, (batch, length))
    mask = (torch.arange(length) < torch.randint(length // 2, length + 1, (batch, 1))).long()
    masked, labels = mask_tokens(ids * mask, mask_id=4, vocab_size=config.vocab_size, special_ids=(0,))

    def ours(model, ids, mask, labels):
        model(ids, mask, labels=labels, sparse_prediction=sparse)
        model.backward()

    def theirs(referee, ids, mask, labels):
        referee(ids, mask, labels=labels).loss.backward()

    return step(
        *(model, twin(model, transformers.BertForMaskedLM), (masked, mask, labels), ours, theirs),
        update=partial(AdamW, lr=1e-4, weight_decay=0.01),
        their_update=partial(torch.optim.AdamW, lr=1e-4, weight_decay=0.01),
        their_clip=torch.nn.utils.clip_grad_norm_,
    )


SIZES = {
    "batch 16, 64 tokens, width 128, 4 layers": (16, MiniBERTConfig(4000, 128, 4, 4, 512, 64, **QUIET)),
    "batch 8, 128 tokens, width 256, 4 layers": (8, MiniBERTConfig(4000, 256, 4, 4, 1024, 128, **QUIET)),
}
ROWS = {
    name + ", scores of hidden tokens only" * sparse: partial(bert, *size, sparse)
    for name, size in SIZES.items()
    for sparse in (False, True)
}
