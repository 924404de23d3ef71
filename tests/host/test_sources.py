"""Samples from files and standard input, and what is said about wrong ones."""

import io
import pickle

import numpy as np
import pytest

from fieldtune.errors import UsageError
from fieldtune.stream import sources


@pytest.fixture
def put(tmp_path):
    """Writes a file and returns its path."""

    def put(name: str, content) -> str:
        path = tmp_path / name
        if isinstance(content, dict):
            np.savez(path, **content)
        elif isinstance(content, np.ndarray):
            np.save(path, content)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content)
        return str(path)

    return put


def stdin(text: str, **options) -> sources.Samples:
    return sources.open("-", stdin=io.StringIO(text), **options)


def refusal(path, **options) -> UsageError:
    with pytest.raises(UsageError) as caught:
        sources.open(path, **options).arrays()
    return caught.value


def test_npy_rows_are_samples(put):
    samples = sources.open(put("a.npy", np.arange(6.0).reshape(3, 2)))
    assert (samples.width, samples.labelled, len(samples)) == (2, False, 3)
    rows = list(samples)
    assert rows[1][0].dtype == np.float32 and rows[1][0].tolist() == [2, 3] and rows[1][1] is None
    assert len(list(samples)) == 3  # a file can be read once more


def test_npy_images_are_flattened(put):
    samples = sources.open(put("a.npy", np.zeros((5, 8, 8), np.uint8)))
    assert (samples.width, len(samples)) == (64, 5)


def test_npz_holds_x_and_y(put):
    x, y = sources.open(put("a.npz", {"x": np.eye(3), "y": np.array([2.0, 0.0, 1.0])})).arrays()
    np.testing.assert_array_equal(x, np.eye(3))
    assert y.tolist() == [2, 0, 1]


def test_npz_needs_no_y(put):
    assert not sources.open(put("a.npz", {"x": np.eye(3)})).labelled


def test_npz_labels_may_be_called_otherwise(put):
    path = put("a.npz", {"x": np.eye(2), "kind": np.array([1, 0])})
    assert sources.open(path, label="kind").arrays()[1].tolist() == [1, 0]


def test_csv_columns_are_features_and_one_may_be_the_label(put):
    path = put("a.csv", "aX,label,aY\n1,3,2.5\n-1e1,0, 4 \n")
    samples = sources.open(path, label="label")
    assert (samples.width, samples.labelled, len(samples)) == (2, True, 2)
    x, y = samples.arrays()
    assert x.tolist() == [[1, 2.5], [-10, 4]] and y.tolist() == [3, 0]


def test_csv_without_a_header_numbers_its_columns(put):
    x, y = sources.open(put("a.csv", "1,2\n3,4\n"), label="2").arrays()
    assert x.tolist() == [[1], [3]] and y.tolist() == [2, 4]


def test_csv_may_begin_with_a_byte_order_mark_and_quote(put):
    path = put("a.csv", b'\xef\xbb\xbf"aX","aY"\r\n"1","2"\r\n')
    assert sources.open(path, label="aX").arrays()[0].tolist() == [[2]]


def test_windows_are_flattened_row_by_row(put):
    path = put("a.npy", np.arange(10.0).reshape(5, 2))
    samples = sources.open(path, window=3, stride=2)
    assert (samples.width, len(samples)) == (6, 2)
    assert [x.tolist() for x, _ in samples] == [[0, 1, 2, 3, 4, 5], [4, 5, 6, 7, 8, 9]]


def test_windows_do_not_overlap_unless_told(put):
    assert len(sources.open(put("a.npy", np.zeros((9, 1))), window=3)) == 3


TWO_RECORDINGS = "v,y\n1,0\n2,0\n3,0\n4,0\n\n5,1\n6,1\n7,1\n"


def test_no_window_spans_an_empty_line(put):
    x, y = sources.open(put("a.csv", TWO_RECORDINGS), window=3, stride=1, label="y").arrays()
    assert x.tolist() == [[1, 2, 3], [2, 3, 4], [5, 6, 7]] and y.tolist() == [0, 0, 1]


@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_standard_input_gives_what_the_file_gives(put, window, stride):
    options = {"window": window, "stride": stride, "label": "y"}
    samples = stdin(TWO_RECORDINGS, **options)
    assert samples.count is None
    x, y = samples.arrays()
    expected_x, expected_y = sources.open(put("a.csv", TWO_RECORDINGS), **options).arrays()
    assert x.tolist() == expected_x.tolist() and y.tolist() == expected_y.tolist()


