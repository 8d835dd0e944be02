import numpy as np
import pytest

from glavitu.mapping.row_store import RowStore

FIELDS = {"classes": "uint8", "confidence": "float32"}


def rows(count, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "classes": rng.integers(0, 2, (count, 7), dtype=np.uint8),
        "confidence": rng.random((count, 7), dtype=np.float32),
    }


@pytest.mark.parametrize("torn", [0, 1, 34])
def test_what_was_appended_is_read_and_a_torn_row_is_cut(tmp_path, torn):
    first, second = rows(5), rows(3, seed=1)
    with RowStore(tmp_path / "rows", 7, FIELDS) as store:
        store.append(first)
        assert (store.rows, store.row_bytes) == (5, 35)
    with (tmp_path / "rows").open("ab") as file:
        file.write(b"x" * torn)
    with RowStore(tmp_path / "rows", 7, FIELDS) as store:
        assert store.rows == 5
        store.append(second)
        assert store.rows == 8
        for name in FIELDS:
            expected = np.concatenate([first[name], second[name]])
            np.testing.assert_array_equal(store.read(0, 8)[name], expected)
            np.testing.assert_array_equal(store.read(3, 4)[name], expected[3:7])
