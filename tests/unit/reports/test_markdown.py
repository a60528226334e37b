from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.gate.ratios import RatioResult
from pytest_modellab.reports.session import TestError
from pytest_modellab.reports.text import markdown, sentences, terminal

Make = Callable[..., Any]

HEAD = (
    "| variant | success | worst bucket | against own baseline | against base | floor "
    "| measured | verdict |\n"
    "| --- | ---: | --- | --- | --- | --- | --- | --- |\n"
)


def test_an_empty_report(report: Make) -> None:
    assert markdown.render(report(assertions=0)) == (
        "## Model gate: INCONCLUSIVE\n\nnothing was compared.\n"
    )


def test_all_well_fits_a_screen(report: Make, run: Make, comparison: Make, figures: Make) -> None:
    floor = figures(
        name="code/hard", baseline=None, candidate=0.5, floor=0.3, score_low=0.35, verdict="pass"
    )
    found = markdown.render(
        report(
            runs=(run(),),
            comparisons=(
                comparison("pass"),
                comparison("pass", against="baseline of prompting", capability="code"),
                comparison("pass", against="baseline of prompting", capability="logic"),
                comparison("pass", assertion="worst_bucket", against="floor", figures=(floor,)),
            ),
        )
    )
    assert found.startswith(
        "## Model gate: PASS\n"
        "\n"
        "all 4 comparisons of 1 variant passed.\n"
        "\n"
        "Nothing got worse by more than is allowed.\n"
        "\n"
        "### assistant_core_v2\n"
        "\n" + HEAD + "| nf4 (quantized) | 0.61 ± 0.02 | arithmetic/hard 0.32 | pass, drop -0.010 "
        "| 2 pass | pass | 31 ms/sample, memory=0.11GB | **PASS** |\n"
        "\n"
        "<details>\n"
        "<summary>4 passed</summary>\n"
        "\n"
        "- nf4 against baseline of prompting, assistant_core_v2, code: PASS: arithmetic rose from "
        "0.62 to 0.63 (n = 66); with 95% confidence the drop is at most 0.018, and 0.02 is allowed"
    )
    assert found.endswith(
        "</details>\n\n<sub>alpha 0.05 shared by 10 assertions: 0.005 each</sub>\n\n"
        "<sub>alpha: how often, at most, a run in which nothing got worse is blocked all the same, "
        "by chance; all words: docs/glossary.md of pytest-modellab</sub>\n"
    )
    outside = found.split("<details>")[0] + found.split("</details>")[1]
    assert len(outside.splitlines()) < 20


def test_a_block_shows_its_tables(report: Make, run: Make, comparison: Make, flip: Make) -> None:
    found = markdown.render(
        report(
            runs=(run(), run(variant="base", strategy="a", recorded="b.json", probes={})),
            comparisons=(
                comparison("block", flips=(flip(),)),
                comparison("inconclusive", capability="code"),
            ),
            errors=(TestError("t.py::test[int8|x]", "int8", "cannot *load*\ntrace"),),
            notes=("a note",),
        )
    )
    lines = found.splitlines()
    assert lines[0] == "## Model gate: BLOCK"
    assert lines[2:7] == [
        "1 of 2 comparisons: nf4 (arithmetic).",
        "",
        "Something got worse by more than is allowed, and not by chance: it should not be merged "
        "as it is.",
        "",
        "- nf4: success on arithmetic fell by 21 points, from 62 to 41 of 100, and no drop is "
        "allowed; over many more such questions it would be at least 9 points, with 99.5% "
        "confidence",
    ]
    assert (
        "| base (quantized) | 0.61 ± 0.02 | arithmetic/hard 0.32 | – | – | baseline recorded |"
        in lines
    )
    assert "### Blocked" in lines
    assert "**nf4 against own baseline, assistant_core_v2, arithmetic: BLOCK**" in lines
    assert any(line.startswith("| arithmetic-hard-003 | 1 -> 0 |") for line in lines)
    assert "- <code>t.py&#58;&#58;test&#91;int8&#124;x&#93;</code>: cannot &#42;load&#42;" in lines
    assert "<summary>1 inconclusive</summary>" in lines
    assert "<sub>note: a note</sub>" in lines
    assert found.index("### Blocked") < found.index("<details>")


