"""The fault bench: every kind changes something, says where, and is the same for the same seed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from benchmarks.faults import backgrounds, cases, harmless, measure, models, table  # noqa: E402
from benchmarks.faults.__main__ import main  # noqa: E402
from benchmarks.faults.cases import Built, Case  # noqa: E402
from benchmarks.faults.models import Loaded  # noqa: E402


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return dataclasses.replace(models.tiny(0, depth=4), widths=(24, 48))


def _build(kind: str, background: str, loaded: Loaded) -> Built:
    built = cases.build(Case(kind, background, 0), loaded)
    assert built is not None
    return built


def _same(first: Any, second: Any) -> bool:
    theirs = second.state_dict()
    return all(
        torch.equal(one.nan_to_num(), theirs[name].nan_to_num())
        for name, one in first.state_dict().items()
    )


@pytest.mark.parametrize("kind", cases.KINDS)
def test_a_fault_changes_the_candidate_alone_and_is_undone_where_it_says(
    kind: str, loaded: Loaded
) -> None:
    before = models.duplicate(loaded.model)
    built = _build(kind, "none", loaded)
    assert _same(before, loaded.model)
    assert built.made is not None
    assert all(built.made.sites)
    text = kind in cases.TEXT or kind == "kv_cache"
    assert (built.damage > 1e-5) != text
    if not text:
        with measure.put_back(built.draw.base, built.draw.model, built.made) as model:
            said = measure.log_probabilities(model, built.draw.windows)
        half = 1e-4 if kind == "overflow" else 1e-6  # the rest is in half precision
        assert measure.damage(built.base_said, said) < half


@pytest.mark.parametrize("kind", ["spikes", "head", "swapped", "rope", "adapter_times"])
def test_the_same_seed_makes_the_same_fault(kind: str, loaded: Loaded) -> None:
    first, second = _build(kind, "lora", loaded), _build(kind, "lora", loaded)
    assert first.made == second.made
    assert first.damage == second.damage
    assert _same(first.draw.model, second.draw.model)


@pytest.mark.parametrize("kind", ["token_ids", "merges_lost", "lower_case"])
def test_a_damaged_tokenizer_reads_other_tokens(kind: str, loaded: Loaded) -> None:
    built = _build(kind, "none", loaded)
    text = "\n".join(built.draw.texts)
    assert built.draw.tokenizer(text).input_ids != loaded.tokenizer(text).input_ids


def test_a_damaged_template_renders_otherwise_and_white_space_does_not(loaded: Loaded) -> None:
    def said(kind: str) -> list[str]:
        tokenizer = _build(kind, "none", loaded).draw.tokenizer
        return [tokenizer.apply_chat_template(list(one), tokenize=False) for one in models.CHATS]

    assert said("template") != said("equal")
    assert said("white_space") == said("equal")


@pytest.mark.parametrize(
    "kind", [one for one in harmless.HARMLESS if "alone" not in one and one != "even_noise"]
)
def test_a_harmless_candidate_is_the_same_function(kind: str, loaded: Loaded) -> None:
    built = _build(kind, "none", loaded)
    assert built.made is None
    assert abs(built.damage) < 1e-4


@pytest.mark.parametrize("background", ["bfloat16", "int8", "rtn4", "nf4", "lora", "peft"])
def test_a_background_costs_the_same_with_and_without_a_fault(
    background: str, loaded: Loaded
) -> None:
    built = _build("norm", background, loaded)
    assert 0.0 < built.costs < built.damage


def test_a_declared_change_is_in_the_base_too(loaded: Loaded) -> None:
    built = _build("equal", "lora-declared", loaded)
    assert built.costs == built.damage == 0.0
    assert not _same(built.draw.base, loaded.model)


def test_every_kind_is_asked_once_a_seed_and_every_pair_in_the_end() -> None:
    names = [one for one in backgrounds.BACKGROUNDS if backgrounds.available(one)]
    kinds = list(cases.KINDS)
    asked = list(cases.cases(range(len(names)), kinds, names))
    assert len({case.key for case in asked}) == len(asked) == len(names) * len(kinds)
    anywhere = [kind for kind in kinds if kind not in cases.PLAIN]
    pairs = {(case.kind, case.background) for case in asked if case.kind in anywhere}
    assert len(pairs) == len(names) * len(anywhere)


def test_a_few_kinds_come_right_and_a_second_run_asks_nothing_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cases.jsonl"
    arguments = ["--seeds=5", "--background=none", "--kind=noise,rope,neurons"]
    assert main([*arguments, "--json", str(file)]) == 0
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [row["exact"] for row in rows] == [True] * 3
    assert [row["effect"] for row in rows] == [True, True, False]
    assert [row["measured"] is not None for row in rows] == [True, True, False]
    first = capsys.readouterr().out
    assert "harmless without a name: 1 of 1" in first
    assert main([*arguments, "--json", str(file)]) == 0
    second = capsys.readouterr().out
    assert first.endswith(second)
    assert len(file.read_text(encoding="utf-8").splitlines()) == 3


def _row(**changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "kind": "noise", "background": "none", "seed": 1, "harmless": False, "effect": True,
        "expected": ["embedding"], "fault": "noise", "costs": 0.0, "damage": 0.5,
        "named": "embedding", "said": "noise(0.3)", "rank": 1, "exact": True,
        "right_class": True, "printed": 1.0, "measured": 1.0, "seconds": 1.0, "error": "",
        "steps": {"base run": 0.25},
        "first_divergence": ["embedding", True], "largest_weight_error": ["lm_head", False],
    }  # fmt: skip
    return {**usual, **changes}


def test_targets_that_are_missed_are_said() -> None:
    assert table.missed([_row()] * 20) == []
    wrong = _row(exact=False, named=None, said="none")
    assert table.missed([_row()] * 19 + [wrong]) == []
    assert table.missed([_row()] * 18 + [wrong]) == ["none: 18 of 19 exact, not 95%"]
    assert table.missed([_row(measured=0.9)]) == [
        "1 printed proofs lie more than 0.02 from what was measured"
    ]
    named = _row(kind="equal", harmless=True, effect=False, exact=False)
    assert table.missed([named]) == ["1 harmless candidates got a name or could not be examined"]
    assert "| base run | 0.25 |" in table.text([wrong])
    assert "WRONG noise/none/1: embedding noise -> None none, 0.5000 nats" in table.text([wrong])


@pytest.mark.parametrize(
    ("named", "site", "right"),
    [
        ("layer.3.mlp.up_proj", "layer.3.mlp", True),
        ("layer.3.mlp.up_proj", "layer.3.attention", False),
        ("layer.1.mlp.up_proj", "layer.10", False),
        ("layer.2.attention.o_proj", "layer.2.attention.head.1", True),
        ("layer.2.attention.o_proj", "layer.2.attention.core", True),
        ("layer.4.post_norm", "layers.3-5", True),
        ("layer.6.post_norm", "layer.2+layer.6", True),
        ("layer.0.attention.k_proj", "all.q_proj+k_proj", True),
        ("layer.0.attention.o_proj", "attention_mask", False),
        (None, "rope", False),
    ],
)
def test_simpler_instruments_are_right_where_they_name_a_leaf_inside(
    named: str | None, site: str, right: bool
) -> None:
    assert measure.inside(named, site) is right
