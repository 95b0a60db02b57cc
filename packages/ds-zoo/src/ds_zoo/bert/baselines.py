"""What BERT must beat: guesses from counts, for hidden words, next sentences and labels."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

import torch
from ds_core import AdamW, CrossEntropyLoss, Dense, engine
from torch import Tensor


class FillIn:
    """Fills in a hidden token from counts: the most frequent one, or one that fits its neighbours.

    unigram: argmax over w of count(w);   bigram: argmax of p(w | left);   two bigrams: argmax of
    p(w | left) p(right | w), with p(b | a) = count(a, b) / count(a). Of equal ones the more frequent behind
    left wins; where left was never seen, the unigram.

    Args:
        rows: token ids to count in, each ``(T,)``, [CLS] and [SEP] included: they are neighbours, too.
        special_ids: tokens that are never the answer.
    """

    def __init__(self, rows: Sequence[Tensor], special_ids: Sequence[int]) -> None:
        self.count: Counter[int] = Counter()
        self.after: defaultdict[int, Counter[int]] = defaultdict(Counter)
        for row in rows:
            ids = row.tolist()
            self.count.update(ids)
            for left, right in pairwise(ids):
                self.after[left][right] += 1
        self.special_ids = frozenset(special_ids)
        self.likeliest = max((i for i in self.count if i not in self.special_ids), key=self.count.__getitem__)

    def guesses(self, left: int, right: int) -> dict[str, int]:
        """Returns the token that each of the three puts between two others."""
        followers = self.after.get(left, Counter())
        following = {
            token: (times * self.after.get(token, Counter())[right] / self.count[token], times)
            for token, times in followers.items()
            if token not in self.special_ids
        }
        return {
            "unigram": self.likeliest,
            "bigram": max(following, key=followers.__getitem__, default=self.likeliest),
            "two bigrams": max(following, key=following.__getitem__, default=self.likeliest),
        }

    def accuracies(self, rows: Sequence[Tensor], labels: Sequence[Tensor]) -> dict[str, float]:
        """Returns the share of hidden tokens that each of the three finds.

        They are told the neighbours as they are, also where those are hidden from BERT.

        Args:
            rows: the right tokens, each ``(T,)``.
            labels: 0 or more where a token is hidden, -100 elsewhere, ``(T,)`` each.
        """
        right: Counter[str] = Counter()
        total = 0
        for row, hidden in zip(rows, labels, strict=True):
            ids = row.tolist()
            for place in (hidden >= 0).nonzero()[:, 0].tolist():
                total += 1
                for name, token in self.guesses(ids[place - 1], ids[place + 1]).items():
                    right[name] += token == ids[place]
        return {name: right[name] / total for name in ("unigram", "bigram", "two bigrams")}


class BagOfWords:
    """Labels texts by how often each token is in them: logistic regression, trained on all texts at once.

    logits = n W^T + b,   n_v = how often token v is in the text, of the tokens there are to learn from

    Args:
        rows: token ids of the texts to learn from, each ``(T,)``.
        labels: a number for each.
        steps: of AdamW, at a rate of 0.05, without decay.
    """

    def __init__(self, rows: Sequence[Tensor], labels: Sequence[int], steps: int = 300) -> None:
        self.tokens = torch.cat(list(rows)).unique()
        x, y = self._counts(rows), torch.tensor(labels)
        self.model = Dense(len(self.tokens), int(y.max()) + 1, generator=torch.Generator().manual_seed(0))
        self.model.requires_input_grad_(False)
        loss_fn, optimizer = CrossEntropyLoss(dim=-1), AdamW(self.model.parameters(), 0.05, weight_decay=0.0)
        for _ in range(steps):
            optimizer.zero_grad()
            with engine("manual"):
                loss_fn(self.model(x), y)
                self.model.backward(loss_fn.backward())
            optimizer.step()

    def predict(self, rows: Sequence[Tensor]) -> Tensor:
        """Returns the number of each text's likeliest label, ``(N,)``."""
        with torch.no_grad():
            return self.model.eval()(self._counts(rows)).argmax(-1)

    def accuracy(self, rows: Sequence[Tensor], labels: Sequence[int]) -> float:
        """Returns the share of texts whose likeliest label is the right one."""
        return (self.predict(rows) == torch.tensor(labels)).double().mean().item()

    def _counts(self, rows: Sequence[Tensor]) -> Tensor:
        size = 1 + max(int(self.tokens.max()), *(int(row.max()) for row in rows))
        return torch.stack([torch.bincount(row, minlength=size)[self.tokens] for row in rows]).float()


class CommonTokens:
    """Takes a sentence for the next one if it has enough tokens in common with the first.

    share = |first & second| / |second|, as sets of tokens;   next one if share >= s

    Args:
        rows: [CLS] first [SEP] second [SEP], each ``(T,)``; s is what tells most of these rightly.
        labels: 0 where the second is the next one, 1 elsewhere.
        sep_id: of [SEP].
    """

    def __init__(self, rows: Sequence[Tensor], labels: Sequence[int], sep_id: int) -> None:
        self.sep_id = sep_id
        shares, wrong = self._shares(rows), torch.tensor(labels)
        thresholds = torch.linspace(0, 1.05, 22)
        right = [((shares < threshold) == (wrong == 1)).double().mean() for threshold in thresholds]
        self.threshold = float(thresholds[int(torch.stack(right).argmax())])

    def accuracy(self, rows: Sequence[Tensor], labels: Sequence[int]) -> float:
        """Returns the share of pairs that are told rightly."""
        taken = self._shares(rows) < self.threshold
        return (taken == (torch.tensor(labels) == 1)).double().mean().item()

    def _shares(self, rows: Sequence[Tensor]) -> Tensor:
        found = []
        for row in rows:
            ids = row.tolist()
            middle = ids.index(self.sep_id)
            first, second = set(ids[1:middle]), set(ids[middle + 1 : -1])
            found.append(len(first & second) / max(1, len(second)))
        return torch.tensor(found)