def test_a_blocked_comment_stands_alone_and_folds_its_figures(
    report: Make, run: Make, comparison: Make, flip: Make, figures: Make
) -> None:
    lost = [flip(id=f"s{i}", asked="What is 5 + 7?", expected="12") for i in range(9)]
    better = flip(id="a-better", before=0.0, after=1.0, bucket="reading/easy")
    pooled = figures(name="all", baseline=1.0, candidate=0.25, drop=0.75, drop_low=0.389)
    pooled = dataclasses.replace(pooled, margin=0.25, level=0.05)
    test = "suites/test_quantized.py::test_regression[nf4]"
    found = markdown.render(
        report(
            runs=(run(),),
            comparisons=(
                comparison(
                    "block",
                    test=test,
                    capability=None,
                    figures=(pooled,),
                    flips=(*lost, better),
                    reference="baselines/core/nf4.json, of commit 0123abc",
                    notes=("the prompt (a.jinja) was changed since the reference was recorded",),
                ),
            ),
            assertions=1,
        )
    )
    lines = outside_of_details(found)
    assert (
        "- nf4: success fell by 75 points, from 100 to 25 of 100, and a drop of 25 is allowed; "
        "over many more such questions it would be at least 39 points, with 95% confidence; worse "
        "in arithmetic (9 of 66)"
    ) in lines
    at = lines.index("### Blocked")
    replies = "<code>The answer is 12.</code> | <code>The answer is 11.</code>"
    assert lines[at + 1 : at + 11] == [
        "",
        "3 of the 9 samples that got worse:",
        "",
        "| sample | score | asked | expected | own baseline | nf4 |",
        "| --- | --- | --- | --- | --- | --- |",
        *(f"| s{i} | 1 -> 0 | What is 5 + 7? | 12 | {replies} |" for i in range(3)),
        "",
        "- compared with: baselines/core/nf4.json, of commit 0123abc",
    ]
    assert "- the prompt (a.jinja) was changed since the reference was recorded" in lines
    shown = "suites/test_quantized.py&#58;&#58;test_regression&#91;nf4&#93;"
    assert f'- run it again: <code>pytest "{shown}"</code>' in lines
    side = "modellab diff nf4 --task-set assistant_core_v2 --sample=s0"
    assert f"- side by side: <code>{side}</code>" in lines
    assert not any("alpha" in line or "| adjusted p" in line for line in lines)
    assert "| s8 |" in found
    assert "<summary>nf4 against own baseline, assistant_core_v2, all samples: BLOCK</summary>" in (
        found
    )
    assert len(lines) < 40


def test_a_zoo_fits_a_screen_with_the_verdict_first(
    report: Make, run: Make, comparison: Make, flip: Make
) -> None:
    names = [f"v{i}" for i in range(12)]
    flips = tuple(flip(id=f"s{i}") for i in range(200))
    found = markdown.render(
        report(
            runs=tuple(run(variant=name, task_set=t) for name in names for t in ("core", "domain")),
            comparisons=(
                *(comparison("block", candidate=n, task_set="core", flips=flips) for n in names),
                *(comparison("pass", candidate=n, task_set="domain") for n in names[1:]),
                comparison("inconclusive", candidate="v0", task_set="domain"),
            ),
        )
    )
    assert found.startswith("## Model gate: BLOCK\n\n12 of 24 comparisons: v0 (arithmetic), ")
    lines = outside_of_details(found)
    assert len([line for line in lines if line]) < 40
    assert any(line.startswith("- v0 fell: arithmetic 0.62 -> 0.41; look at") for line in lines)
    assert "| variant | core | domain |" in lines
    assert "| v0 | 0.61 **BLOCK** | 0.61 inconclusive |" in lines
    assert "| v1 | 0.61 **BLOCK** | 0.61 pass |" in lines
    assert "<summary>v11 against own baseline, core, arithmetic: BLOCK</summary>" in found
    assert found.count('- run it again: <code>pytest "suites/') == len(names), "each has its own"
    folded = found[found.index("<summary>what else to do</summary>") :]
    assert "- v9 fell: arithmetic" in folded
    assert "- v0: 1 of 2 undecided" in folded


def outside_of_details(text: str) -> list[str]:
    depth, lines = 0, []
    for line in text.splitlines():
        depth += line == "<details>"
        if depth == 0:
            lines.append(line)
        depth -= line == "</details>"
    assert depth == 0
    return lines


def test_what_a_comment_cannot_hold_loses_flipped_samples_first(
    report: Make, comparison: Make, flip: Make
) -> None:
    flips = tuple(flip(id=f"s{i}") for i in range(10))
    blocked = tuple(comparison("block", test=f"t.py::t{i}", flips=flips) for i in range(50))
    found = markdown.render(report(comparisons=blocked))
    assert len(found.encode()) <= markdown.COMMENT_BYTES
    assert found.count("10 flipped samples, 10 worse and 0 better, the first 3:") == 50
    assert "cut here" not in found
    assert "| s9 |" in markdown.render(report(comparisons=blocked), most=1_000_000)


