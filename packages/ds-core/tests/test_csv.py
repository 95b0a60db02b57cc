"""CSV files, whole and broken."""

import pytest
import torch
from ds_core.data import (
    Dataset,
    load,
    load_csv,
    read_csv,
)
from hypothesis import settings

varied = settings(deadline=None, max_examples=60)


@pytest.fixture
def csv(tmp_path):
    """Writes a CSV file and returns its path."""

    def write(content, name="data.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


HOUSES = """rooms,town,age,price
3,Ulm,10,1.5
4,"Aa, upper",,2.5
5,Ulm,30,3.5
"""


def test_csv_numbers_and_text(csv):
    data = load(f"csv:{csv(HOUSES)}", target="price", missing="drop", text={"town": "one_hot"})
    assert data.x.tolist() == [[3, 1, 10], [5, 1, 30]]
    assert data.feature_names == ["rooms", "town=Ulm", "age"]
    assert (data.x.dtype, data.y.dtype) == (torch.float32, torch.float32)
    assert data.y.tolist() == [1.5, 3.5]
    assert data.class_names is None
    assert "dropped 1 of 3 rows with missing values (age 1)" in data.notes
    assert "town: text, as 1 columns of 0 and 1" in data.notes
    assert len(data) == 2


@pytest.mark.parametrize(("missing", "value"), [("mean", 50.0), ("median", 30.0)])
def test_csv_gaps_are_filled_and_noted(csv, missing, value):
    path = csv("a,b,y\n1,10,0\n2,NA,1\n3,110,2\n4,30,3\n")
    data = load_csv(path, target="y", missing=missing)
    assert data.x[:, 1].tolist() == [10, value, 110, 30]
    assert f"b: filled 1 missing values with the {missing}, {value:g}" in data.notes


@pytest.mark.parametrize("word", ["", " ", "NA", "n/a", "NaN", "null", "NULL", "?"])
def test_csv_words_for_a_gap(csv, word):
    with pytest.raises(
        ValueError, match=r"missing \(a 1\), the first one of 'a' in line 3; pass missing='drop'"
    ):
        load_csv(csv(f"a,b\n1,2\n{word},4\n"))


def test_csv_gaps_in_columns_not_used_do_not_matter(csv):
    data = load_csv(csv(HOUSES), target="price", columns=["rooms"])
    assert data.x.tolist() == [[3], [4], [5]]
    assert data.notes == ["price: target, numbers"]


def test_csv_columns_in_the_order_asked_for(csv):
    path = csv("a,b,c\n1,2,3\n4,5,6\n")
    assert load_csv(path, columns=["c", "a"]).x.tolist() == [[3, 1], [6, 4]]
    assert load_csv(path, columns="b").x.tolist() == [[2], [5]]
    data = load_csv(path)
    assert data.y is None
    assert data.tensors == (data.x,)
    several = load_csv(path, target=["c", "b"])
    assert several.y.tolist() == [[3, 2], [6, 5]]
    assert load_csv(path, target=["c"]).y.shape == (2, 1)


def test_csv_classes(csv):
    path = csv("x,kind,digit\n1,wasp,10\n2,ant,9\n3,wasp,10\n")
    data = load_csv(path, target="kind", columns=["x"])
    assert data.y.tolist() == [1, 0, 1]
    assert data.y.dtype == torch.int64
    assert data.class_names == ["ant", "wasp"]
    digits = load_csv(path, target="digit", columns=["x"], classes=True)
    assert digits.y.tolist() == [1, 0, 1]
    assert digits.class_names == ["9", "10"]  # as numbers, not as texts
    numbers = load_csv(path, target="digit", columns=["x"])
    assert numbers.y.tolist() == [10, 9, 10]
    assert numbers.notes == ["digit: target, numbers; pass classes=True if they are class labels"]
    with pytest.raises(ValueError, match="expected numbers in the target 'kind', got 'wasp'"):
        load_csv(path, target="kind", columns=["x"], classes=False)
    with pytest.raises(ValueError, match="expected one target column of classes"):
        load_csv(path, target=["digit"], columns=["x"], classes=True)
    with pytest.raises(ValueError, match="expected numbers in column 'kind', got 'wasp' in line 2"):
        load_csv(path, target=["digit", "kind"])


def test_csv_text_as_index_or_one_hot(csv):
    path = csv("size,code,y\nbig,1,0\nsmall,2,1\nbig,2,2\n")
    index = load_csv(path, target="y", text="index")
    assert index.x.tolist() == [[0, 1], [1, 2], [0, 2]]
    assert "size: text, as its place in alphabetic order: 0 big, 1 small" in index.notes
    both = load_csv(path, target="y", text={"size": "index", "code": "one_hot"})
    assert both.feature_names == ["size", "code=1", "code=2"]
    assert both.x.tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 1]]


