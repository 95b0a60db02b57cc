"""What hands used to torch.nn reach for: methods of Module and of containers, beside their namesakes."""

import collections
import random
from types import SimpleNamespace

import ds_core
import pytest
import torch
from ds_core import (
    BatchNorm1d,
    Dense,
    Dropout,
    Module,
    ModuleDict,
    ModuleList,
    Parameter,
    ParameterDict,
    ParameterList,
    ReLU,
    Sequential,
    engine,
)

nn = torch.nn
OURS = SimpleNamespace(
    Dense=Dense,
    **{name: getattr(ds_core, name) for name in dir(nn) if hasattr(ds_core, name)},
)
THEIRS = SimpleNamespace(Dense=nn.Linear, **{name: getattr(nn, name) for name in dir(nn)})


def nested(lib):
    """A model with all that has a path, parameters and buffers, shared and absent ones; ours or torch's."""

    class Net(lib.Module):
        def __init__(self):
            super().__init__()
            self.early = None
            self.scale = lib.Parameter(torch.ones(3))
            self.register_parameter("absent", None)
            self.register_buffer("table", torch.arange(4.0))
            self.register_buffer("scratch", torch.zeros(2), persistent=False)
            shared = lib.ReLU()
            self.body = lib.Sequential(lib.Dense(2, 3), shared, lib.Sequential(shared, lib.BatchNorm1d(3)))
            self.again = self.body[0]
            self.heads = lib.ModuleDict({"a": lib.Dense(3, 1), "b": lib.Dense(3, 2, bias=False)})
            self.early = lib.Dense(1, 1)
            self.listed = lib.ParameterList([torch.zeros(2), torch.ones(1)])
            self.frozen = lib.Parameter(torch.ones(1), requires_grad=False)
            self.scale = lib.Parameter(torch.zeros(3))
            self.add_module("late", lib.Dropout(0.1))

    return Net()


@pytest.fixture
def pair():
    return nested(OURS), nested(THEIRS)


def kind(module):
    return type(module).__name__.replace("Linear", "Dense")


def small():
    return Sequential(Dense(2, 3), Sequential(ReLU(), Dense(3, 1)))


# ---- finding ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "net"])
@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("recurse", [True, False])
def test_names_are_those_of_torch(pair, prefix, recurse, once):
    for method in ("named_parameters", "named_buffers"):
        ours, theirs = (list(getattr(net, method)(prefix, recurse, once)) for net in pair)
        assert [name for name, _ in ours] == [name for name, _ in theirs]
        assert [tuple(value.shape) for _, value in ours] == [tuple(value.shape) for _, value in theirs]
    for method in ("parameters", "buffers"):
        ours, theirs = (list(getattr(net, method)(recurse)) for net in pair)
        assert len(ours) == len(theirs) > 0


@pytest.mark.parametrize("once", [True, False])
def test_modules_are_those_of_torch(pair, once):
    ours, theirs = ([(path, kind(m)) for path, m in net.named_modules(None, "p", once)] for net in pair)
    assert ours == theirs
    assert [kind(m) for m in pair[0].modules(once)] == [kind(m) for m in pair[1].modules(once)]
    ours, theirs = ([(path, kind(m)) for path, m in net.named_children()] for net in pair)
    assert ours == theirs
    for net in pair:
        memo = {net.body}
        assert "body" not in [path for path, _ in net.named_modules(memo)]
        assert net.heads in memo


def test_apply_visits_as_torch_does(pair):
    seen = [], []
    for net, visited in zip(pair, seen, strict=True):
        assert net.apply(lambda module, visited=visited: visited.append(kind(module))) is net
    assert seen[0] == seen[1]
    assert seen[0].count("ReLU") == 2  # once below each of the two that hold it


@pytest.mark.parametrize("prefix", ["", "net."])
def test_state_dict_as_torch_gives_it(pair, prefix):
    ours, theirs = (net.state_dict(prefix=prefix) for net in pair)
    assert list(ours) == list(theirs)
    assert not any(value.requires_grad for value in ours.values())
    ours, theirs = (net.state_dict(destination={"own": 1}, prefix=prefix, keep_vars=True) for net in pair)
    assert list(ours) == list(theirs)
    assert ours[prefix + "scale"] is pair[0].scale
    assert not ours[prefix + "frozen"].requires_grad


