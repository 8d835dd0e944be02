from glavitu.metrics.scores import in_mean


def test_known_regions_count_in_a_mean_and_the_unknown_one_where_it_is_alone():
    assert in_mean(["HMA", "unknown", "SC"]).tolist() == [True, False, True]
    assert in_mean(["unknown"]).tolist() == [True]
    assert in_mean([]).tolist() == []