def test_csv_text_must_be_asked_for(csv):
    with pytest.raises(
        ValueError, match=r"data\.csv: expected numbers, got 'Ulm' in column 'town', line 2; pass"
    ):
        load_csv(csv(HOUSES), target="price", missing="drop")
    with pytest.raises(ValueError, match="expected numbers, got 'Ulm' in column 'town'"):
        load_csv(csv(HOUSES), target="price", missing="drop", text={"rooms": "index"})
    with pytest.raises(
        ValueError, match="column 'b' is text and misses a value in line 2; a text is not made up"
    ):
        load_csv(csv("a,b\n1,\n2,x\n"), missing="mean", text="one_hot")
    names = "\n".join(f"{i},name{i}" for i in range(1001))
    with pytest.raises(ValueError, match="'who' has 1,001 different texts, too many for one-hot"):
        load_csv(csv(f"a,who\n{names}\n"), text="one_hot")
    assert load_csv(csv(f"a,who\n{names}\n"), text="index").x.shape == (1001, 2)


def test_csv_a_stray_text_names_line_and_column(csv):
    path = csv("a,b\n1,2\n\n3,oops\n5,6\n7,8\n")
    words = (
        r"expected a number as in 3 other rows, got 'oops' in column 'b', line 4; correct it, or pass text="
    )
    for text in ("error", "one_hot"):
        with pytest.raises(ValueError, match=words):
            load_csv(path, text=text)
    assert load_csv(path, text={"b": "one_hot"}).feature_names == ["a", "b=2", "b=6", "b=8", "b=oops"]
    with pytest.raises(ValueError, match=r"got '1_000' in column 'a', line 2"):  # Python would read it
        load_csv(csv("a\n1_000\n2\n"))


def test_csv_targets_are_never_made_up(csv):
    path = csv("a,y\n1,2\n2,\n")
    with pytest.raises(ValueError, match="target 'y' is missing in line 3; targets are not made up"):
        load_csv(path, target="y", missing="mean")
    assert load_csv(path, target="y", missing="drop").y.tolist() == [2]


def test_csv_columns_or_rows_without_values(csv):
    with pytest.raises(ValueError, match="column 'b' has no value at all"):
        load_csv(csv("a,b\n1,\n2,\n"), missing="drop")
    with pytest.raises(ValueError, match=r"every row misses some value \(a 1, b 1\); nothing is left"):
        load_csv(csv("a,b\n1,\n,2\n"), missing="drop")


@pytest.mark.parametrize("number", ["inf", "-Infinity", "1e39"])
def test_csv_numbers_beyond_float32(csv, number):
    with pytest.raises(ValueError, match=rf"finite float32 number, got '{number}' in column 'a', line 3"):
        load_csv(csv(f"a\n1\n{number}\n"))


def test_csv_unknown_columns(csv):
    path = csv(HOUSES)
    for options, words in [
        (
            {"target": "prise"},
            "target: no column 'prise'; did you mean 'price'\\? The columns are rooms, town, age, price",
        ),
        ({"columns": ["zzz"]}, "columns: no column 'zzz'; The columns are rooms"),
        ({"text": {"twon": "index"}}, "text: no column 'twon'; did you mean 'town'"),
        ({"columns": ["age", "age"]}, "each column once, got age, age"),
        ({"columns": ["age"], "target": "age"}, "column 'age' is the target"),
        ({"target": ["rooms", "town", "age", "price"]}, "at least one feature column"),
        ({"missing": "zero"}, "missing: expected 'error', 'drop', 'mean' or 'median', got 'zero'"),
        ({"text": "hash"}, "text: expected 'error', 'one_hot' or 'index', got 'hash'"),
    ]:
        with pytest.raises(ValueError, match=words):
            load_csv(path, **options)