@pytest.mark.parametrize("path", ["", "body", "body.2.1", "heads.b", "late"])
def test_submodules_by_path(pair, path):
    ours, theirs = (net.get_submodule(path) for net in pair)
    assert dict(pair[0].named_modules(remove_duplicate=False))[path] is ours
    assert [kind(m) for m in ours.modules()] == [kind(m) for m in theirs.modules()]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get_submodule", "body.7"),
        ("get_submodule", "scale"),
        ("get_submodule", "a..b"),
        ("get_parameter", "table"),
        ("get_parameter", "absent"),
        ("get_parameter", "body.1.weight"),
        ("get_buffer", "scale"),
        ("get_buffer", "nowhere.table"),
    ],
)
def test_paths_that_lead_nowhere(pair, method, path):
    if path != "absent":  # torch returns None
        with pytest.raises(AttributeError):
            getattr(pair[1], method)(path)
    with pytest.raises(
        AttributeError, match=rf"Net: expected '{path.split('.')[0]}.*' to be the path of a \w+, but .* has"
    ):
        getattr(pair[0], method)(path)


def test_tensors_by_path(pair):
    net = pair[0]
    assert net.get_parameter("body.0.bias") is net.body[0].bias
    assert net.get_parameter("scale") is net.scale
    assert net.get_buffer("body.2.1.running_mean") is net.body[2][1].running_mean
    with pytest.raises(AttributeError, match=r"but ReLU\(\) has no parameters"):
        net.get_parameter("body.1.weight")


def test_set_submodule_replaces_and_adds(pair):
    for lib, net in zip((OURS, THEIRS), pair, strict=True):
        net.set_submodule("heads.a", lib.Dense(3, 5))
        net.set_submodule("body.2.extra", lib.ReLU())
        net.set_submodule("top", lib.ReLU(), strict=False)
        for path, strict in (("nowhere.at.all", False), ("nowhere", True)):
            with pytest.raises(AttributeError):
                net.set_submodule(path, lib.ReLU(), strict=strict)
        with pytest.raises((AttributeError, ValueError)):
            net.set_submodule("scale", lib.ReLU())
        with pytest.raises(ValueError, match="submodule"):
            net.set_submodule("", lib.ReLU())
        with pytest.raises((TypeError, ValueError)):
            net.set_submodule("heads.a", 3)
    ours, theirs = ([(path, kind(m)) for path, m in net.named_modules()] for net in pair)
    assert ours == theirs


# ---- registering -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["add_module", "register_module", "register_parameter", "register_buffer"])
@pytest.mark.parametrize("name", ["", "a.b", 3, "forward", "scale", "table", "body", "training", "new"])
def test_names_are_refused_where_torch_refuses_them(pair, method, name):
    values = {"register_parameter": lambda lib: lib.Parameter(torch.ones(1))}
    values |= {"register_buffer": lambda lib: torch.ones(1)}
    refused = []
    for lib, net in zip((OURS, THEIRS), pair, strict=True):
        before = list(net.state_dict())
        try:
            getattr(net, method)(name, values.get(method, lambda lib: lib.Dense(1, 1))(lib))
        except (TypeError, ValueError, KeyError):
            assert list(net.state_dict()) == before
            refused.append(net)
    assert refused in ([], list(pair))
    assert list(pair[0].state_dict()) == list(pair[1].state_dict())


def test_what_is_refused_is_said():
    model = small()
    for add in (model.add_module, lambda name, module: setattr(model, name, module)):
        with pytest.raises(ValueError, match=r"Sequential: expected a name without dots, got 'a\.b'"):
            add("a.b", Dense(2, 2))
    with pytest.raises(
        ValueError, match="Sequential: expected a name that means nothing else, got 'forward'"
    ):
        model.register_buffer("forward", torch.ones(1))
    with pytest.raises(TypeError, match="Sequential: expected a name as a string, got int"):
        model.register_parameter(3, Parameter(torch.ones(1)))
    with pytest.raises(TypeError, match=r"expected a tensor made by ds_core\.Parameter, or None, as 'w'"):
        model.register_parameter("w", torch.ones(1))
    with pytest.raises(TypeError, match=r"register_buffer: expected a tensor or None as 'b', got int"):
        model.register_buffer("b", 1)
    with pytest.raises(
        TypeError, match=r"register_buffer: expected a tensor or None as 'b', got a parameter"
    ):
        model.register_buffer("b", Parameter(torch.ones(1)))
    norm = BatchNorm1d(3)
    with pytest.raises(TypeError, match=r"BatchNorm1d\.running_mean is a buffer: assign a tensor or None"):
        norm.running_mean = 3.0


