"""MiniGPT, beside a model put together from torch.nn and beside transformers' GPT-2."""

import torch
from ds_core import Module, add_lora
from ds_core.verify import Case
from ds_zoo import MiniGPT, MiniGPTConfig
from ds_zoo.gpt.pretrained import to_hugging_face
from torch import nn

SMALL = {"vocab_size": 11, "n_positions": 6, "n_embd": 8, "n_layer": 2, "n_head": 2}


class TorchGPT(nn.Module):
    """The same network from torch.nn's own layers, with MiniGPT's parameter names."""

    def __init__(self, tie=True, vocab_size=11, n_positions=6, n_embd=8, n_layer=2, n_head=2):
        super().__init__()
        self.wte = nn.Embedding(vocab_size, n_embd)
        self.wpe = nn.Embedding(n_positions, n_embd)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                n_embd, n_head, 4 * n_embd, 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(n_layer)
        )
        self.norm = nn.LayerNorm(n_embd)
        self.head = nn.Linear(n_embd, vocab_size, bias=False)
        if tie:
            self.head.weight = self.wte.weight

    def forward(self, ids):
        x = self.wte(ids) + self.wpe.weight[: ids.shape[-1]]
        mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[-1], dtype=x.dtype)
        for block in self.blocks:
            x = block(x, mask)
        return self.head(self.norm(x))


class ByName(Module):
    """A MiniGPT called by names, whose outputs are the loss, if there are labels, the logits and a state."""

    def __init__(self, **options):
        self.model = MiniGPT(MiniGPTConfig(**SMALL, **options))

    def forward(self, ids, mask=None, labels=None, places=None):
        found = self.model(
            input_ids=ids, attention_mask=mask, labels=labels, position_ids=places, output_hidden_states=True
        )
        self.save(labels is not None)
        shown = (found.logits, found.hidden_states[1])
        return shown if found.loss is None else (found.loss, *shown)

    def backward(self, *grads):
        (has_loss,) = self.saved()
        loss, logits, state = grads if has_loss else (None, *grads)
        self.model.backward(loss, logits, None, [None, state, None])


def gpt2(**options):
    def make():
        import transformers

        sizes = SMALL | {"embd_pdrop": 0, "resid_pdrop": 0, "attn_pdrop": 0} | options
        return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, attn_implementation="eager"))

    return make


def as_gpt2(theirs, ids, mask=None, labels=None, places=None):
    """Calls transformers' model; it takes the loss in float32, whatever the logits: here it is not."""
    found = theirs(ids, attention_mask=mask, position_ids=places, output_hidden_states=True)
    shown = (found.logits, found.hidden_states[1])
    if labels is None:
        return shown
    scores, wanted = found.logits[..., :-1, :].flatten(0, -2), labels[..., 1:].flatten()
    return (nn.functional.cross_entropy(scores, wanted), *shown)


def carry(state):
    """Our tensors under transformers' names, as they lie in its model."""
    theirs = {}
    for name, tensor in state.items():
        (their_name,), transposed = to_hugging_face(name.removeprefix("model."))
        theirs[their_name] = tensor.T if transposed else tensor
    return theirs


def texts(g, rows=3, length=6):
    """Ids, and a mask under which the second text is shorter, filled up behind its end."""
    ids = torch.randint(11, (rows, length), generator=g)
    mask = torch.ones_like(ids)
    mask[1, length - 2 :] = 0
    return ids, mask


def with_labels(g):
    ids, mask = texts(g)
    labels = torch.where(mask == 1, ids, -100)
    labels[0, 2] = -100
    return ids, mask, labels


def with_lora():
    """A model whose attention and MLPs are adapted, and whose products are not zeros any more."""
    model = add_lora(MiniGPT(MiniGPTConfig(**SMALL)), 2, 3.0, layers="blocks")
    draw = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if name.endswith("lora_B"):
            parameter.data.normal_(generator=draw)
    return model


CASES = [
    Case(
        name="MiniGPT by names: labels, mask",
        make=ByName,
        inputs=with_labels,
        namesake=gpt2(),
        reference=as_gpt2,
        carry=carry,
    ),
    Case(
        name="MiniGPT by names: free head, exact GELU, narrow MLP, places",
        make=lambda: ByName(tie_word_embeddings=False, activation_function="gelu", n_inner=12),
        inputs=lambda g: (*texts(g), None, torch.tensor([[0, 1, 2, 3, 4, 5], [2, 3, 4, 5, 0, 0], [1] * 6])),
        namesake=gpt2(tie_word_embeddings=False, activation_function="gelu", n_inner=12),
        reference=as_gpt2,
        carry=carry,
    ),
    Case(
        name="MiniGPT by names: no label counts but one",
        make=ByName,
        inputs=lambda g: (*texts(g, 2, 3), torch.tensor([[4, -100, -100], [-100, -100, 7]])),
        namesake=gpt2(),
        reference=as_gpt2,
        carry=carry,
    ),
    Case(
        name="MiniGPT with LoRA",
        make=with_lora,
        inputs=lambda g: (torch.randint(11, (2, 5), generator=g),),
        no_namesake="transformers has no low-rank adaptation",
    ),
    Case(
        name="MiniGPT, one token",
        make=lambda: MiniGPT(MiniGPTConfig(**SMALL, activation_function="gelu")),
        inputs=lambda g: (torch.randint(11, (2, 1), generator=g),),
        namesake=TorchGPT,
    ),
    Case(
        name="MiniGPT",
        make=lambda: MiniGPT(MiniGPTConfig(**SMALL, activation_function="gelu")),
        inputs=lambda g: (torch.randint(11, (3, 6), generator=g),),
        namesake=TorchGPT,
    ),
    Case(
        name="MiniGPT(tie_word_embeddings=False), unbatched, short",
        make=lambda: MiniGPT(MiniGPTConfig(**SMALL, activation_function="gelu", tie_word_embeddings=False)),
        inputs=lambda g: (torch.randint(11, (4,), generator=g),),
        namesake=lambda: TorchGPT(tie=False),
    ),
    Case(
        name="MiniGPT(gelu_new, dropout)",
        make=lambda: MiniGPT(MiniGPTConfig(**SMALL, embd_pdrop=0.1, resid_pdrop=0.1, attn_pdrop=0.1)),
        inputs=lambda g: (torch.randint(11, (2, 5), generator=g),),
        no_namesake="torch draws dropout's numbers in another order",
    ),
]
