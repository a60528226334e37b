"""What the recommendation rests on: risks, deltas, break-even volumes, notes and the method."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_modellab.reports import measured
from pytest_modellab.reports.page.markup import Cell, Content, Html, details, el, section, table
from pytest_modellab.reports.page.variants import LEVEL_MARKS
from pytest_modellab.reports.page.words import (
    COMPONENT_NAMES,
    MARKS,
    MISSING,
    dollars,
    interval,
    percent,
    requests,
    seconds,
    size,
)
from pytest_modellab.reports.words import number, plural
from pytest_modellab.tradeoff.figures import Delta, Estimate, TradeOff

SHOWN = 18
"""With more verdicts only the blocks are shown at once."""


def risks(tradeoff: TradeOff, ident: str) -> Html:
    """The components of each variant's risk, and its calibration."""
    names = list(dict.fromkeys(c.name for p in tradeoff.profiles for c in p.risk.components))
    weights = {c.name: c.weight for p in tradeoff.profiles for c in p.risk.components}
    head: list[Content] = [
        "variant",
        "risk",
        "level",
        *(
            [
                COMPONENT_NAMES.get(n, n),
                el("small", f"weighs {weights[n]:.2f}" if weights[n] else "not counted"),
            ]
            for n in names
        ),
        "ECE",
        "Brier score",
    ]
    rows: list[list[Cell | Content]] = []
    words: list[list[Cell | Content]] = []
    for p in tradeoff.profiles:
        parts = {c.name: c for c in p.risk.components}
        fit = p.risk.calibration
        rows.append(
            [
                p.variant,
                Cell(
                    [f"{p.risk.value.value:.2f}", el("small", interval(p.risk.value))],
                    sort=p.risk.value.value,
                ),
                Cell(f"{LEVEL_MARKS[p.risk.level]} {p.risk.level}", style=f"level {p.risk.level}"),
                *(_component(parts[n].value if n in parts else None) for n in names),
                Cell(MISSING) if fit is None else Cell(f"{fit.ece:.3f}", sort=fit.ece),
                Cell(MISSING) if fit is None else Cell(f"{fit.brier:.3f}", sort=fit.brier),
            ]
        )
        words += [[p.variant, COMPONENT_NAMES.get(c.name, c.name), c.words] for c in parts.values()]
    return section(
        f"{ident}-risk",
        "Risk",
        el(
            "p",
            "Each component is 0 where nothing speaks against the variant and 1 at worst; the risk "
            "is their weighted mean. Only components that every variant was measured by are "
            "counted. It is a convention, not a probability.",
            class_="aside",
        ),
        table(
            "Risk of each variant with its components, and calibration",
            head,
            rows,
            left={0, 2},
            style="sortable",
        ),
        details(
            "What was measured for each component",
            table(
                "Each component of each variant's risk in words",
                ["variant", "component", "what was measured"],
                words,
                left={0, 1, 2},
                style="prose",
            ),
        ),
    )


def _component(value: float | None) -> Cell:
    return Cell(MISSING) if value is None else Cell(f"{value:.2f}", sort=value)


def deltas(tradeoff: TradeOff, ident: str) -> Html | None:
    """Each judgement against the reference in a sentence."""
    if not tradeoff.deltas:
        return None
    order = {"block": 0, "inconclusive": 1, None: 2, "pass": 3}
    found = sorted(tradeoff.deltas, key=lambda d: order[d.verdict])
    blocks = [d for d in found if d.verdict == "block"]
    if len(found) <= SHOWN:
        parts: Content = _judged(tradeoff, found, "Verdicts")
    else:
        rest = found[len(blocks) :]
        parts = [
            _judged(tradeoff, blocks, "Blocks") if blocks else el("p", "✓ Nothing blocks."),
            details(
                f"{plural(len(rest), 'further verdict')}, none of them a block",
                _judged(tradeoff, rest, "Further verdicts"),
            ),
        ]
    return section(f"{ident}-deltas", f"Judged against {tradeoff.reference}", parts)


def _judged(tradeoff: TradeOff, found: Sequence[Delta], what: str) -> Html:
    rows: list[list[Cell | Content]] = []
    for d in found:
        mark, said = MARKS.get(d.verdict or "", MISSING), d.verdict or "not judged"
        rows.append(
            [
                d.variant,
                d.what,
                Cell(
                    el("span", f"{mark} {said}", class_=f"judged {d.verdict or 'open'}"),
                ),
                d.words,
            ]
        )
    return table(
        f"{what} on the variants against {tradeoff.reference}",
        ["variant", "in", "verdict", "why"],
        rows,
        left={0, 1, 2, 3},
        style="sortable prose",
    )


