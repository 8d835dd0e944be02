from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from glavitu.threads import background_thread, prefetch


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_work_beside_takes_one_core_and_no_other_thread_does(three_threads):
    with background_thread("test") as pool:
        assert torch.get_num_threads() == 3
        assert pool.submit(torch.get_num_threads).result() == 1
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 3


def test_one_call_is_ahead_of_what_is_asked_for_and_order_is_kept():
    called = []
    with ThreadPoolExecutor(1) as pool:
        results = prefetch(pool, lambda number: called.append(number) or number, range(9))
        assert next(results) == 0
        assert next(results) == 1
        assert max(called) <= 2
        assert list(results) == list(range(2, 9))


def test_an_error_comes_out_where_its_result_is_asked_for():
    with ThreadPoolExecutor(1) as pool:
        results = prefetch(pool, lambda number: 1 / number, [1, 2, 0, 4])
        assert [next(results), next(results)] == [1, 0.5]
        with pytest.raises(ZeroDivisionError):
            next(results)
