"""One training step of MiniBERT beside transformers' BERT: time and peak memory.

Both guess hidden tokens, from the same weights, on the same texts, half of them padded; the referee uses its
fused attention and torch.optim.AdamW. The gradients are compared before anything is timed. The referee scores
the vocabulary at every token; ours can leave out those not hidden, with the same loss and gradients.
"""

import tempfile

import torch
import transformers
from ds_core import AdamW, clip_grad_norm_, engine
from ds_core.verify.benchmark import Comparison, compare, report
from ds_zoo import MiniBERTConfig, MiniBERTForMaskedLM, mask_tokens
from ds_zoo.bert.pretrained import MASKED_LM

QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def measure(name: str, config: MiniBERTConfig, batch: int, sparse: bool) -> Comparison:
    torch.manual_seed(0)
    model = MiniBERTForMaskedLM(config)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        referee = transformers.BertForMaskedLM.from_pretrained(folder).train()
    length = config.max_position_embeddings
    ids = torch.randint(5, config.vocab_size, (batch, length))
    mask = (torch.arange(length) < torch.randint(length // 2, length + 1, (batch, 1))).long()
    masked, labels = mask_tokens(ids * mask, mask_id=4, vocab_size=config.vocab_size, special_ids=(0,))
    options = {"lr": 1e-4, "weight_decay": 0.01}
    optimizer = AdamW(model.parameters(), **options)
    their_optimizer = torch.optim.AdamW(referee.parameters(), **options)

    def our_gradients() -> None:
        model.zero_grad()
        with engine("manual"):
            model(masked, mask, labels=labels, sparse_prediction=sparse)
            model.backward()

    def their_gradients() -> None:
        their_optimizer.zero_grad()
        referee(masked, mask, labels=labels).loss.backward()

    our_gradients()
    their_gradients()
    theirs_by_name = {name: p.grad for name, p in referee.named_parameters()}
    seconds = MASKED_LM.copies
    for key, parameter in model.named_parameters():
        names = [seconds.get(n, n) for n in MASKED_LM.stored(key).names]
        expected = torch.cat([theirs_by_name[n] for n in names])
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-3, atol=1e-5)

    def ours() -> None:
        our_gradients()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    def theirs() -> None:
        their_gradients()
        torch.nn.utils.clip_grad_norm_(referee.parameters(), 1.0)
        their_optimizer.step()

    return compare(name, ours, theirs, seconds=4, medium=True)


def main() -> None:
    rows = []
    for name, batch, config in (
        ("batch 16, 64 tokens, width 128, 4 layers", 16, MiniBERTConfig(4000, 128, 4, 4, 512, 64, **QUIET)),
        ("batch 8, 128 tokens, width 256, 4 layers", 8, MiniBERTConfig(4000, 256, 4, 4, 1024, 128, **QUIET)),
    ):
        for sparse in (False, True):
            rows.append(measure(name + ", scores of hidden tokens only" * sparse, config, batch, sparse))
    report("MiniBERT training step: forward, backward, clip, AdamW", rows)


if __name__ == "__main__":
    main()
