"""torch.compile over whole manual steps: no graph break, and the gradients of the step without it."""

import pytest
import torch
from ds_cnn import BasicBlock, ConvTranspose2d, LPPool2d, MaxPool2d, ResNet, Upsample


def compiled(model, x):
    """Returns how far gradients are from those of the step as it is, relative to the largest."""
    model.to(torch.float64)

    def step(x):
        with torch.no_grad():
            y = model(x)
            return model.backward(y * 0.1 + 0.5)

    start = {name: value.clone() for name, value in model.state_dict().items()}
    results = []
    torch._dynamo.reset()
    for run in (step, torch.compile(step, backend="aot_eager", fullgraph=True)):
        model.load_state_dict(start)
        model.zero_grad()
        results.append([run(x), *(p.grad for p in model.parameters())])
    pairs = zip(*results, strict=True)
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in pairs)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ConvTranspose2d(4, 3, 3, stride=2),
        lambda: MaxPool2d(3, 2, 1),
        lambda: LPPool2d(2, 2),
        lambda: Upsample(scale_factor=2, mode="bilinear"),
    ],
    ids=["ConvTranspose2d", "MaxPool2d", "LPPool2d", "Upsample"],
)
def test_layers_compile_in_one_graph(make):
    x = torch.randn(2, 4, 9, 8, dtype=torch.float64).abs()
    assert compiled(make(), x) <= 1e-10


def test_a_small_resnet_compiles_in_one_graph():
    torch.manual_seed(0)
    model = ResNet(BasicBlock, (1, 1, 1, 1), 3, widths=(4, 6, 8, 8))
    assert compiled(model, torch.randn(2, 3, 33, 32, dtype=torch.float64)) <= 1e-10
