"""Trains a small VGG to tell ten kinds of clothing apart, from pictures of 28 x 28 pixels (Fashion-MNIST).

    python fashion_mnist.py --data FOLDER

The folder holds the four IDX files of the dataset, compressed or not; Debian's package dataset-fashion-mnist
puts them into /usr/share/datasets/fashion-mnist. Test images are looked at once, after the training.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from ds_cnn import SmallVGG
from ds_cnn.transforms import Compose, Normalize, RandomCrop, RandomHorizontalFlip
from ds_core import AdamW, CrossEntropyLoss, Trainer, WarmupCosine, summary
from ds_core.data import DataLoader, load_idx
from ds_core.metrics import Accuracy, ConfusionMatrix

CLASSES = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the four IDX files")
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=3e-3, help="the highest learning rate")
    parser.add_argument("--width", type=int, default=32, help="channels of the first block")
    parser.add_argument("--limit", type=int, help="images to train on, for a quick look")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    train = load_idx(args.data, class_names=CLASSES)
    test = load_idx(args.data, split="test", class_names=CLASSES)
    x, y = train.x.view(-1, 1, 28, 28)[: args.limit], train.y[: args.limit]
    normalize = Normalize.of(x)  # of the training part only

    torch.manual_seed(args.seed)
    model = SmallVGG(len(CLASSES), 1, (args.width, 2 * args.width, 4 * args.width), dropout=0.2)
    model.requires_input_grad_(False)
    print(summary(model, x[:1]))

    augment = Compose(RandomHorizontalFlip(), RandomCrop(28, padding=2, fill=float(x.min())), normalize)
    batches = DataLoader(x, y, batch_size=args.batch_size, shuffle=True, seed=args.seed, transform=augment)
    steps = args.epochs * len(batches)
    trainer = Trainer(
        model,
        CrossEntropyLoss(label_smoothing=0.05),
        AdamW(model.parameters(), lr=args.lr, weight_decay=0.02),
        lambda optimizer: WarmupCosine(optimizer, warmup_steps=steps // 10, total_steps=steps),
        metrics=[Accuracy(), ConfusionMatrix()],
        seed=args.seed,
    )
    start = time.monotonic()
    trainer.fit(batches, epochs=args.epochs)

    minutes = (time.monotonic() - start) / 60
    results = trainer.evaluate(normalize(test.x.view(-1, 1, 28, 28)), test.y)
    print(f"\ntrained for {minutes:.1f} minutes on {torch.get_num_threads()} threads")
    print(f"test accuracy {results['accuracy']:.2%} of {len(test):,} images, by class:")
    confusion = trainer.metrics["confusion_matrix"].compute()  # (true, predicted)
    for name, row, right in zip(CLASSES, confusion, confusion.diagonal(), strict=True):
        others = [(int(count), CLASSES[i]) for i, count in enumerate(row) if CLASSES[i] != name]
        print(f"  {name:<9}{right / row.sum():6.1%}   most often taken for a {max(others)[1]}")


if __name__ == "__main__":
    main()
