"""MiniBERT and its heads, beside transformers' BERT."""

import torch
from ds_core import add_lora
from ds_core.verify import Case
from ds_zoo import (
    MiniBERT,
    MiniBERTConfig,
    MiniBERTForMaskedLM,
    MiniBERTForNextSentencePrediction,
    MiniBERTForQuestionAnswering,
    MiniBERTForSequenceClassification,
    MiniBERTForTokenClassification,
)
from ds_zoo.bert.pretrained import MASKED_LM, to_hugging_face

SIZES = {
    "vocab_size": 11,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 6,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "pad_token_id": None,  # finite differences would see that its vector is not trained
}
DROPOUT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}

HIDDEN = torch.tensor([[3, -100, 10, -100, 0], [-100, 7, -100, -100, -100]])


def texts(g, rows=2, length=5):
    """Ids, mask and types: the second text is shorter."""
    ids = torch.randint(11, (rows, length), generator=g)
    mask = (torch.arange(length) < length - 2 * torch.arange(rows)[:, None]).long()
    return ids, mask, (torch.arange(length) > 2).long().expand(rows, -1)


def namesake(architecture, *, model_options=(), **options):
    def make():
        import transformers

        config = transformers.BertConfig(**SIZES | options, attn_implementation="eager")
        return getattr(transformers, architecture)(config, **dict(model_options))

    return make


def carry(state):
    """Our tensors under transformers' names; a decoder's bias under both of its names."""
    theirs = {}
    for name, tensor in state.items():
        names = to_hugging_face(name).names
        theirs |= dict(zip(names, tensor.chunk(len(names)), strict=True))
    copies = {second: theirs[first] for first, second in MASKED_LM.copies.items() if first in theirs}
    return theirs | copies


def by_labels(theirs, ids, mask, types, labels):
    output = theirs(ids, mask, types, labels=labels)
    return output.loss, output.logits


def at_hidden_places(theirs, ids, mask, types, labels, sparse_prediction):
    loss, logits = by_labels(theirs, ids, mask, types, labels)
    return loss, logits[labels != -100]


def by_numbers(theirs, ids, mask, types, labels):
    return by_labels(theirs, ids, mask, types, labels.to(theirs.dtype))


def by_positions(theirs, ids, mask, types, labels):
    first, last = labels.unbind(1)
    output = theirs(ids, mask, types, start_positions=first, end_positions=last)
    return output.loss, output.start_logits, output.end_logits


def head(name, make, architecture, labels, reference=by_labels, ours=(), **options):
    return Case(
        name=name,
        make=lambda: make(MiniBERTConfig(**SIZES, **dict(ours))),
        inputs=lambda g: (*texts(g), labels(g)),
        namesake=namesake(architecture, **options),
        reference=reference,
        carry=carry,
    )


def with_lora():
    """A model whose attention and MLPs are adapted, and whose products are not zeros any more."""
    model = add_lora(MiniBERT(MiniBERTConfig(**SIZES)), 2, 3.0, layers=r"layers")
    draw = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if name.endswith("lora_B"):
            parameter.data.normal_(generator=draw)
    return model


CASES = [
    Case(
        name="MiniBERT",
        make=lambda: MiniBERT(MiniBERTConfig(**SIZES)),
        inputs=texts,
        namesake=namesake("BertModel"),
        reference=lambda theirs, *given: theirs(*given).to_tuple()[:2],
        carry=carry,
    ),
    Case(
        name="MiniBERT(add_pooling_layer=False), one token, no mask",
        make=lambda: MiniBERT(MiniBERTConfig(**SIZES | {"hidden_act": "relu"}), add_pooling_layer=False),
        inputs=lambda g: (torch.randint(11, (1, 1), generator=g),),
        namesake=namesake("BertModel", hidden_act="relu", model_options={"add_pooling_layer": False}),
        reference=lambda theirs, ids: theirs(ids).last_hidden_state,
        carry=carry,
    ),
    Case(
        name="MiniBERT(gelu_new, dropout)",
        make=lambda: MiniBERT(MiniBERTConfig(**SIZES | DROPOUT | {"hidden_act": "gelu_new"})),
        inputs=texts,
        no_namesake="torch draws dropout's numbers in another order",
    ),
    Case(
        name="MiniBERT with LoRA",
        make=with_lora,
        inputs=texts,
        no_namesake="transformers has no low-rank adaptation",
    ),
    head(
        "MiniBERTForMaskedLM",
        MiniBERTForMaskedLM,
        "BertForMaskedLM",
        lambda g: HIDDEN,
    ),
    Case(
        name="MiniBERTForMaskedLM, sparse_prediction=True",
        make=lambda: MiniBERTForMaskedLM(MiniBERTConfig(**SIZES)),
        inputs=lambda g: (*texts(g), HIDDEN, True),
        namesake=namesake("BertForMaskedLM"),
        reference=at_hidden_places,
        carry=carry,
    ),
    head(
        "MiniBERTForNextSentencePrediction",
        MiniBERTForNextSentencePrediction,
        "BertForNextSentencePrediction",
        lambda g: torch.tensor([1, 0]),
    ),
    head(
        "MiniBERTForSequenceClassification, one of three",
        MiniBERTForSequenceClassification,
        "BertForSequenceClassification",
        lambda g: torch.tensor([2, 0]),
        ours={"labels": ("a", "b", "c")},
        num_labels=3,
    ),
    head(
        "MiniBERTForSequenceClassification, any of two",
        MiniBERTForSequenceClassification,
        "BertForSequenceClassification",
        lambda g: torch.tensor([[1, 0], [1, 1]]),
        reference=by_numbers,
        ours={"problem_type": "multi_label_classification"},
        problem_type="multi_label_classification",
    ),
    head(
        "MiniBERTForSequenceClassification, a number",
        MiniBERTForSequenceClassification,
        "BertForSequenceClassification",
        lambda g: torch.tensor([2, -1]),
        reference=by_numbers,
        ours={"labels": ("stars",)},
        num_labels=1,
    ),
    head(
        "MiniBERTForTokenClassification",
        MiniBERTForTokenClassification,
        "BertForTokenClassification",
        lambda g: torch.tensor([[0, 1, -100, 1, 0], [1, 1, 0, -100, -100]]),
    ),
    head(
        "MiniBERTForQuestionAnswering",
        MiniBERTForQuestionAnswering,
        "BertForQuestionAnswering",
        lambda g: torch.tensor([[1, 3], [0, 5]]),
        reference=by_positions,
    ),
]
