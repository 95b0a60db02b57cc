"""8,192 positions, one head of 64 numbers, forward and backward: in a process of less than one GiB."""

import json
import subprocess
import sys

import pytest

GIB = 2**30
PROGRAM = """
import json
from pathlib import Path
import torch
from ds_core import engine
from ds_core.verify.benchmark import peak_memory
from ds_transformer import scaled_dot_product_attention, scaled_dot_product_attention_backward

torch.manual_seed(0)
query, key, value, grad = (torch.randn(8192, 64) for _ in range(4))

def step():
    with engine("manual"):
        out, saved = scaled_dot_product_attention(query, key, value, is_causal=CAUSAL)
        return out, scaled_dot_product_attention_backward(grad, saved)

out, grads = step()
status = Path("/proc/self/status")  # where there is one: the most memory this whole process has ever held
lines = status.read_text().splitlines() if status.exists() else []
held = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]

# Some rows of the output and some of the gradients, from the definition.
rows = torch.tensor([0, 1, 4000, 8191])
scores = query[rows].double() @ key.double().T / 8
if CAUSAL:
    scores.masked_fill_(torch.arange(8192) > rows[:, None], -torch.inf)
wanted = scores.softmax(1)
error = (out[rows] - wanted @ value.double()).abs().max().item()
grad_scores = wanted * (grad[rows].double() @ value.double().T)
grad_scores -= wanted * grad_scores.sum(1, keepdim=True)
grad_error = (grads.query[rows] - grad_scores @ key.double() / 8).abs().max().item()
print(json.dumps([peak_memory(step), max(held, default=0), error, grad_error]))
"""


@pytest.mark.parametrize("causal", [False, True])
def test_a_long_context_needs_less_than_a_gibibyte(causal):
    program = PROGRAM.replace("CAUSAL", str(causal))
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    allocated, held, error, grad_error = json.loads(run.stdout)
    assert allocated < GIB / 16  # the scores alone would take a quarter of a GiB, and their gradient another
    assert held < GIB
    assert error < 1e-5
    assert grad_error < 1e-5