def test_what_is_still_too_long_is_cut_and_says_so(report: Make, comparison: Make) -> None:
    passed = tuple(comparison("pass", test=f"t.py::t{i}", candidate="é") for i in range(99))
    found = markdown.render(report(comparisons=passed), most=5000)
    assert 4500 < len(found.encode()) <= 5000
    assert found.endswith(
        "0.02 is allowed\n\n</details>\n\n**The report is cut here**, since the place that it was "
        "written for takes no more; `--modellab-json PATH` has all of it.\n"
    )
    assert outside_of_details(found)[0] == "## Model gate: PASS"
    assert markdown.cut("a\n" * 99, 10) == ""
    assert markdown.cut("a\nb\n", 4) == "a\nb\n"


def test_drift_and_forgetting_have_columns_of_their_own(report: Make, comparison: Make) -> None:
    found = markdown.render(
        report(
            comparisons=(
                comparison("pass", assertion="no_drift", against="anchor of 2026-01-31 (…)"),
                comparison("pass", assertion="no_forgetting", against="baseline of prompting"),
            ),
        )
    )
    head = (
        "| variant | success | worst bucket | since the anchor | forgetting | measured | verdict |"
    )
    assert head in found
    assert (
        "| nf4 (quantized) | – | – | pass, drop -0.010 | pass, drop -0.010 | – | **PASS** |"
        in found
    )


def test_a_variant_judged_without_a_run(report: Make, comparison: Make) -> None:
    found = markdown.render(report(comparisons=(comparison("pass"),)))
    assert "| nf4 (quantized) | – | – | pass, drop -0.010 | – | **PASS** |" in found


def test_a_variant_that_was_timed_only(report: Make, comparison: Make, ratio: RatioResult) -> None:
    timed = comparison(
        "pass", assertion="no_slowdown", against="prompting", capability=None, ratio=ratio
    )
    found = markdown.render(report(comparisons=(timed,)))
    assert "| nf4 (quantized) | – | – | pass, x1.01 | – | **PASS** |" in found


def test_written_at_once(report: Make, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "summary.md"
    markdown.write([report()], path)
    assert path.read_text(encoding="utf-8") == markdown.render(report())
    assert list(path.parent.iterdir()) == [path]


def test_a_searching_variant_has_its_metrics_in_a_table(report: Make, search: Make) -> None:
    exact = search(variant="float32", approximate=False, base=None, probes={})
    lines = markdown.render(report(runs=(search(), exact))).splitlines()
    (row,) = [line for line in lines if line.startswith("| int8 (embedding) |")]
    assert "| memory=0.090GB |" in row
    assert any(line.startswith("| variant | success (ndcg&#64;10) | worst") for line in lines)
    at = lines.index(next(line for line in lines if line.startswith("| variant | ndcg&#64;10 |")))
    assert lines[at - 1] == ""
    assert lines[at] == (
        "| variant | ndcg&#64;10 | recall&#64;10 | recall&#64;100 | precision&#64;10 | mrr&#64;10 "
        "| map&#64;100 |"
    )
    quality = "0.280 | 0.310 | 0.700 | 0.200 | 0.500 | 0.220"
    assert lines[at + 2 : at + 6] == [
        f"| float32 | {quality} |",
        f"| int8 | {quality} |",
        "",
        "| variant | index | encoding | query p50 | query p95 | cost per million documents "
        "| documents | dimensions | index recall&#64;10 (the index's, not the model's) "
        "| ndcg&#64;10 of exact search |",
    ]
    assert lines[at + 7 : at + 10] == [
        "| int8 | 1536 B/doc | 43 docs/s | 9.0 ms | 14 ms | &#36;0.65 | 57,638 | 384 | 0.970 "
        "| 0.290 |",
        "",
        "- int8: index: recall&#64;10 0.97 of exact search; exact search over the same vectors "
        "would score 0.29",
    ]


def test_times_of_a_search_that_are_stored_are_marked(report: Make, search: Make) -> None:
    text = markdown.render(report(runs=(search(cached=True, environment={"workers": 2}),)))
    assert "| memory=0.090GB, times under xdist, stored |" in text


def test_sentences_tell_the_largest_drops_and_floors(
    report: Make, comparison: Make, figures: Make
) -> None:
    low = figures(name="code/hard", baseline=None, candidate=0.05, floor=0.3, score_high=0.2)
    many = [comparison("block", candidate=f"v{i}", capability=None) for i in range(7)]
    found = sentences.drops(
        report(
            comparisons=(
                *many,
                comparison("block", assertion="worst_bucket", capability=None, figures=(low,)),
                comparison("block", candidate="v0", capability=None, against="baseline of base"),
                comparison("pass", candidate="fine"),
            )
        )
    )
    assert found[-1] == "and 2 more drops, below"
    assert len(found) == sentences.MOST + 1
    floor = sentences.drops(
        report(
            comparisons=(
                comparison("block", assertion="worst_bucket", capability=None, figures=(low,)),
            )
        )
    )
    assert floor == ["nf4: success on code/hard is 5 of 100, below the 30 that it must reach"]
    beside = report(comparisons=(comparison("block", against="baseline of base"),))
    assert sentences.drops(beside) == [
        "nf4: success on arithmetic fell by 21 points, beside the baseline of base, from 62 to 41 "
        "of 100, and no drop is allowed; over many more such questions it would be at least 9 "
        "points, with 99.5% confidence"
    ]


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("pass", "Nothing got worse by more than is allowed. The tests pass, but what decides is "),
        ("inconclusive", " that all is as good as before. The tests pass, but what decides is "),
        ("block", "it should not be merged as it is. Besides, what decides is "),
    ],
)
def test_what_a_review_asks_for_is_no_green_check(
    verdict: str, said: str, report: Make, comparison: Make
) -> None:
    notes = ("bar: 1 rule is weaker than at a9a5335 (merge base with main): x 1 -> 2",)
    found = sentences.means(report(comparisons=(comparison(verdict),), notes=notes))
    assert found.endswith(
        f"{said}weaker than before: `modellab review` fails until `[acknowledged]` in "
        "modellab.toml says why, and prints the lines to fill in."
    )
    agreed = report(comparisons=(comparison("inconclusive"),), notes=("bar: acknowledged: x: y",))
    assert sentences.means(agreed).endswith("all is as good as before. The check does not fail.")


