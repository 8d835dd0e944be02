import math

import pytest
import torch

from glavitu.errors import InputError
from glavitu.regions import (
    REGION_CODES,
    UNKNOWN,
    coordinate_vector,
    region_index,
    region_name,
    region_vector,
)


def test_regions_stand_in_alphabetical_order():
    assert list(REGION_CODES) == sorted(REGION_CODES)
    assert len(REGION_CODES) == UNKNOWN == 11


@pytest.mark.parametrize("code", [*REGION_CODES, "unknown"])
def test_index_name_and_vector_agree(code):
    index = region_index(code)
    assert region_name(index) == code
    assert region_vector(index).tolist() == [float(i == index) for i in range(12)]


def test_no_region_is_unknown():
    assert region_index(None) == UNKNOWN


def test_other_codes_are_refused():
    with pytest.raises(InputError, match="'Alps'.*ALP"):
        region_index("Alps")


def test_coordinates_are_sines_and_cosines():
    vector = coordinate_vector(longitude=90, latitude=-30)
    torch.testing.assert_close(vector, torch.tensor([-0.5, math.sqrt(3) / 2, 1, 0]))