def test_a_buffer_becomes_a_parameter_or_a_module():
    for lib in (OURS, THEIRS):
        net = lib.Module()
        for name in ("a", "b"):
            net.register_buffer(name, torch.ones(1))
        net.a, net.b = lib.Parameter(torch.ones(1)), lib.Dense(1, 1)
        assert list(net.state_dict()) == ["a", "b.weight", "b.bias"]
        assert list(net.named_buffers()) == []


@pytest.mark.parametrize(
    "name", [name for name in dir(nn.Module) if name.startswith("register_") and name.endswith("hook")]
)
def test_hooks_are_refused_with_what_to_do_instead(name):
    advice = r"change the dict that state_dict\(\)" if "state_dict" in name else r"`ds_core\.xray` and its"
    with pytest.raises(NotImplementedError, match=rf"Dense\(.*\): there are no hooks; {advice}"):
        getattr(Dense(2, 2), name)(print)


def test_weights_are_not_left_as_they_are_where_code_asks_for_new_ones():
    for layer in small().modules():
        assert hasattr(layer, "reset_parameters")
        with pytest.raises(NotImplementedError, match="weights are drawn where a layer is made"):
            layer.reset_parameters()


@pytest.mark.parametrize(
    "put",
    [
        lambda layer: Sequential(layer),
        lambda layer: Sequential({"a": layer}),
        lambda layer: ModuleList([layer]),
        lambda layer: ModuleDict({"a": layer}),
        lambda layer: small().insert(0, layer),
        lambda layer: small().add_module("a", layer),
        lambda layer: small().set_submodule("0", layer),
        lambda layer: small().__setitem__(0, layer),
        lambda layer: setattr(small(), "a", layer),
        lambda layer: setattr(small(), "a", [layer]),
    ],
)
def test_modules_of_torch_are_refused_with_what_to_do_instead(put):
    with pytest.raises(TypeError, match=r"got a module of torch, Linear, .* use the layer of the same name"):
        put(nn.Linear(2, 2))


# ---- types and places ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda net: net.half(),
        lambda net: net.bfloat16(),
        lambda net: net.double().cpu(),
        lambda net: net.half().float(),
        lambda net: net.to(torch.float16, non_blocking=True),
        lambda net: net.to("cpu", torch.float64, True),
        lambda net: net.to(torch.ones(1, dtype=torch.float64)),
        lambda net: net.to("meta"),
    ],
)
def test_types_and_places_as_torch_has_them(pair, change):
    for net in pair:
        assert change(net) is net
    ours, theirs = (
        {name: (value.dtype, value.device, value.requires_grad) for name, value in state.items()}
        for state in (net.state_dict(keep_vars=True) for net in pair)
    )
    assert ours == theirs
    assert pair[0].again is pair[0].body[0]


def test_type_changes_floating_point_alone():
    norm = BatchNorm1d(3).type(torch.float64)
    assert norm.running_mean.dtype == norm.weight.dtype == torch.float64
    assert norm.num_batches_tracked.dtype == torch.int64
    with pytest.raises(TypeError, match=r"BatchNorm1d\.type: expected a dtype, got 'half'"):
        norm.type("half")
    with pytest.raises(TypeError, match=r"expected a floating point dtype, got torch\.int64"):
        norm.type(torch.int64)


def test_gradients_go_along():
    model = small()
    with engine("manual"):
        model.backward(torch.ones_like(model(torch.randn(4, 2))))
    grad = model[0].weight.grad
    model.double()
    assert torch.equal(model[0].weight.grad, grad.double())


