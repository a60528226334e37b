from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_modellab.reports.advice import after_block, next_step, undecided
from pytest_modellab.reports.session import TestError, deciding, headline, subject, variant_verdict
from pytest_modellab.reports.words import listed, number

Make = Callable[..., Any]

BROKEN = TestError(
    "suites/test_q.py::test_capability[int8]", "int8", "cannot load\nmore", "OSError"
)
MISSING = TestError(
    "suites/test_q.py::test_capability[fp4]",
    "fp4",
    "no baseline yet",
    "BaselineMissing",
    "pytest s -k fp4",
)


def test_an_empty_report_is_inconclusive(report: Make) -> None:
    empty = report()
    assert empty.verdict == "inconclusive"
    assert headline(empty) == "INCONCLUSIVE: nothing was compared."
    assert next_step(empty) == ()
    assert empty.variants == empty.task_sets == ()


def test_block_comes_before_error_before_pass(report: Make, comparison: Make) -> None:
    passed, blocked = comparison("pass"), comparison("block")
    assert report(comparisons=(passed,)).verdict == "pass"
    assert report(comparisons=(passed, comparison("inconclusive"))).verdict == "inconclusive"
    assert report(comparisons=(passed,), errors=(BROKEN,)).verdict == "error"
    assert report(comparisons=(passed, blocked), errors=(BROKEN,)).verdict == "block"


def test_an_incomplete_run_never_passes(report: Make, comparison: Make) -> None:
    cut = report(comparisons=(comparison("pass"),), complete=False)
    assert cut.verdict == "inconclusive"
    assert headline(cut) == ("INCONCLUSIVE: 1 of 1 comparison passed; the run did not complete.")
    assert next_step(cut) == ("run again: not every test reported",)


def test_headlines(report: Make, comparison: Make) -> None:
    passed = [comparison("pass", capability=name) for name in ("code", "logic")]
    assert headline(report(comparisons=passed)) == "PASS: all 2 comparisons of 1 variant passed."
    assert headline(report(comparisons=[*passed, comparison("inconclusive")])) == (
        "INCONCLUSIVE: 1 of 3 comparisons could not be settled, none blocks."
    )
    assert headline(report(comparisons=[*passed, comparison("block")])) == (
        "BLOCK: 1 of 3 comparisons: nf4 (arithmetic)."
    )
    assert headline(report(comparisons=passed, errors=(BROKEN,))) == (
        "ERROR: 1 test reached no verdict (int8)."
    )


def test_variant_verdicts(report: Make, comparison: Make, run: Make) -> None:
    found = report(
        runs=(run(), run(variant="prompting", kind="prompted", strategy="prompting")),
        comparisons=(
            comparison("pass"),
            comparison("block", task_set="other"),
        ),
        errors=(BROKEN,),
    )
    assert found.variants == ("prompting", "nf4", "int8")
    assert variant_verdict(found, "nf4") == "block"
    assert variant_verdict(found, "nf4", "assistant_core_v2") == "pass"
    assert variant_verdict(found, "int8") == "error"
    assert variant_verdict(found, "prompting") is None


def test_a_drop_from_the_baseline_itself_has_not_added_up(
    report: Make, comparison: Make, figures: Make
) -> None:
    drift = {
        "assertion": "no_drift",
        "against": "anchor (the baseline itself)",
        "capability": None,
        "figures": (figures(name="all"),),
    }
    found = report(
        comparisons=(comparison("block", **drift), comparison("block", task_set="words", **drift))
    )
    assert next_step(found) == (
        "nf4 drifted from its anchor (the baseline itself): all samples on assistant_core_v2 "
        "0.62 -> 0.41, all samples on words 0.62 -> 0.41; if that is wanted, begin a new chain: "
        "modellab accept nf4 --task-set assistant_core_v2 --task-set words --new-anchor, then "
        "commit the baseline that it writes",
    )