def test_standard_input_is_not_read_ahead():
    def lines():
        yield "a,b\n"
        yield "1,2\n"
        raise AssertionError("asked for more than was needed")

    with pytest.raises(TypeError):
        len(sources.open("-", stdin=lines()))
    assert next(iter(sources.open("-", stdin=lines())))[0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "what", "why"),
    [
        ("a,b\n1,2\n3\n", "line 3: column 'b' is missing", "the first line has 2 columns"),
        ("a,b\n1,2,3\n", "line 2: 3 columns", "the first line has 2 columns"),
        ("a,b\n1,2\n3,x\n", "line 3, column 'b': 'x'", "it is not a number"),
        ("a,b\n1,\n", "line 2, column 'b': ''", "it is not a number"),
        ("a,b\n1,1_0\n", "line 2, column 'b': '1_0'", "it is not a number"),
        ("a,b\nnan,1\n", "line 2, column 'a': 'nan'", "samples are finite"),
        ("a,b\n1,-inf\n", "line 2, column 'b': '-inf'", "samples are finite"),
        ("a,b\n1,1e39\n", "line 2, column 'b': '1e39'", "fit float32"),
        ("1,2\n3,x\n", "line 2, column '2': 'x'", "it is not a number"),
        ('a\n"1\n', "line 2: not CSV text", "unexpected end of data"),
        ("a\n\x1b[2J\n", r"line 2, column 'a': '\x1b[2J'", "it is not a number"),
        ("a\x1b[2J\nx\n", r"line 2, column 'a\x1b[2J': 'x'", "it is not a number"),
    ],
)
def test_a_wrong_csv_is_refused_with_file_line_and_column(put, text, what, why):
    path = put("a.csv", text)
    error = refusal(path)
    assert error.what == f"{path}, {what}" and why in error.why
    with pytest.raises(UsageError) as caught:
        stdin(text).arrays()
    assert caught.value.what == f"standard input, {what}"


def test_a_byte_that_is_not_utf8_is_refused_where_it_is(put):
    error = refusal(put("a.csv", b"a\n1\n\xff\n"))
    assert error.what.endswith(r"line 3, column 'a': '\udcff'")


def test_standard_input_that_is_not_utf8_is_refused():
    text = io.TextIOWrapper(io.BytesIO(b"a\n1\n\xff\n"), encoding="utf-8")
    with pytest.raises(UsageError, match="standard input: not UTF-8 text"):
        sources.open("-", stdin=text).arrays()


@pytest.mark.parametrize("label", ["-1", "256", "1.5"])
def test_a_label_is_a_byte(put, label):
    error = refusal(put("a.csv", f"a,y\n1,{label}\n"), label="y")
    assert f"line 2, column 'y': '{label}'" in error.what
    assert error.why == "a label is a whole number of 0 to 255"


def test_a_missing_label_column_is_refused_with_those_there_are(put):
    error = refusal(put("a.csv", "a,b\n1,2\n"), label="y")
    assert "line 1: no one column 'y'" in error.what and error.why == "the columns are a, b"


def test_a_label_alone_is_no_sample(put):
    assert "no column but the label" in refusal(put("a.csv", "y\n1\n"), label="y").what


@pytest.mark.parametrize("text", ["", "\n\n", "a,b\n", "a,b\n\n\n"])
def test_a_csv_without_rows_is_refused(put, text):
    assert refusal(put("a.csv", text)).what.endswith("not a single sample")


def test_a_recording_shorter_than_a_window_is_refused(put):
    error = refusal(put("a.npy", np.zeros((4, 2))), window=5)
    assert error.what.endswith("not a single sample")
    assert error.why == "a window has 5 rows, the longest recording 4"


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_arrays_hold_finite_numbers(put, value):
    x = np.zeros((4, 3))
    x[2, 1] = value
    assert f"row 2, column 1 (from 0) is {value}" in refusal(put("a.npy", x)).what


@pytest.mark.parametrize(
    "x", [np.array(["a"]), np.zeros((2, 2), complex), np.float64(1), np.zeros((0, 3))]
)
def test_what_is_no_array_of_real_numbers_is_refused(put, x):
    assert "x is not an array of real numbers" in refusal(put("a.npy", np.asarray(x))).what


def test_nothing_is_unpickled(put, tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    np.save(tmp_path / "a.npy", np.array([Trap()], object), allow_pickle=True)
    put("b.npy", pickle.dumps(Trap()))
    np.savez(tmp_path / "c.npz", x=np.array([Trap()], object))
    for name in ("a.npy", "b.npy", "c.npz"):
        refusal(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (np.zeros(2), "not one number for each of the 3 rows"),
        (np.eye(3), "not one number for each of the 3 rows"),
        (np.array([0, 1, 256]), "row 2 (from 0) has the label 256"),
        (np.array([0, 1.5, 2]), "row 1 (from 0) has the label 1.5"),
        (np.array([0, np.nan, 2]), "row 1 (from 0) has the label nan"),
    ],
)
def test_wrong_labels_of_a_npz_are_refused(put, y, expected):
    assert expected in refusal(put("a.npz", {"x": np.eye(3), "y": y})).what


def test_a_npz_without_x_is_refused_with_what_it_holds(put):
    error = refusal(put("a.npz", {"data": np.eye(3)}))
    assert "no array 'x'" in error.what and error.why == "it holds data"


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_a_damaged_file_is_refused(put, name):
    whole = put(name, {"x": np.eye(9)} if name == "a.npz" else np.eye(9))
    with open(whole, "rb") as source:
        data = source.read()
    for cut in (0, 3, 10, 100, len(data) - 1):
        assert put(name, data[:cut]) in refusal(put(name, data[:cut])).what


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("a.txt", {}, "a.txt: not a .npy, .npz or .csv file"),
        ("none.csv", {}, "none.csv cannot be read"),
        ("a.npy", {"label": "y"}, "has no column 'y'"),
        ("a.npy", {"stride": 2}, "--stride needs --window"),
        ("a.npy", {"window": 0}, "--window 0"),
        ("a.npy", {"window": 2, "stride": 0}, "--stride 0"),
    ],
)
def test_wrong_options_are_refused(put, tmp_path, name, options, expected):
    put("a.npy", np.eye(3))
    assert expected in refusal(tmp_path / name, **options).what