def test_a_model_made_without_memory_gets_it_and_its_weights():
    filled, x = nested(OURS), torch.randn(4, 2)
    with torch.device("meta"):
        model = nested(OURS)
    assert {value.device.type for value in model.state_dict().values()} == {"meta"}
    model.frozen.requires_grad_(False)
    for move in (lambda: model.to("cpu"), lambda: model.cpu()):
        with pytest.raises(NotImplementedError, match=r"got scale on 'meta'.* call to_empty\(device='cpu'\)"):
            move()
    with pytest.raises(ValueError, match=r"scale is on 'meta'; pass assign=True, or call to_empty"):
        model.load_state_dict(filled.state_dict())
    assert model.to_empty(device="cpu") is model
    model.load_state_dict(filled.state_dict())
    assert torch.equal(model.eval().body(x), filled.eval().body(x))
    assert model.again.weight is model.body[0].weight  # shared as before
    assert model.scale.requires_grad
    assert not model.frozen.requires_grad
    assert len(list(model.parameters())) == len(list(filled.parameters()))


def test_a_model_made_without_memory_takes_given_weights():
    filled, x = small(), torch.randn(4, 2)
    with torch.device("meta"):
        model = Sequential(Dense(2, 3), Sequential(ReLU(), Dense(3, 1), Dropout(0.5)))
    model.load_state_dict(filled.state_dict(), assign=True)
    assert torch.equal(model.eval()(x), filled.eval()(x))
    with engine("manual"):
        model.train().backward(torch.ones_like(model(x)))
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_to_empty_of_one_module_alone():
    for lib in (OURS, THEIRS):
        net = nested(lib)
        net.to_empty(device="meta", recurse=False)
        places = {name: value.device.type for name, value in net.state_dict().items()}
        assert {name for name, place in places.items() if place == "meta"} == {"scale", "table", "frozen"}


# ---- values ----------------------------------------------------------------------------------------------


def test_zeros_instead_of_none():
    model = small()
    with engine("manual"):
        model.backward(torch.ones_like(model(torch.randn(4, 2))))
    grads = [p.grad for p in model.parameters()]
    model.zero_grad(set_to_none=False)
    assert all(p.grad is grad and not grad.any() for p, grad in zip(model.parameters(), grads, strict=True))
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_assigned_state_is_the_given_tensors(pair):
    other = nested(OURS).double().state_dict()
    for net in pair:
        net.scale.grad = torch.ones(3)
        net.load_state_dict(other, assign=True)
        state = net.state_dict(keep_vars=True)
        assert all(state[name].data_ptr() == value.data_ptr() for name, value in other.items())
        assert all(state[name].dtype == value.dtype for name, value in other.items())
        assert state["scale"].requires_grad
        assert not state["frozen"].requires_grad
        assert net.scale.grad is None


def test_assigned_parameters_are_those_an_optimizer_knows():
    model = small()
    first = model[0].weight
    model.load_state_dict(small().double().state_dict(), assign=True)
    assert model[0].weight is first


def test_loading_goes_on_without_what_is_missing(pair):
    state = nested(OURS).state_dict()
    del state["scale"]
    state["more"] = torch.ones(1)
    ours, theirs = (tuple(net.load_state_dict(state, strict=False)) for net in pair)
    assert ours == theirs
    with pytest.raises(ValueError, match=r"missing: scale, shape .3,.\n  unexpected: more, shape .1,.$"):
        pair[0].load_state_dict(state)
    with pytest.raises(ValueError, match="no tensor: table, got list"):
        pair[0].load_state_dict(state | {"table": [1, 2]}, strict=False)
    with pytest.raises(TypeError, match=r"Net\.load_state_dict: expected a dict of tensors.* got Net"):
        pair[0].load_state_dict(pair[0])


def test_modes_are_true_or_false(pair):
    for net in pair:
        assert net.train(False) is net
        assert not net.body[0].training
        with pytest.raises(ValueError, match=r"\b[Tt]rain"):
            net.train("no")


# ---- containers ------------------------------------------------------------------------------------------


CHANGES = ("append", "insert", "extend", "set", "del", "pop", "cut", "slice", "add", "iadd")


