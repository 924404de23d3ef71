"""What the emulated Pico has to reach. `make bench` measures, then runs this."""

from fieldtune import demo


def test_the_link_carries_at_least_half_of_a_bare_readinto_loop(figures):
    assert figures["link_bytes_per_million_cycles"]["link_to_bare"] >= 0.5


def test_waiting_for_data_is_under_five_percent_of_a_training_step(figures):
    assert figures["stream"]["batch"] == 16
    assert figures["stream"]["waiting_share"] < 0.05


def test_python_preparation_and_link_take_a_fifth_of_what_portable_kernels_do(figures):
    # With the kernels in portable C, all of a step's were 4.9 million cycles.
    assert figures["stream"]["rest"] <= 0.2 * 4_900_000


def test_nothing_that_a_step_consists_of_is_missing(figures):
    for task in ("training", "inference"):
        for batch in ("1", "16"):
            step = figures[task][batch]
            assert 0 < step["kernels"] < step["total"]
            assert abs(step["kernels"] + step["rest"] - step["total"]) <= 1  # rounded each


def test_other_seeds_recover_more_than_renormalization_does(figures):
    spread = figures["adaptation"]
    assert len(set(spread["seeds"]) - {demo.SEED}) == 5
    adapted, renormalized = spread["adapted"]["mean"], spread["renormalized"]["mean"]
    assert spread["drifted"]["mean"] < renormalized < adapted < spread["source"]["mean"]
