"""Data that a program has already: tables of pandas, datasets and streams of the package `datasets`."""

import datasets
import pandas as pd
import pytest
import torch
from ds_core import Dense
from ds_core.data import load, load_frame
from ds_core.training import Trainer


@pytest.fixture(scope="module", autouse=True)
def no_progress_bars():
    datasets.disable_progress_bars()


def frame():
    return pd.DataFrame(
        {
            "rooms": [1, 2, 3, 4],
            "age": [0.5, None, 1.5, 2.5],
            "town": ["a", "b", "a", "b"],
            "price": [1.0, 2.0, 3.0, 4.0],
        },
        index=[10, 20, 30, 40],
    )


def make():
    model = Dense(2, 1, generator=torch.Generator().manual_seed(0))
    return Trainer(model, "mse", "sgd", lr=0.01, progress=False)


def test_a_frame_becomes_tensors_as_its_file_does(tmp_path):
    path = tmp_path / "houses.csv"
    frame().to_csv(path, index=False)
    options = {"target": "price", "columns": ["rooms", "age", "town"], "missing": "mean", "text": "one_hot"}
    data, file = load(frame(), **options), load(f"csv:{path}", **options)
    assert torch.equal(data.x, file.x)
    assert torch.equal(data.y, file.y)
    assert data.feature_names == file.feature_names


def test_a_frame_says_which_row_and_column():
    with pytest.raises(ValueError, match=r"age.*row 20"):
        load_frame(frame(), target="price", columns=["age"])
    with pytest.raises(ValueError, match="no column 'prise'; did you mean 'price'"):
        load(frame(), target="prise")
    with pytest.raises(TypeError, match=r"load\(DataFrame\): no option 'size'"):
        load(frame(), size=3)
    with pytest.raises(TypeError, match="as names of columns, got 0"):
        load(pd.DataFrame([[1, 2]]))
    with pytest.raises(TypeError, match="got int"):
        load(3)


def test_gaps_of_every_kind_and_truth_values():
    table = pd.DataFrame({"yes": [True, False], "n": pd.array([1, None], dtype="Int64"), "y": [0, 1]})
    data = load(table, target="y", missing="mean")
    assert data.x.tolist() == [[1.0, 1.0], [0.0, 1.0]]


def test_a_dataset_and_files_by_their_kind(tmp_path):
    rows = datasets.Dataset.from_dict({"a": [1.0, 2.0, 3.0], "b": [0, 1, 0]})
    data = load(rows, target="b", classes=True)
    assert data.x.tolist() == [[1.0], [2.0], [3.0]]
    assert data.y.tolist() == [0, 1, 0]
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,0\n2,1\n")
    found = load("hf:csv", data_files={"mine": str(path)}, split="mine", target="b")
    assert found.x.tolist() == [[1.0], [2.0]]
    with pytest.raises(TypeError, match=r"a stream goes into Trainer\.fit as it is"):
        load(rows.to_iterable_dataset(), target="b")


def test_a_trainer_takes_frames_datasets_and_streams_with_the_same_bits():
    torch.manual_seed(0)
    x, y = torch.randn(20, 2), torch.randn(20, 1)
    columns = {"x": x.tolist(), "y": y.tolist()}
    expected = make().fit(x, y, epochs=2, batch_size=8, shuffle=False)["loss"]
    rows = datasets.Dataset.from_dict(columns)
    assert make().fit(rows, epochs=2, batch_size=8, shuffle=False)["loss"] == expected
    stream = rows.to_iterable_dataset()
    trainer = make()
    assert trainer.fit(stream, epochs=2, batch_size=8)["loss"] == expected
    assert trainer.predict(stream, batch_size=8).shape == (20, 1)
    assert trainer.evaluate(stream)["loss"] == pytest.approx(trainer.evaluate(x, y)["loss"])
    table = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y[:, 0]})
    assert (
        make().fit(table[["a", "b"]], table[["y"]], epochs=2, batch_size=8, shuffle=False)["loss"] == expected
    )
    with pytest.raises(ValueError, match="a batch_size with a stream"):
        make().fit(stream, steps=1, batch_size=None)
