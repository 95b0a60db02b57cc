"""The five small tasks: their lines are right, and MiniGPT learns them."""

import pytest
import torch
from ds_core.text import CharacterTokenizer
from ds_zoo import MiniGPT, MiniGPTConfig
from ds_zoo.data.tasks import TASKS, make_task, solved
from ds_zoo.data.text import read_texts
from ds_zoo.gpt.tasks import TaskRecipe, learn_task


def answer(name, prompt):
    """What is right, said in another way than where the lines are made."""
    asked = prompt.removesuffix("=")
    if name == "arithmetic":
        return str(sum(map(int, asked.split("+"))))
    if name == "reversal":
        return "".join(reversed(asked))
    if name == "retrieval":
        return asked[asked.index(asked[-1]) + 1]
    if name == "pattern":
        period = next(p for p in (2, 3, 4) if asked[p:] == asked[: len(asked) - p])
        return "".join(asked[(len(asked) + place) % period] for place in (0, 1))
    noun = asked.split()[1]
    many = noun.endswith(("s", "children"))
    verb = {"dog": "bark", "cat": "sleep", "bird": "sing", "chil": "play", "king": "rule", "ship": "sink"}
    stem = next(verb[start] for start in verb if noun.startswith(start))
    return stem if many else f"{stem}s"


@pytest.mark.parametrize("name", TASKS)
def test_lines_are_right_and_none_is_in_both_parts(name):
    task = make_task(name, 2000, 200)
    assert (len(task.training), len(task.held_out)) == (2000, 200)
    assert not set(task.training) & set(task.held_out)
    for line in (*task.training, *task.held_out):
        assert line.answer == answer(name, line.prompt), line
    assert make_task(name, 2000, 200) == task
    assert make_task(name, 2000, 200, seed=1) != task
    assert task.text.splitlines()[0] == f"{task.training[0].prompt}{task.training[0].answer}"
    assert "".join(read_texts(f"bundled:{name}")) == make_task(name).text


def test_mistakes():
    with pytest.raises(ValueError, match=r"expected one of arithmetic, .* got 'sorting'"):
        make_task("sorting")
    with pytest.raises(ValueError, match="arithmetic has only 10,000 different lines"):
        make_task("arithmetic", 10_000, 1)


def test_a_small_model_learns_a_task_the_same_way_each_time():
    recipe = TaskRecipe(steps=60, lines=1000, width=32, tokens=300)
    learned, again = (learn_task("grammar", recipe, held_out=100) for _ in range(2))
    assert learned.history["loss"] == again.history["loss"]
    assert learned.history["loss"][-1] < learned.history["loss"][0] - 1
    assert learned.share == again.share == solved(again.model, again.tokenizer, again.task.held_out)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "share"),
    [("arithmetic", 0.95), ("grammar", 0.97), ("pattern", 0.97), ("reversal", 0.97), ("retrieval", 0.97)],
)
def test_tasks_are_learned(name, share):
    assert learn_task(name).share >= share


def test_solved_asks_for_every_letter():
    """A model that always says the next letter of the right line, but for one."""
    task = make_task("reversal", 50, 4)
    tokenizer = CharacterTokenizer.from_text(task.text)
    rows = {tuple(tokenizer.encode(str(line))[:-1]): tokenizer.encode(str(line)) for line in task.held_out}

    class Parrot(MiniGPT):
        def forward(self, ids):
            scores = torch.zeros(*ids.shape, tokenizer.vocab_size)
            for place, row in enumerate(ids.tolist()):
                right = next(row_ for start, row_ in rows.items() if tuple(row[: len(start)]) == start)
                for at, token in enumerate(right[1:]):
                    scores[place, at, token] = 1
            scores[0, len(task.held_out[0].prompt)] = scores[0, len(task.held_out[0].prompt)].roll(1)
            return scores

    model = Parrot(
        MiniGPTConfig(vocab_size=tokenizer.vocab_size, n_positions=16, n_embd=8, n_layer=1, n_head=1)
    )
    assert solved(model, tokenizer, task.held_out) == 0.75