def money(tradeoff: TradeOff, ident: str) -> Html | None:
    """Training, serving, break-even, and the further figures of latency and memory."""
    priced = [p for p in tradeoff.profiles if p.cost is not None]
    timed = [p for p in tradeoff.profiles if p.latency is not None]
    held = [p for p in tradeoff.profiles if p.memory is not None]
    parts: list[Content] = []
    if tradeoff.break_even:
        lines = [
            el(
                "li",
                el("strong", b.variant),
                f" has cost less than {b.other} from {requests(b.requests)} requests on",
            )
            for b in tradeoff.break_even
        ]
        parts += [el("h4", "Break-even"), el("ul", lines)]
    if priced:
        rows: list[list[Cell | Content]] = []
        generated = any(p.cost is not None and p.cost.tokens_out for p in priced)
        media = {
            name: title
            for name, title in (("minute_of_audio", "a minute of audio"), ("image", "an image"))
            if any(getattr(p.cost, name) is not None for p in priced)
        }
        for p in priced:
            assert p.cost is not None
            training = p.cost.training
            rows.append(
                [
                    p.variant,
                    p.cost.price,
                    Cell(dollars(p.cost.serving.value), sort=p.cost.serving.value),
                    interval(p.cost.serving, "dollars"),
                    Cell("not known")
                    if training is None
                    else Cell(dollars(training), sort=training),
                    Cell(number(p.cost.tokens_in), sort=p.cost.tokens_in),
                    *(_cell(getattr(p.cost, name), dollars, "dollars") for name in media),
                    *(
                        [
                            Cell(number(p.cost.tokens_out), sort=p.cost.tokens_out)
                            if p.cost.tokens_out
                            else Cell(MISSING)
                        ]
                        if generated
                        else []
                    ),
                ]
            )
        head: list[Content] = [
            "variant",
            "price",
            "1,000 requests",
            "95% interval",
            "training",
            "tokens in",
            *media.values(),
            *(["tokens out"] if generated else []),
        ]
        parts.append(
            details(
                "Cost of serving and training",
                table("Dollars of each variant", head, rows, left={0, 1}, style="sortable"),
            )
        )
    if timed:
        rows = []
        heard = any(p.latency and p.latency.real_time_factor for p in timed)
        for p in timed:
            found = p.latency
            assert found is not None
            tokens = (found.first_token, found.per_token) if tradeoff.generates else ()
            factor = found.real_time_factor
            each = (
                *tokens,
                found.p50.value,
                found.p95.value,
                found.p99,
                found.loaded_p50,
                found.loaded_p95,
                found.loaded_p99,
            )
            rows.append(
                [
                    p.variant,
                    *(Cell(MISSING) if v is None else Cell(seconds(v), sort=v) for v in each),
                    *([_cell(factor, number, "number")] if heard else []),
                    Cell(str(found.concurrency), sort=found.concurrency),
                    Cell(number(found.requests_per_second), sort=found.requests_per_second),
                    f"{found.prompts} × {found.rounds}",
                    number(found.drift),
                ]
            )
        head = [
            "variant",
            *(["first token", "each further token"] if tradeoff.generates else []),
            "p50",
            "p95",
            "p99",
            "p50 under load",
            "p95 under load",
            "p99 under load",
            *(["real-time factor"] if heard else []),
            "at once",
            "requests per second",
            "prompts × rounds",
            "drift",
        ]
        parts.append(
            details(
                "Latency in full",
                table("Latency of each variant", head, rows, style="sortable"),
            )
        )
    if held:
        rows = []
        index = any(measured.index_bytes(p) is not None for p in held)
        for p in held:
            assert p.memory is not None
            beside = (measured.index_bytes(p),) if index else ()
            disk, peak = p.memory.disk, (p.memory.peak_host, p.memory.peak_device)
            memory = (p.memory.held, *beside, disk, *peak)
            rows.append(
                [
                    p.variant,
                    *(Cell(MISSING) if v is None else Cell(size(v), sort=v) for v in memory),
                ]
            )
        head = ["variant", "weights held", *(["index"] if index else []), "files"]
        head += ["peak of the process", "peak of the device"]
        parts.append(
            details("Memory in full", table("Memory of each variant", head, rows, style="sortable"))
        )
    return section(f"{ident}-money", "Cost, latency and memory in full", parts) if parts else None


def _cell(found: Estimate | None, write: Callable[[float], str], form: str) -> Cell:
    """A figure with its interval, or what stands for none."""
    if found is None:
        return Cell(MISSING)
    return Cell([write(found.value), el("small", interval(found, form))], sort=found.value)


def method(tradeoff: TradeOff, ident: str) -> Html:
    """Notes, and how the figures came about."""
    task_set = tradeoff.task_set
    name, version = task_set.get("name", ""), task_set.get("version", "")
    facts = [
        ("task set", f"{name}, version {version}"),
        ("hash", task_set.get("hash", "")),
        ("reference", tradeoff.reference),
        ("samples", ", ".join(sorted({f"{p.n:,}" for p in tradeoff.profiles}))),
        ("resamples", f"{tradeoff.resamples:,}"),
        ("seed", str(tradeoff.seed)),
        ("alpha", f"{number(tradeoff.alpha)}, the risk of any false block among all deltas"),
        ("floor", "none" if tradeoff.floor is None else number(tradeoff.floor)),
        ("recorded", tradeoff.recorded),
    ]
    sources = {"run": "run now", "stored": "a stored run", "accepted": "the accepted run"}
    rows: list[list[Cell | Content]] = [
        [
            p.variant,
            p.kind,
            p.strategy,
            p.base or MISSING,
            sources[p.source],
            MISSING if p.stability is None else percent(p.stability),
            ", ".join(f"{k} {v}" for k, v in sorted(p.environment.items()) if _plain(v)),
        ]
        for p in tradeoff.profiles
    ]
    return section(
        f"{ident}-method",
        "Notes and method",
        el("ul", [el("li", note) for note in tradeoff.notes]) if tradeoff.notes else None,
        el("dl", [[el("dt", k), el("dd", v)] for k, v in facts], class_="facts"),
        el(
            "p",
            "Samples are resampled by cluster, equal draws for all variants; latencies by round "
            "and prompt. A share is how often a variant is the best that meets the limits, its "
            "lead shrunk by how much the variants differ beyond their noise.",
            class_="aside",
        ),
        details(
            "Where the runs come from",
            table(
                "Each variant's run",
                [
                    "variant",
                    "kind",
                    "strategy",
                    "base",
                    "run from",
                    "stability over prompts",
                    "environment",
                ],
                rows,
                left={0, 1, 2, 3, 4, 6},
                style="prose",
            ),
        ),
    )


def _plain(value: object) -> bool:
    return isinstance(value, str | int | float)
