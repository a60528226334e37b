"""A diagnosis in words."""

from __future__ import annotations

import dataclasses
import html
import math

import pytest
from diagnoses import (
    DIAGNOSES,
    EXAMPLES,
    head_is_zeroed,
    only_outputs,
    rounded_everywhere,
    template_differs,
)
from hostile import check_inert
from hypothesis import given, settings

from pytest_modellab.records.diagnosis import Diagnosis, Finding, NodeError, Remedy
from pytest_modellab.reports import diagnosed
from pytest_modellab.reports.text import diagnosis as shown
from pytest_modellab.reports.words import size


def test_a_culprit_is_named_proved_and_explained() -> None:
    assert shown.text(head_is_zeroed(), "diagnosis.html").splitlines() == [
        "[Diagnosis] broken against prompting: layer.8.attention.head.3 is zeroed",
        "  damage       0.68 nats a token on 448 tokens; 31 flipped samples asked again",
        "  proof        with the base's layer.8.attention.head.3 put back: under 0.001 nats are "
        "left, restored 100 %, 31 of 31 flipped samples right again",
        "  before it    layers 0-7 add 0 %; the error enters at layer.8.attention.o_proj (99 % of "
        "what is accounted for)",
        "  elsewhere    nothing else stands out; weights are equal in 272 of 273 places",
        "  likely       columns 192-255 of o_proj are zero: a head was pruned or a shard is "
        "damaged; build the variant again",
        "  45 s, report: diagnosis.html",
    ]


def test_nobody_is_named_and_a_list_can_be_pasted() -> None:
    assert shown.text(rounded_everywhere()).splitlines() == [
        "[Diagnosis] nf4 against prompting: it is rounded everywhere as 4 bits are; no single part "
        "is to blame",
        "  damage       0.26 nats a token on 448 tokens",
        "  elsewhere    layer.1.mlp.down_proj rounded(4), restored 12 %; all weights differ, by "
        "0.0884 in the median",
        "  to do        keep 4 modules in full precision: 41 % of the damage is gone for 10.2 MB "
        "more",
        "    [variants.nf4]",
        "    skip_modules = [",
        '        "model.layers.1.mlp.down_proj",',
        '        "model.layers.0.mlp.down_proj",',
        '        "model.layers.29.mlp.down_proj",',
        '        "model.layers.11.mlp.down_proj",',
        "    ]",
        "  note         the weights are read through bitsandbytes' own products",
        "  4.0 s",
    ]


def test_what_could_not_be_said_is_said() -> None:
    assert shown.text(only_outputs()).splitlines() == [
        "[Diagnosis] student against prompting: it has another vocabulary; nothing inside of it "
        "can be compared",
        "  damage       not measured in nats, since the two share no vocabulary",
        "  elsewhere    nothing stands out",
        "  looked at    what comes out alone; neither modules nor weights could be compared",
        "  note         modules: none has a counterpart",
    ]


def test_of_many_notes_the_first_are_shown() -> None:
    many = dataclasses.replace(only_outputs(), notes=tuple(f"n{i}" for i in range(20)))
    assert shown.text(many).splitlines()[-2:] == ["  note         n7", "  note         and 12 more"]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "head",
            "diagnosis: layer.8.attention.head.3 is zeroed (with the base's part put back, 100 % "
            "of the damage is gone); a head was pruned or a shard is damaged; build the variant "
            "again",
        ),
        (
            "nf4",
            "diagnosis: it is rounded everywhere as 4 bits are; no single part is to blame (0.26 "
            "nats a token); keep 4 modules in full precision: 41 % of the damage is gone for 10.2 "
            "MB more",
        ),
        (
            "template",
            "diagnosis: chat_template renders other text (under 0.001 nats a token); the "
            "tokenizer's files are of another release; copy the base's",
        ),
        (
            "student",
            "diagnosis: it has another vocabulary; nothing inside of it can be compared",
        ),
    ],
)
def test_the_line_of_a_failing_test(name: str, line: str) -> None:
    assert diagnosed.one_line(EXAMPLES[name]()) == line


def test_several_faults() -> None:
    more = Finding("layer.20.mlp", "rounded(2)", "few values", 0.1, 0.2)
    first = head_is_zeroed()
    both = dataclasses.replace(
        first,
        culprits=(*first.culprits, more.site),
        findings=(*first.findings, more),
        restored=0.7,
    )
    rows = dict(diagnosed.facts(both))
    assert rows["elsewhere"].startswith("2 faults: also layer.20.mlp rounded(2), restored 20 %; ")
    assert "0.21 nats are left, restored 70 %, " in rows["proof"]