def test_what_fell_beyond_chance_and_is_undecided_is_shown(
    report: Make, comparison: Make, figures: Make, flip: Make
) -> None:
    fallen = figures(verdict="inconclusive", drop=0.21, drop_low=0.02, margin=0.1)
    open_ = comparison("inconclusive", figures=(fallen,), flips=(flip(),))
    found = report(comparisons=(open_,))
    assert sentences.undecided(found)[0] == (
        "nf4: success on arithmetic fell by 21 points, to 41 of 100, where a drop of 10 is "
        "allowed; 66 questions cannot tell whether that much is chance"
    )
    assert sentences.means(found) == (
        "Something got worse, as far as can be seen by more than is allowed, and there are too few "
        "questions to be sure of that: read the replies before it is merged. The check does not "
        "fail."
    )
    text = markdown.render(found)
    assert "### Fallen, and undecided" in text
    assert "side by side" in text
    assert any("side by side: modellab diff nf4" in one for one, _ in terminal.lines(found))
    unseen = dataclasses.replace(found, on_inconclusive="pass")
    assert "Fallen" not in markdown.render(unseen)


def test_what_the_questions_could_not_have_shown(
    report: Make, comparison: Make, figures: Make
) -> None:
    open_ = figures(verdict="inconclusive", mde=0.287, samples_needed=149, drop_low=-0.1)
    blind = figures(verdict="inconclusive", mde=None, samples_needed=None, drop_low=-0.1)
    found = report(
        comparisons=(
            comparison("inconclusive", figures=(open_,)),
            comparison("inconclusive", candidate="int8", figures=(blind,)),
        )
    )
    told = sentences.undecided(found)
    assert sorted(told) == [
        "int8: with so few questions no fall can be told from chance",
        "nf4: with this many questions a fall of less than 29 points can look like chance",
    ]
    assert all(f"- {one}\n" in markdown.render(found) for one in told)
    assert sentences.undecided(dataclasses.replace(found, on_inconclusive="pass")) == []
    fails = dataclasses.replace(found, on_inconclusive="fail")
    assert sentences.means(fails).endswith("as good as before. The settings let that fail.")
    cut = dataclasses.replace(found, complete=False)
    assert sentences.means(cut) == (
        "It cannot be told whether anything got worse: not every test reported."
    )


def test_the_words_of_the_tables_are_explained_where_they_stand(
    report: Make, comparison: Make
) -> None:
    assert "adjusted p: how often chance alone does as much" in sentences.legend(
        report(comparisons=(comparison("block"),))
    )
    assert sentences.legend(report(comparisons=(comparison("pass"),))).startswith("alpha: ")
    assert sentences.legend(report(comparisons=())) == ""
