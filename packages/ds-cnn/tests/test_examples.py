"""The examples run, in their short setting."""

import gzip
import subprocess
import sys
from pathlib import Path

import torch

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def test_fashion_mnist_runs_on_files_in_its_format(tmp_path):
    g = torch.Generator().manual_seed(0)
    for part, count in (("train", 64), ("t10k", 32)):
        images = torch.randint(256, (count, 28, 28), generator=g, dtype=torch.uint8)
        labels = torch.arange(count, dtype=torch.uint8) % 10
        for name, tensor, magic in (("images-idx3", images, 3), ("labels-idx1", labels, 1)):
            head = bytes([0, 0, 8, magic]) + b"".join(size.to_bytes(4, "big") for size in tensor.shape)
            with gzip.open(tmp_path / f"{part}-{name}-ubyte.gz", "wb") as file:
                file.write(head + tensor.numpy().tobytes())
    command = [
        sys.executable,
        EXAMPLES / "fashion_mnist.py",
        "--data",
        tmp_path,
        "--epochs",
        "1",
        "--width",
        "4",
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "test accuracy" in result.stdout
    assert "of 32 images" in result.stdout