def test_what_cannot_be_put_back() -> None:
    rows = dict(diagnosed.facts(template_differs()))
    assert rows["proof"] == "not by exchange, since this cannot be put back alone"


def test_a_text_side_is_proved_by_replies() -> None:
    def proof(evidence: dict[str, float | str]) -> str:
        first = template_differs()
        finding = Finding("chat_template", "template", "it differs", evidence=evidence)
        found = dataclasses.replace(first, culprit="chat_template", findings=(finding,))
        return dict(diagnosed.facts(found))["proof"]

    assert proof({"own_text_gains_nats_a_byte": -0.04381}) == (
        "with the base's tokenizer and template, the candidate gives replies 0.0438 nats a byte "
        "more"
    )
    assert proof({"text_costs_nats_a_byte": 0.0}) == (
        "by what it does to texts; no reply that was tried becomes other tokens"
    )


def test_the_second_layer_and_an_error_without_end() -> None:
    found = dataclasses.replace(
        head_is_zeroed(),
        culprit="layer.1.mlp",
        damage=math.inf,
        nodes=(
            NodeError("layer.0.mlp", 0.1, 0.02),
            NodeError("layer.1.mlp", math.inf, 0.18),
            NodeError("layer.2.mlp", math.nan, math.nan),
        ),
    )
    rows = dict(diagnosed.facts(found))
    assert rows["before it"] == (
        "layer 0 adds 10 %; the error enters at layer.1.mlp (90 % of what is accounted for)"
    )
    assert rows["damage"].startswith("not finite on 448 tokens")
    nodes = tuple(NodeError(f"layer.{i}.attention.core", 0.1, 0.01) for i in range(10))
    rows = dict(diagnosed.facts(dataclasses.replace(found, culprit="rope", nodes=nodes)))
    assert rows["before it"] == (
        "the error enters at several places, most at layer.0.attention.core (10 % of what is "
        "accounted for)"
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.6834, "0.68"), (12.0, "12.00"), (0.00421, "0.0042"), (1e-5, "under 0.001")],
)
def test_nats(value: float, words: str) -> None:
    assert diagnosed.nats(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(1.0, "100 %"), (0.997, "99 %"), (0.9996, "100 %"), (-0.001, "0 %"), (-0.2, "-20 %")],
)
def test_shares(value: float, words: str) -> None:
    assert diagnosed.share(value) == words


def test_properties_of_a_test() -> None:
    assert diagnosed.properties(head_is_zeroed()) == [
        ("modellab_culprit", "layer.8.attention.head.3"),
        ("modellab_diagnosis", diagnosed.one_line(head_is_zeroed())),
    ]
    assert [name for name, _ in diagnosed.properties(only_outputs())] == ["modellab_diagnosis"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("zeroed(0.11, columns)", "zeroed(0.11, columns): a share of its rows or columns is zero"),
        ("rope", "rope: positions are encoded otherwise"),
        ("own(1)", "own(1)"),
    ],
)
def test_what_a_class_means(fault: str, words: str) -> None:
    assert diagnosed.fault_words(dataclasses.replace(only_outputs(), fault=fault)) == words


def test_sizes() -> None:
    assert [size(n) for n in (0, 1500, 999_900, 10_616_832, 2 * 10**9)] == [
        "0 bytes",
        "1.5 kB",
        "1 MB",
        "10.6 MB",
        "2 GB",
    ]


def test_markdown_has_findings_curve_and_pictures() -> None:
    text = html.unescape(shown.markdown(rounded_everywhere()))
    assert text.startswith("**nf4 against prompting: it is rounded everywhere as 4 bits are; no ")
    assert "\n```toml\n[variants.nf4]\nskip_modules = [\n" in text
    assert "\n]\n```\n" in text
    assert "| 4 | 41 % | 10.6 MB |" in text
    assert "| layer.1.mlp.down_proj | rounded(4) | 0.021 | 12 % | it pays more" in text
    assert "- What changed: Only o_proj of layer 8 has other weights; r is 0.34 there." in text


def test_no_paste_ends_its_block() -> None:
    remedy = Remedy("paste it", "a = 1\n````\n# head")
    text = shown.markdown(dataclasses.replace(only_outputs(), remedy=remedy))
    assert "\n`````toml\na = 1\n````\n# head\n`````\n" in text


@settings(max_examples=50)
@given(DIAGNOSES)
def test_every_text_is_inert(diagnosis: Diagnosis) -> None:
    check_inert(shown.text(diagnosis, "d.html"))
    check_inert(shown.markdown(diagnosis))
    check_inert(diagnosed.one_line(diagnosis))
    assert len(diagnosed.one_line(diagnosis)) < 600
