"""What a picture's sentence says follows from its values."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.observatory.pictures import (
    answer,
    framing,
    gradients,
    lens,
    numbers,
    put_back,
    table,
    what_changed,
    where_it_enters,
)
from pytest_modellab.observatory.pictures.question import Question, parted
from pytest_modellab.observatory.pictures.view import View
from pytest_modellab.records.diagnosis import Heat, WeightChange

NAMES = ("embedding", *(f"layer {number}" for number in range(4)), "output")


@pytest.mark.parametrize(
    ("means", "said"),
    [
        (
            [0, 0, 1e-6, 0.6, 0.7, 0.68],
            "KL is below 1e-4 up to layer 1 and 0.6 from layer 2 on; 0.68 at the output.",
        ),
        (
            [0, 2e-3, 3e-3, 0.1, 0.7, 0.68],
            "KL is at most 0.003 up to layer 1 and 0.1 at layer 2, from where it grows; "
            "0.68 at the output.",
        ),
        (
            [0, 0, 0, 0, 0, 0.2],
            "KL is below 1e-4 up to layer 3 and 0.2 at the output: it enters behind the layers.",
        ),
        (
            [0, 0.01, 0.06, 0.4, 0.45, 0.5],
            "KL is below 1e-4 up to embedding and 0.01 at layer 0, from where it grows; 0.5 at the "
            "output; the largest step, from 0.06 to 0.4, is at layer 2.",
        ),
        ([1e-5] * 6, "No row lights up: KL is 1e-5 at most, which is called no damage."),
        ([1, 1, 1, 1, 1, 2], "KL is 1 at embedding, the first row, already; 2 at the output."),
        (
            [1e-3, 5e-3, 0.02, 0.06, 0.2, 0.3],
            "KL is 0.001 at embedding already and 0.3 at the output: no row lights up by itself.",
        ),
        ([0, 0, math.nan] * 2, "From layer 1 on the candidate's state is no number."),
    ],
)
def test_rows_of_the_lens(means: list[float], said: str) -> None:
    assert lens.sentence(NAMES, means) == said


@pytest.mark.parametrize(
    ("nats", "said"),
    [
        (
            {"embedding": 0.0, "layer.2.mlp.up_proj": 0.5, "lm_head": 0.03},
            "94 % of what enters comes in at layer.2.mlp.up_proj (0.5 nats); "
            "next is lm_head with 6 %.",
        ),
        (
            {"embedding": 0.0, "layer.2.mlp.up_proj": 0.5},
            "100 % of what enters comes in at layer.2.mlp.up_proj (0.5 nats); "
            "nowhere else does more than half a per cent.",
        ),
        (
            {
                f"layer.{number}.mlp.{kind}_proj": 0.01
                for number in range(5)
                for kind in ("gate", "up")
            },
            "It enters all over: 5 of 10 places hold half of what enters, and the largest, "
            "layer.0.mlp.gate_proj, 10 % (0.01 nats).",
        ),
        (
            {f"layer.{number}.attention.core": 0.01 for number in range(10)} | {"lm_head": 0.004},
            "96 % of what enters comes in at 10 places of one kind, attention.core; the largest is "
            "layer.0.attention.core with 10 % (0.01 nats).",
        ),
        (
            {f"layer.3.mlp.{kind}_proj": 0.1 for kind in ("gate", "up", "down")} | {"rope": 0.01},
            "97 % of what enters comes in at 3 places of layer 3; the largest is "
            "layer.3.mlp.down_proj with 32 % (0.1 nats).",
        ),
        (
            {"layer.0": 0.5, "rope": 0.5},
            "50 % of what enters comes in at layer.0 (0.5 nats); next is rope with 50 %.",
        ),
        (
            {"embedding": 1e-6},
            "Nothing enters anywhere: all nodes together add less than 1e-4 nats.",
        ),
    ],
)
def test_nats_that_enter(nats: dict[str, float], said: str) -> None:
    assert where_it_enters.sentence(nats) == said


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (
            [("a", 0.34, True), ("b", 0.0, False)],
            "1 of 2 places are equal; a differs by 34 %.",
        ),
        (
            [("a", 0.08, False), ("b", 0.06, False), ("c", 0.07, False)],
            "3 of 3 places differ, usually by 7 %; none stands out, the most changed is a (8 %).",
        ),
        (
            [("a", 0.8, True), ("b", 0.002, False), ("c", 0.002, False), ("d", 0.4, True)],
            "4 of 4 places differ, usually by 20 %; a (80 %) and 1 more stand out.",
        ),
        (
            [("layer.0.mlp.up_proj", 1e9, True), ("layer.1.mlp.up_proj", 0.0, False)],
            "1 of 2 places are equal; layer.0.mlp.up_proj differs by an infinite share.",
        ),
    ],
)
def test_weights_that_changed(weights: list[tuple[str, float, bool]], said: str) -> None:
    known = [WeightChange(site, relative, stands_out=out) for site, relative, out in weights]

    assert what_changed.sentence(known) == said


def test_more_than_was_declared_is_told() -> None:
    known = [
        WeightChange("a", 0.3, expected=0.1, stands_out=True),
        WeightChange("b", 0.002, expected=0.002, rewritten=True),
    ]

    assert what_changed.sentence(known) == (
        "2 of 2 places differ, usually by 15 %, 1 of them in branches that compute the same; "
        "a (30 %, 3.0 times what was declared) stands out."
    )


def test_changes_are_shown_in_per_cent_or_against_what_was_declared() -> None:
    known = (WeightChange("layer.0.mlp.up_proj", 0.1), WeightChange("layer.1.mlp.up_proj", 0.0))
    declared = tuple(dataclasses.replace(one, expected=0.01) for one in known)

    def shown(weights: tuple[WeightChange, ...]) -> Heat:
        view = View(None, None, (), (), str, weights=weights, culprit="layer.0.mlp.up_proj")
        (heat,) = what_changed.picture(view).panels
        assert isinstance(heat, Heat)
        assert heat.framed == ((0, 0),)
        return heat

    assert shown(known).values == ((10.0,), (0.0,))
    assert shown(known).middle is None
    assert shown(declared).values == ((1.0,), (None,))
    assert shown(declared).middle == 0


@given(
    count=st.integers(1, 80),
    at=st.integers(-1, 79),
    guess=st.none() | st.integers(-1, 80),
)
def test_a_step_is_found_wherever_it_is(count: int, at: int, guess: int | None) -> None:
    at = min(at, count - 1)
    measured = put_back.bisected(count, guess, lambda place: float(place >= at))

    assert list(measured) == sorted(measured)
    assert {-1, count - 1} <= set(measured)
    assert len(measured) <= 2 + math.ceil(math.log2(count + 1)) + 2
    assert all(value == (place >= at) for place, value in measured.items())
    if at > -1:
        assert {at - 1, at} <= set(measured)


def test_what_comes_back_bit_by_bit_is_told_so() -> None:
    assert put_back.sentence(NAMES[:-1], {-1: 0.0, 1: 0.4, 2: 0.6, 3: 1.0}) == (
        "The base's stream behind layer 1 restores 40 % and behind layer 2 60 %: it comes back "
        "bit by bit, no single layer holds it."
    )
    assert put_back.sentence(NAMES[:-1], {-1: 0.0, 1: 0.2, 2: 0.8, 3: 1.0}).endswith(
        "most of the damage enters in layer 2."
    )


def test_layers_that_are_named_together_are_spoken_of_together() -> None:
    measured = {-1: 0.0, 0: 0.0, 1: -1.04, 2: 1.0, 3: 1.0}

    assert put_back.sentence(NAMES[:-1], measured, (1, 2)) == (
        "The base's stream in front of layer 1 restores 0 % and behind layer 2 100 %: "
        "the damage enters in these 2 layers together."
    )


def test_half_of_the_damage_in_the_embedding_is_told_so() -> None:
    assert put_back.sentence(NAMES[:-1], {-1: 0.66, 3: 1.0}) == (
        "With the base's embedding 66 % is restored: so much enters there, the rest behind it."
    )


def test_a_slope_is_that_of_the_line() -> None:
    assert gradients.slope([math.exp(1 - 0.3 * at) for at in range(7)]) == pytest.approx(-0.3)
    assert math.isnan(gradients.slope([1.0, 0.0]))
    assert math.isnan(gradients.slope([1.0]))


def test_gradients_that_vanish_are_told() -> None:
    base = [1.0, 1.0, 1.0]

    assert gradients.sentence(base, [1e-4, 1e-2, 1.0]) == (
        "The gradient differs most behind layer 0, where it is 1e-4 times the base's; the slope "
        "of its logarithm is 4.6 a layer (base 0), it vanishes towards the first layers."
    )
    assert gradients.sentence(base, [0.0, 0.0, 1.0]) == (
        "The candidate's gradient is zero behind layer 1: nothing is felt there."
    )


def test_largest_cells_do_not_touch() -> None:
    estimates = [[0.0, float(down + 1)] for down in range(30)]

    chosen = answer.apart(estimates)

    assert chosen[0] == (29, 1)
    assert len(chosen) == answer.CELLS
    assert all(one[0] - other[0] >= 3 for one, other in itertools.pairwise(chosen))


def test_options_part_at_the_first_other_token() -> None:
    assert parted((1, 2, 7, 8), [(1, 2, 9), (1, 3), (1, 2, 6)]) == Question((1,), 2, (3,))
    assert parted((1, 2, 7, 8), [(1, 2, 9), (1, 2, 6)]) == Question((1, 2), 7, (6, 9))
    assert parted((1, 2), [(1, 2, 3)]) is None


@pytest.mark.parametrize(
    ("site", "culprit", "inside"),
    [
        ("layer.8.attention.o_proj", "layer.8.attention.head.3", True),
        ("layer.8.attention.v_proj", "layer.8.attention.head.3", False),
        ("layer.8.attention.v_proj", "layer.8.attention.kv_head.0", True),
        ("layer.8.mlp.up_proj", "layer.8.mlp", True),
        ("layer.80.mlp.up_proj", "layer.8", False),
        ("layer.5.mlp.up_proj", "layers.4-6", True),
        ("layer.7.input_norm", "layers.4-6", False),
        ("layer.7.input_norm", "layer.3+layer.7", True),
        ("layer.3.attention.k_proj", "all.q_proj+k_proj", True),
        ("lm_head", "lm_head", True),
        ("embedding", None, False),
        ("layer.3.attention.core", "attention_scale", True),
        ("layer.3.mlp.core", "attention_scale", False),
        ("final_norm", "norm_eps", True),
    ],
)
def test_parts_of_the_culprit(site: str, culprit: str | None, inside: bool) -> None:
    assert framing.within(site, culprit) is inside


def test_layers_of_the_culprit() -> None:
    assert framing.layers("layers.4-6") == (4, 5, 6)
    assert framing.layers("layer.3+layer.7") == (3, 7)
    assert framing.layers("lm_head") == ()


def test_sites_have_their_places_in_the_table() -> None:
    heat = table.table(
        {"lm_head": 3.0, "layer.10.mlp.up_proj": math.nan, "layer.2.input_norm": 2.0}
        | {"embedding": 1.23456},
        middle=0.0,
        unit="nats",
        culprit="layer.2",
    )

    assert heat.rows == ("embedding", "layer 2", "layer 10", "lm_head")
    assert heat.columns == ("itself", "input_norm", "up_proj")
    assert heat.values == (
        (1.235, None, None),
        (None, 2.0, None),
        (None, None, None),
        (3.0, None, None),
    )
    assert heat.framed == ((1, 1),)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.6234, "0.62"),
        (1e-4, "1e-4"),
        (3.26e-7, "3.3e-7"),
        (0, "0"),
        (41.7, "42"),
        (-2.34, "-2.3"),
    ],
)
def test_figures_in_sentences(value: float, said: str) -> None:
    assert numbers.short(value) == said


def test_shares_are_whole_per_cents() -> None:
    assert [numbers.percent(share) for share in (-1e-9, 0.994, 0.996, -1.04, math.nan)] == [
        *("0 %", "99 %", "100 %", "-104 %", "nan %")
    ]
