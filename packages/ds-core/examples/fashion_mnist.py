"""Trains an MLP to tell ten kinds of clothing apart, from pictures of 28 x 28 pixels (Fashion-MNIST).

    python fashion_mnist.py --data FOLDER

The folder holds the four IDX files of the dataset, compressed or not; Debian's package dataset-fashion-mnist
puts them into /usr/share/datasets/fashion-mnist. Test images are looked at once, after the training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from ds_core import AdamW, CrossEntropyLoss, Dense, Dropout, ReLU, Sequential, Trainer, WarmupCosine, summary
from ds_core.data import load_idx
from ds_core.metrics import Accuracy, ConfusionMatrix

CLASSES = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the four IDX files")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-3, help="the highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, help="folder for loss.png and confusion.png (needs ds-core[plot])"
    )
    args = parser.parse_args()

    train = load_idx(args.data, class_names=CLASSES)
    test = load_idx(args.data, split="test", class_names=CLASSES)
    mean, deviation = train.x.mean(), train.x.std()  # of the training part only
    x_train, x_test = (((data.x - mean) / deviation).flatten(1) for data in (train, test))  # (N, 784)

    torch.manual_seed(args.seed)
    model = Sequential(
        Dense(x_train.shape[1], 512, init="he_normal"),
        ReLU(),
        Dropout(0.3),
        Dense(512, 256, init="he_normal"),
        ReLU(),
        Dropout(0.3),
        Dense(256, len(CLASSES)),
    )
    print(summary(model, x_train[:1]))

    steps = args.epochs * -(-len(x_train) // args.batch_size)  # batches, the last one perhaps smaller
    trainer = Trainer(
        model,
        CrossEntropyLoss(label_smoothing=0.05),
        AdamW(model.parameters(), lr=args.lr, weight_decay=0.02),
        lambda optimizer: WarmupCosine(optimizer, warmup_steps=steps // 20, total_steps=steps),
        metrics=[Accuracy(), ConfusionMatrix()],
        seed=args.seed,
    )
    history = trainer.fit(x_train, train.y, epochs=args.epochs, batch_size=args.batch_size)

    results = trainer.evaluate(x_test, test.y)
    print(f"\ntest accuracy {results['accuracy']:.2%} of {len(test):,} images, by class:")
    confusion = trainer.metrics["confusion_matrix"].compute()  # (true, predicted)
    for name, row, right in zip(CLASSES, confusion, confusion.diagonal(), strict=True):
        others = [(int(count), CLASSES[i]) for i, count in enumerate(row) if CLASSES[i] != name]
        print(f"  {name:<9}{right / row.sum():6.1%}   most often taken for a {max(others)[1]}")
    if args.out is not None:
        history.plot(args.out / "loss.png", title="Fashion-MNIST")
        trainer.metrics["confusion_matrix"].plot(args.out / "confusion.png", class_names=CLASSES)


if __name__ == "__main__":
    main()