@pytest.mark.parametrize("kind_of_list", ["Sequential", "ModuleList"])
@pytest.mark.parametrize("seed", range(4))
def test_lists_change_as_those_of_torch(kind_of_list, seed):
    draw = random.Random(seed)
    modules = [(Dense(2, 2), nn.Linear(2, 2)) for _ in range(6)]
    place = {id(module): i for i, both in enumerate(modules) for module in both}

    def container(side, chosen):
        held = [modules[i][side] for i in chosen]
        cls = getattr((OURS, THEIRS)[side], kind_of_list)
        return cls(*held) if kind_of_list == "Sequential" else cls(held)

    both = [container(side, [0, 1]) for side in (0, 1)]
    for _ in range(40):
        count = len(both[0])
        at, new, more = draw.randint(-count, count), draw.randrange(6), draw.choices(range(6), k=2)
        at = abs(at) if kind_of_list == "ModuleList" else at  # torch's misplaces negative ones
        held = draw.randint(-count, count - 1) if count else 0
        span = slice(*sorted(draw.choices(range(count + 1), k=2)))
        change = draw.choice(CHANGES)
        results = []
        for side in (0, 1):
            it, module, two = both[side], modules[new][side], container(side, more)
            result = None
            if change == "append":
                it.append(module)
            elif change == "insert":
                it.insert(at, module)
            elif change == "extend":
                it.extend(two)
            elif change == "set" and count:
                it[held] = module
            elif change == "del" and count:
                del it[held]
            elif change == "pop" and count:
                result = place[id(it.pop(held))]
            elif change == "cut" and kind_of_list == "Sequential":
                del it[span]
            elif change == "slice":
                result = list(it[span].state_dict()), [place[id(module)] for module in it[span]]
            elif change == "add":
                result = list((it + two).state_dict())
            elif change == "iadd":
                it += two
            results.append((result, list(it.state_dict()), [place[id(module)] for module in it], len(it)))
        assert results[0] == results[1], change
        for it in both:
            del it[6:]


def test_a_slice_that_is_continued_loses_nothing():
    model = Sequential(*(Dense(2, 2) for _ in range(3)))[1:]
    model.append(Dense(2, 7))
    assert [layer.weight.shape[0] for layer in model] == [2, 2, 7]
    assert list(model.state_dict())[::2] == ["1.weight", "2.weight", "3.weight"]


def test_lists_say_what_is_no_module_and_no_place():
    model = small()
    with pytest.raises(TypeError, match="Sequential: expected a Module at place 0, got int"):
        model[0] = 3
    with pytest.raises(TypeError, match="ModuleList: expected a Module at place 1, got str"):
        ModuleList([Dense(2, 2)]).extend(["b"])
    expected = "Sequential: expected a place among 2 modules, got 5"
    with pytest.raises(IndexError, match=expected):
        model[5]
    with pytest.raises(IndexError, match=expected):
        model[5] = ReLU()
    with pytest.raises(IndexError, match=expected):
        del model[5]
    with pytest.raises(IndexError, match=expected):
        model.insert(5, ReLU())
    with pytest.raises(IndexError, match=expected):
        model.pop(5)


def test_sequential_with_names():
    names = collections.OrderedDict
    ours = Sequential(names(first=Dense(2, 3), middle=ReLU(), last=Dense(3, 1)))
    theirs = nn.Sequential(names(first=nn.Linear(2, 3), middle=nn.ReLU(), last=nn.Linear(3, 1)))
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(5, 2)
    torch.testing.assert_close(ours(x), theirs(x))
    ours[-1], theirs[-1] = Dense(3, 7), nn.Linear(3, 7)
    assert ours.last is ours[2]
    assert list(ours[1:].state_dict()) == list(theirs[1:].state_dict()) == ["last.weight", "last.bias"]
    del ours[0], theirs[0]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    with pytest.raises(ValueError, match="a name without dots"):
        Sequential({"a.b": Dense(2, 2)})
    with pytest.raises(ValueError, match="expected a name that means nothing else, got 'forward'"):
        Sequential({"forward": Dense(2, 2)})


def test_one_layer_at_two_places():
    layer = Dense(2, 2)
    model = Sequential(layer, ReLU(), layer)
    assert len(model) == 3
    assert [kind(child) for child in model.children()] == ["Dense", "ReLU"]
    assert "(2): Dense" in repr(model)