def test_csv_formats(csv):
    expected = [[1.0, 2.5], [3.0, 4.0]]
    for content in [
        "\ufeffa,b\n1,2.5\n3,4\n",  # byte order mark
        "a,b\r\n1,2.5\r\n3,4",  # Windows line ends, none at the end
        ' a , b \n 1 ,"2.5"\n\n3,4\n\n',  # spaces, quotes, blank lines
    ]:
        data = load_csv(csv(content))
        assert data.x.tolist() == expected
        assert data.feature_names == ["a", "b"]
    assert "skipped 2 blank lines" in data.notes
    assert load_csv(csv("a;b\n1;2.5\n3;4\n"), delimiter=";").x.tolist() == expected
    headless = load_csv(csv("1,2.5\n3,4\n"), header=False, target="column2")
    assert headless.feature_names == ["column1"]
    assert headless.y.tolist() == [2.5, 4.0]
    latin = load_csv(csv("größe,y\n1,2\n", encoding="latin-1"), encoding="latin-1")
    assert latin.feature_names == ["größe", "y"]
    unnamed = load_csv(csv(",b\n1,2.5\n3,4\n"))
    assert unnamed.feature_names == ["column1", "b"]


def test_csv_quoted_cells(csv):
    table = read_csv(csv('word,n\n"a, ""b""\nc",1\nd,2\n'))
    assert table.columns == {"word": ['a, "b"\nc', "d"], "n": ["1", "2"]}
    assert [table.where(row) for row in range(2)] == ["line 2", "line 4"]  # the first one is two lines long


def test_csv_broken_files(csv, tmp_path):
    for content, words in [
        ("", "data.csv: the file is empty"),
        ("\n\n", "data.csv: the file is empty"),
        ("a,b\n", "expected rows below the header, got none"),
        ("a,b\n1,2\n3\n", r"data\.csv, line 3: expected 2 cells as in the first line, got 1"),
        ("a,b\n1,2\n\n3,4,5\n", r"line 4: expected 2 cells as in the first line, got 3"),
        (
            "1,2\n3,4\n",
            r"line 1: expected the columns' names, got only numbers \(1, 2, ...\); pass header=False",
        ),
        ("a,b,a\n1,2,3\n", "line 1: expected different names, got 2 columns 'a'"),
        ('a,b\n1,2\n3,"4\n', r"data\.csv, line 3: unexpected end of data"),
        ('a,b\n1,"2"3\n', r"data\.csv, line 2: .*expected after"),
        ("a,größe\n1,2\n".encode("latin-1"), r"data\.csv, after line 1: not utf-8-sig text .*'latin-1'"),
    ]:
        with pytest.raises(ValueError, match=words):
            load_csv(csv(content))
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv: no such file"):
        load_csv(tmp_path / "nowhere.csv")
    with pytest.raises(FileNotFoundError, match="is a folder, not a CSV file"):
        load_csv(tmp_path)


def test_dataset_prints_what_matters(csv):
    data = load_csv(csv(HOUSES), target="town", missing="median")
    lines = repr(data).splitlines()
    assert lines[0].startswith("Dataset(")
    assert lines[1:] == [
        "  x    (3, 3) float32",
        "       rooms, age, price",
        "  y    (3,) int64",
        "       2 classes: Aa, upper, Ulm",
        "  note age: filled 1 missing values with the median, 20",
        "  note town: target, texts as 2 classes in alphabetic order",
    ]
    many = Dataset(torch.zeros(1, 30), None, [f"f{i}" for i in range(30)])
    assert repr(many).endswith("f19 and\n       10 more")
