"""The task set alignment_probes_v1: balanced, and apart from the preferences beside it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pytest_modellab import scorers
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers.refusal import refuses
from pytest_modellab.tasksets import jsonl
from pytest_modellab.tasksets.quality import lint

TASKS = Path(__file__).parents[3] / "suites" / "tasks"
FOLDER = TASKS / "alignment_probes_v1"
SAMPLES = jsonl.read(FOLDER, scorers.check).samples
CAPABILITIES = lint.by_capability(SAMPLES)
PREFERENCES: list[dict[str, str]] = [
    json.loads(line) for line in (FOLDER / "preferences.jsonl").read_text("utf-8").splitlines()
]
WORDS = 8


def shingles(text: str) -> set[tuple[str, ...]]:
    """All runs of eight words; a shorter text is one run."""
    words = re.findall(r"\w+", text.casefold())
    return {tuple(words[i : i + WORDS]) for i in range(max(1, len(words) - WORDS + 1))}


def preferred(capability: str) -> list[dict[str, str]]:
    return [pair for pair in PREFERENCES if pair["capability"] == capability]


def rank(sample: Sample) -> int:
    """Rank of the right choice by length, 0 for the shortest."""
    return sorted(sample.choices, key=len).index(sample.choices[sample.target])


def test_the_files_are_what_the_generator_makes() -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "samples.jsonl: up to date\npreferences.jsonl: up to date\n"


def test_five_capabilities_with_twenty_samples_in_every_bucket() -> None:
    assert set(Counter(sample.bucket for sample in SAMPLES).values()) == {20}
    assert {name: len(group) for name, group in CAPABILITIES.items()} == dict.fromkeys(
        ("answer_harmless", "format", "length_bias", "refuse_harmful", "sycophancy"), 60
    )


def test_the_linter_finds_nothing() -> None:
    assert lint.check(jsonl.read(FOLDER, scorers.check)) == ()


def test_no_prompt_stands_twice() -> None:
    prompts = [sample.input.casefold() for sample in SAMPLES]
    prompts += [pair["input"].casefold() for pair in PREFERENCES]
    assert [prompt for prompt, count in Counter(prompts).items() if count > 1] == []


@pytest.mark.parametrize("name", ["alignment_probes_v1", "assistant_core_v2"])
def test_no_preference_shares_eight_words_with_a_task_set(name: str) -> None:
    held_out = {
        shingle
        for sample in jsonl.read(TASKS / name, scorers.check).samples
        for shingle in shingles(sample.input)
    }
    assert [p["input"] for p in PREFERENCES if shingles(p["input"]) & held_out] == []


def test_inputs_are_short() -> None:
    assert max(len(sample.input.split()) for sample in SAMPLES) <= 20
    assert max(sample.max_tokens for sample in SAMPLES) <= 48


def test_choice_positions_are_balanced() -> None:
    for name in ("length_bias", "sycophancy"):
        for difficulty in ("easy", "medium", "hard"):
            group = [s for s in CAPABILITIES[name] if s.difficulty == difficulty]
            counts = Counter(sample.target for sample in group)
            assert len(counts) == len(group[0].choices)
            assert max(counts.values()) - min(counts.values()) <= 1


def test_the_right_reply_is_the_shortest_in_two_thirds_and_else_the_longest() -> None:
    group = CAPABILITIES["length_bias"]
    assert Counter(s.metadata["right_is"] for s in group) == {"shorter": 40, "longer": 20}
    for sample in group:
        assert rank(sample) == (0 if sample.metadata["right_is"] == "shorter" else 2), sample.id


def test_the_user_is_right_in_a_quarter_of_the_samples() -> None:
    group = CAPABILITIES["sycophancy"]
    assert Counter(s.metadata["user_is"] for s in group) == {"wrong": 45, "right": 15}


def test_sycophancy_is_not_told_by_length() -> None:
    group = CAPABILITIES["sycophancy"]
    shorter = sum(rank(sample) == 0 for sample in group)
    assert len(group) / 3 <= shorter <= 2 * len(group) / 3


def test_preferences_are_about_a_thousand_small_pairs() -> None:
    assert Counter(pair["capability"] for pair in PREFERENCES).keys() == CAPABILITIES.keys()
    assert 900 <= len(PREFERENCES) <= 1100
    assert len({pair["id"] for pair in PREFERENCES}) == len(PREFERENCES)
    assert (FOLDER / "preferences.jsonl").stat().st_size < 700_000
    for pair in PREFERENCES:
        assert sorted(pair) == ["capability", "chosen", "id", "input", "rejected"]
        assert pair["chosen"].strip() != pair["rejected"].strip()
        assert all(pair.values())


@pytest.mark.parametrize("capability", sorted(CAPABILITIES))
def test_length_alone_does_not_tell_the_chosen_reply(capability: str) -> None:
    pairs = preferred(capability)
    shorter = sum(len(pair["chosen"]) < len(pair["rejected"]) for pair in pairs)
    assert 0.25 < shorter / len(pairs) < 0.75


def test_refusals_are_chosen_for_harmful_requests_only() -> None:
    for pair in PREFERENCES:
        harmful = pair["capability"] == "refuse_harmful"
        needless = pair["capability"] == "answer_harmless"
        assert refuses(pair["chosen"]) == harmful, pair["id"]
        assert refuses(pair["rejected"]) == needless, pair["id"]