def test_what_to_do_about_drift_forgetting_and_churn(
    report: Make, comparison: Make, figures: Make, run: Make
) -> None:
    anchor = "anchor of 2026-01-31 (2 changes accepted since)"
    found = report(
        runs=(run(churn=0.06, abnormal_churn=True),),
        comparisons=(
            comparison(
                "block",
                assertion="no_forgetting",
                against="baseline of prompting",
                capability=None,
                figures=(
                    figures(name="code"),
                    figures(name="logic", candidate=0.3),
                    figures(name="sums", verdict="pass"),
                ),
            ),
            comparison(
                "block",
                assertion="no_drift",
                against=anchor,
                capability=None,
                figures=(figures(name="all"),),
            ),
        ),
    )
    assert headline(found) == "BLOCK: 2 of 2 comparisons: nf4 (drift), nf4 (forgetting)."
    assert next_step(found) == (
        f"nf4 drifted from its {anchor}: all samples 0.62 -> 0.41; accepted drops have added up; "
        "if that is wanted, begin a new chain: modellab accept nf4 --task-set "
        "assistant_core_v2 --new-anchor, then commit the baseline that it writes",
        "nf4 forgot what the baseline of prompting can do: code 0.62 -> 0.41, logic 0.62 -> 0.30; "
        "look at the flipped samples; if a capability was meant to change, name it in "
        "variants.nf4.targets",
        "nf4: 6.0% of its samples flip between two runs of it, more than three times what its "
        "accepted run or its base did; look for what differs between runs (sampling, batch size, "
        "kernels)",
    )


def test_what_to_do_next(report: Make, comparison: Make, figures: Make, run: Make) -> None:
    floor = figures(
        name="arithmetic/hard", n=22, baseline=None, candidate=0.09, floor=0.3, drop=0.21
    )
    found = report(
        runs=(run(recorded="baselines/assistant_core_v2/nf4.json"),),
        comparisons=(
            comparison("block"),
            comparison(
                "block",
                against="baseline of prompting",
                capability=None,
                figures=(figures(name="all"),),
            ),
            comparison(
                "block",
                assertion="worst_bucket",
                against="floor",
                capability=None,
                figures=(floor,),
            ),
            comparison("inconclusive", capability="code"),
        ),
        errors=(BROKEN, MISSING),
        complete=False,
    )
    assert next_step(found) == (
        "no verdict on int8 until this is put right: cannot load",
        "record the missing baseline: pytest s -k fp4",
        "run again: not every test reported",
        (
            "nf4 fell: arithmetic 0.62 -> 0.41; look at the flipped samples; if the drop is "
            "wanted, accept it: modellab accept nf4 --task-set assistant_core_v2 --because "
            "'WHO AND WHY', then commit what it writes"
        ),
        (
            "nf4 fell against baseline of prompting: all samples 0.62 -> 0.41; look at the flipped "
            "samples; if the drop is wanted, allow it in modellab.toml: margin above 0.09 in "
            "[task_sets.assistant_core_v2]"
        ),
        "nf4 is under the floor: arithmetic/hard 0.09 < 0.30; look at the samples it got wrong",
        (
            "nf4: 1 of 4 undecided; smallest drop that shows is 0.15; about 310 more samples would "
            "settle it"
        ),
        "review and commit the recorded baseline: baselines/assistant_core_v2/nf4.json",
    )


def test_what_would_allow_a_drop_below_the_base(comparison: Make, figures: Make) -> None:
    """Each rule once, in its table, by what fell furthest; no margin allows a loss of it all."""
    base = {"against": "baseline of prompting"}
    found = after_block(
        "nf4",
        (
            comparison("block", **base, figures=(figures(drop_low=0.1234),)),
            comparison("block", **base, capability="code", figures=(figures(drop_low=0.2),)),
            comparison(
                "block",
                **base,
                metric="probability",
                capability=None,
                figures=(figures(name="all", drop_low=0.0101),),
            ),
            comparison(
                "block", **base, capability=None, figures=(figures(name="all", drop_low=0.9999),)
            ),
        ),
    )
    assert found.partition("allow it in modellab.toml: ")[2] == (
        "capability_margin above 0.2 in [task_sets.assistant_core_v2], margin above 0.011 in "
        "[task_sets.assistant_core_v2.metrics.probability] and no margin in "
        "[task_sets.assistant_core_v2] is large enough"
    )


def test_undecided_sums_up_the_worst(comparison: Make, figures: Make) -> None:
    assert undecided([comparison("pass")]) is None
    open_ = {"verdict": "inconclusive", "candidate": 0.6, "drop": 0.02}
    found = undecided(
        [
            comparison("pass", capability="reading"),
            comparison(
                "inconclusive",
                capability="code",
                figures=(figures(**open_, mde=0.12, samples_needed=100),),
            ),
            comparison(
                "inconclusive",
                capability="logic",
                figures=(figures(**open_, mde=0.2, samples_needed=None),),
            ),
        ]
    )
    assert str(found) == (
        "2 of 3 undecided; smallest drop that shows is 0.2 (logic); up to 34 more samples would "
        "settle it (code); 1 of them cannot pass at an allowed drop of 0, set a margin"
    )
    near = figures(**open_, mde=0.12, n=66, samples_needed=67)
    assert str(undecided([comparison("inconclusive", figures=(near,))])).endswith(
        "; about 1 more sample would settle it"
    )
    few = figures(**open_, mde=None, margin=0.02)
    assert str(undecided([comparison("inconclusive", figures=(few,))])) == (
        "1 of 1 undecided; too few samples to notice any drop; "
        "may stay undecided with any number of samples"
    )


