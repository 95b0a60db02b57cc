"""Whole manual steps through ``torch.compile`` and its own compiler, to the end: the same gradients."""

import shutil

import pytest
import torch
from ds_cnn import BasicBlock, ResNet
from ds_core import CrossEntropyLoss, Dense, ReLU, Sequential
from ds_rnn import LSTM
from ds_zoo import MiniGPT, MiniGPTConfig

MODELS = {
    "MLP": (
        lambda: Sequential(Dense(12, 16), ReLU(), Dense(16, 10)),
        lambda: torch.randn(8, 12, dtype=torch.float64),
    ),
    "MiniGPT": (lambda: MiniGPT(MiniGPTConfig(17, 8, 16, 2, 2)), lambda: torch.randint(17, (2, 8))),
    "ResNet": (
        lambda: ResNet(BasicBlock, (1, 1, 1, 1), 5, widths=(4, 6, 8, 8), stem="small"),
        lambda: torch.randn(2, 3, 9, 8, dtype=torch.float64),
    ),
    "LSTM": (lambda: LSTM(3, 4), lambda: torch.randn(5, 2, 3, dtype=torch.float64)),
}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch's compiler needs g++")
@pytest.mark.parametrize("name", MODELS)
def test_a_manual_step_compiled_to_machine_code_has_the_same_gradients(name):
    torch.manual_seed(0)
    make, draw = MODELS[name]
    model, x, loss = make().to(torch.float64), draw(), CrossEntropyLoss(dim=-1)
    start = {key: value.clone() for key, value in model.state_dict().items()}

    def step(x):
        with torch.no_grad():
            output = model(x)
            scores = output if isinstance(output, torch.Tensor) else output[0]
            value = loss(scores, scores.argmin(-1))
            model.backward(loss.backward())
            return value

    results = []
    torch._dynamo.reset()
    for run in (step, torch.compile(step, fullgraph=True)):
        model.load_state_dict(start)
        model.zero_grad()
        results.append([run(x), *(parameter.grad for parameter in model.parameters())])
    for expected, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, expected, rtol=0, atol=1e-10)
