"""What training GPT-2 124M takes on 1, 8 and 64 accelerators: arithmetic from a few figures.

python packages/ds-core/benchmarks/processes/plan.py [--step SECONDS] [--update SECONDS]

Without ``--step``, the seconds of a forward and backward of 8 x 1024 tokens, it takes the least that the
rate of products allows: no accelerator does better.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

LAYERS, WIDTH, CONTEXT, VOCABULARY = 12, 768, 1024, 50257
ROWS, BATCH, TOKENS = 8, 512, 10_000_000_000  # rows of a device at a time, of a step, tokens of the training
# Of one H200, as its maker states: operations in products of bfloat16, and bytes its memory moves, a second.
PRODUCTS, COPIES = 990e12, 4.8e12
# Bytes a second that a device sends to its neighbour in a ring, stated likewise.
LINKS = {"NVLink": 450e9, "400 Gb/s a device": 50e9, "100 Gb/s a machine of 8": 12.5e9}


def parameters() -> int:
    """Counts the parameters; the head has the embedding's."""
    block = 12 * WIDTH**2 + 13 * WIDTH
    return VOCABULARY * WIDTH + CONTEXT * WIDTH + LAYERS * block + 2 * WIDTH


def operations() -> int:
    """Counts the additions and multiplications in products for one token: forward, and twice that back."""
    products = 2 * (LAYERS * 12 * WIDTH**2 + VOCABULARY * WIDTH)
    attention = LAYERS * 2 * 2 * CONTEXT * WIDTH
    return 3 * (products + attention)


@dataclass(frozen=True)
class Plan:
    """What one step takes with so many devices.

    Args:
        devices: P.
        step: seconds of a forward and backward of 8 x 1024 tokens on one of them.
        update: seconds of the optimizer's update.
    """

    devices: int
    step: float
    update: float

    @property
    def compute(self) -> float:
        """Seconds of a step without communication."""
        return BATCH / (ROWS * self.devices) * self.step + self.update

    def travel(self, link: float) -> float:
        """Returns the seconds in which gradients in float32 travel around a ring."""
        return 2 * (self.devices - 1) / self.devices * 4 * parameters() / link

    def exposed(self, link: float) -> float:
        """Returns the seconds of these that backward, two thirds of the last piece, does not hide.

        The embedding, which is the head, too, is complete with backward's end: it never is hidden.
        """
        embedding = VOCABULARY * WIDTH / parameters()
        return max(embedding * self.travel(link), self.travel(link) - self.step * 2 / 3)

    def hours(self, link: float | None = None) -> float:
        """Returns how long the training takes."""
        steps = TOKENS / (BATCH * CONTEXT)
        return steps * (self.compute + (self.exposed(link) if link else 0.0)) / 3600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--step", type=float, default=ROWS * CONTEXT * operations() / PRODUCTS)
    parser.add_argument("--update", type=float, default=7 * 4 * parameters() / COPIES)
    given = parser.parse_args()
    rate = ROWS * CONTEXT * operations() / given.step
    print(f"{parameters():,} parameters, {operations() / 1e6:.0f} million operations a token")
    print(f"{1e3 * given.step:.1f} ms for 8 x 1024 tokens ({rate / PRODUCTS:.0%} of the products' rate)")
    print(f"{1e3 * given.update:.1f} ms for the update\n")
    print("| accelerators | a step | the training | gradients travel: " + " | ".join(LINKS) + " |")
    print("| ---: | ---: | ---: |" + " ---: |" * len(LINKS))
    for devices in (1, 8, 64):
        plan = Plan(devices, given.step, given.update)
        cells = [f"{1e3 * plan.compute:.1f} ms", f"{plan.hours():.2f} h"]
        for link in LINKS.values():
            told = f"{1e3 * plan.travel(link):.1f} ms, {1e3 * plan.exposed(link):.1f} not hidden"
            cells.append(told if devices > 1 else "-")
        print(f"| {devices} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