def test_parameter_lists_beside_those_of_torch():
    lists = []
    for lib in (OURS, THEIRS):
        given = lib.Parameter(torch.ones(2))
        held = lib.ParameterList([given, torch.zeros(3)])
        held.append(torch.ones(4)).extend([torch.ones(5)])
        held += [torch.ones(6)]
        held[-2] = torch.ones(7)
        assert held[0] is given
        assert isinstance(held[1:3], lib.ParameterList)
        lists.append(held)
    ours, theirs = lists
    for part in (slice(None), slice(1, -1), slice(None, None, 2)):
        assert [tuple(p.shape) for p in ours[part]] == [tuple(p.shape) for p in theirs[part]]
    assert [tuple(value.shape) for value in ours.state_dict().values()] == [(2,), (3,), (4,), (7,), (6,)]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert len(ours) == len(theirs)
    assert all(p.requires_grad for p in ours)
    assert len(ParameterList(None)) == len(ParameterList()) == 0
    with pytest.raises(IndexError, match="ParameterList: expected a place among 5 parameters, got 5"):
        ours[5]


@pytest.mark.parametrize("name", ["ParameterDict", "ModuleDict"])
def test_dicts_beside_those_of_torch(name):
    states = []
    for lib in (OURS, THEIRS):
        cls = getattr(lib, name)

        def value(size, lib=lib):
            return torch.ones(size) if name == "ParameterDict" else lib.Dense(size, 1)

        held = cls({"b": value(1), "a": value(2)})
        held.update([("c", value(3)), ("a", value(4))])
        held.update(cls({"d": value(5)}))
        held["e"] = value(6)
        held.pop("c")
        del held["b"]
        assert all(held[key] is one for key, one in held.items())
        assert list(held) == list(held.keys())
        if name == "ParameterDict" or lib is OURS:
            assert list(reversed(held)) == list(held)[::-1]
        assert len(held) == len(list(held.values())) == 3
        assert "d" in held
        assert "c" not in held
        for look in (held.__getitem__, held.pop):
            with pytest.raises(KeyError if lib is OURS else (KeyError, AttributeError)):
                look("c")
        states.append([(key, tuple(one.shape)) for key, one in held.state_dict().items()])
        held.clear()
        assert len(held) == len(cls()) == len(cls(None)) == 0
    assert states[0] == states[1]


def test_parameters_that_are_none_are_refused():
    with pytest.raises(TypeError, match=r"ParameterList: expected a floating point tensor at 0, got one of"):
        ParameterList([torch.ones(2, dtype=torch.int64)])
    with pytest.raises(TypeError, match="ParameterDict: expected a floating point tensor at 'a', got float"):
        ParameterDict({"a": 1.0})
    with pytest.raises(TypeError, match=r"torch's own Parameter, .* write ds_core\.Parameter\(tensor\)"):
        ParameterList([nn.Parameter(torch.ones(2))])
    for values in (torch.ones(2, 3), 3):
        with pytest.raises(TypeError, match="ParameterList: expected tensors as a list of them, got"):
            ParameterList(values)
    named = ParameterDict({"scale": torch.ones(2)})
    assert named["scale"] is named.scale is named.get("scale")
    assert named.get("shift") is None
    with pytest.raises(KeyError, match="expected one of 'scale', got 'shift'"):
        named["shift"]
    with pytest.raises(ValueError, match="a name that means nothing else, got 'forward'"):
        named["forward"] = Parameter(torch.ones(1))


def test_a_module_of_ours_with_parameters_in_a_list_learns():
    class Powers(Module):
        def __init__(self):
            self.factors = ParameterList([torch.ones(()), torch.ones(())])

        def forward(self, x):
            self.save(x)
            return self.factors[0] * x + self.factors[1] * x**2

        def backward(self, grad):
            (x,) = self.saved()
            for i, name in enumerate(("0", "1")):
                self.factors.add_grad(name, (grad * x ** (i + 1)).sum())
            return grad * (self.factors[0] + 2 * self.factors[1] * x)

    model, x = Powers(), torch.randn(5)
    with engine("manual"):
        model(x)
        model.backward(torch.ones(5))
    torch.testing.assert_close(model.factors[1].grad, (x**2).sum())