def test_order_does_not_matter(report: Make, comparison: Make, run: Make) -> None:
    runs = [run(), run(variant="a"), run(strategy="prompting", variant="z")]
    comparisons = [
        comparison("pass", capability=capability, against=against)
        for capability in (None, "code", "logic")
        for against in ("own baseline", "baseline of prompting")
    ]
    notes = ["b", "a", "b"]
    one = report(runs=runs, comparisons=comparisons, errors=(BROKEN, MISSING), notes=notes)
    other = report(
        runs=runs[::-1], comparisons=comparisons[::-1], errors=(MISSING, BROKEN), notes=notes[:2]
    )
    assert one == other
    assert [r.variant for r in one.runs] == ["z", "a", "nf4"]
    assert one.notes == ("a", "b")


def test_a_run_reported_by_two_processes_is_kept_once(report: Make, run: Make) -> None:
    ran = run(cached=False)
    stored = run(cached=True, recorded="baselines/x.json", probes={})
    for runs in ((ran, stored), (stored, ran)):
        (kept,) = report(runs=runs).runs
        assert not kept.cached
        assert kept.probes == ran.probes
        assert kept.recorded == "baselines/x.json"


def test_the_smallest_p_decides(comparison: Make, figures: Make) -> None:
    both = (figures(name="b", p_adjusted=0.002), figures(name="a", p_adjusted=0.001))
    best = figures(name="c", p_adjusted=0.0, verdict="inconclusive")
    found = deciding(comparison("block", figures=(*both, best)))
    assert found is not None
    assert found.name == "a"
    assert deciding(comparison("block", figures=())) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.005, "0.005"),
        (0.31, "0.31"),
        (1.0, "1"),
        (0.0, "0"),
        (-0.0, "0"),
        (2e-6, "0.000002"),
        (6.5234e-5, "0.0000652"),
        (1234.0, "1234"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_lists_are_cut() -> None:
    assert listed("aabcdef") == "a, b, c, d and 2 more"
    assert listed([]) == ""


def test_errors_know_a_missing_baseline() -> None:
    assert MISSING.missing_baseline
    assert not BROKEN.missing_baseline
    assert TestError("t", None, "pytest_modellab.errors.BaselineMissing: no").missing_baseline
    assert TestError("t", None, "\n").summary == ""


def test_after_a_block_the_index_is_looked_at_before_the_model(
    report: Make, search: Make, comparison: Make
) -> None:
    blocked = comparison("block", candidate="int8", kind="embedding", task_set="fiqa")
    steps = next_step(report(runs=(search(),), comparisons=(blocked,)))
    assert steps[1:] == (
        "int8: look at its index before the model: recall@10 0.97 of exact search; exact search "
        "over the same vectors would score 0.29",
    )
    two = report(runs=(search(), search(task_set="nq")), comparisons=(blocked,))
    assert next_step(two)[1].startswith("int8: look at its index before the model on fiqa: recall")
    for run in (search(approximate=False), search(task_set="nq")):
        assert len(next_step(report(runs=(run,), comparisons=(blocked,)))) == 1
    same = search(metrics={"ndcg@10": 0.28, "index_recall@10": 0.98, "exact:ndcg@10": 0.283})
    assert len(next_step(report(runs=(same,), comparisons=(blocked,)))) == 1


def test_what_was_judged_by_a_metric_says_so(report: Make, comparison: Make) -> None:
    whole = comparison("block", candidate="int8", capability=None, metric="recall@10")
    part = comparison("pass", candidate="int8", metric="recall@10")
    floor = comparison("pass", candidate="int8", assertion="worst_bucket", metric="recall@10")
    found = report(comparisons=(whole, part, floor))
    assert [subject(c) for c in (whole, part, floor)] == [
        "all samples by recall@10",
        "arithmetic by recall@10",
        "worst bucket of arithmetic by recall@10",
    ]
    assert headline(found) == "BLOCK: 1 of 3 comparisons: int8 (all samples by recall@10)."
    assert next_step(found)[0].startswith("int8 fell: arithmetic by recall@10 0.62 -> 0.41; look")
    two = [comparison("block", metric=name) for name in ("recall@10", "mrr@10")]
    assert report(comparisons=two) == report(comparisons=two[::-1])
