"""The trade-off in words: for a terminal, a pipe, and a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_modellab.reports import measured
from pytest_modellab.reports.text.table import escape, markdown_table, measured_markdown
from pytest_modellab.reports.words import both, listed, number, plural
from pytest_modellab.tradeoff.decision import Choice, Miss, Turn
from pytest_modellab.tradeoff.figures import SUCCESS, BreakEven, Delta, Profile, TradeOff
from pytest_modellab.visible import line

LEGEND = (
    "{2}: mean {3} ± one standard error; cost: dollars for 1,000 requests; latency: median "
    "and 95th percentile {0}, one request at a time; memory: weights as held{1}; worst: "
    "lowest bucket; risk: docs/compare.md"
)


NOTHING = "–"


IN_THE_RUN = " in its run"
"""Said of a query's time in the run itself, beside the one that was measured in turns."""


_SEVERITY = {None: 0, "pass": 1, "inconclusive": 2, "block": 3}


_LIMIT_WORDS = {
    "quality": "{1} {0}",
    "worst_bucket": "worst bucket {0}",
    "forgetting": "capabilities lost: {0}",
    "churn": "churn {0}",
    "cost": "cost ${0}",
    "latency": "p95 latency {0} s",
    "memory": "memory {0} GB",
    "risk": "risk {0}",
    "real_time_factor": "real-time factor {0}",
    "wer": "word error rate {0}",
    "cer": "character error rate {0}",
}


def lines(tradeoff: TradeOff) -> list[str]:
    """The report as plain lines: one a variant, the deltas, the recommendation.

    Args:
        tradeoff: the report.

    Returns:
        Lines without line ends; nothing in a name or note can begin another line.
    """
    found = unlike(tradeoff)
    for profile in tradeoff.profiles:
        found.append(line(variant_line(profile, tradeoff.metric)))
        if (words := measured.search_words(profile, IN_THE_RUN)) is not None:
            found.append(f"  {words}")
        if (words := measured.index_words(profile)) is not None:
            found.append(line(f"  index: {words}"))
        if (words := measured.media_words(profile)) is not None:
            found.append(f"  {words}")
    return [*found, *conclusions(tradeoff)]


def unlike(tradeoff: TradeOff) -> list[str]:
    """Where a variant's media are not prepared as another's; told before any score."""
    return [line(f"{p.variant}: {one}") for p in tradeoff.profiles for one in p.preprocessing]


def further(tradeoff: TradeOff) -> list[str]:
    """Metrics, index, speed of a search and of media as lines, to stand below :func:`table`."""
    found = []
    for profile in tradeoff.profiles:
        metrics = measured.in_line(profile, profile.success.value)
        parts = [*metrics, *measured.figures(profile, IN_THE_RUN)]
        if parts:
            found.append(line("  ".join([profile.variant, *parts])))
        if (words := measured.index_words(profile)) is not None:
            found.append(line(f"  index: {words}"))
        if (words := measured.media_words(profile)) is not None:
            found.append(line(f"{profile.variant} {words}"))
    return found


def conclusions(tradeoff: TradeOff) -> list[str]:
    """What follows from the variants' figures: deltas, recommendation, notes."""
    found = []
    if tradeoff.deltas:
        found += ["", line(f"against {tradeoff.reference}:")]
        found += [line(f"  {delta_line(delta)}") for delta in tradeoff.deltas]
    found += [line(f"  {break_even(one)}") for one in tradeoff.break_even]
    found += ["", line(f"[Recommendation] {recommendation(tradeoff)}")]
    for choice in tradeoff.choices:
        found.append(line(f"  {choice.scenario.name}: {reason(tradeoff, choice)}"))
        found += [line(f"    {turn_words(turn)}") for turn in choice.turns]
    found += [line(f"note: {note}") for note in tradeoff.notes]
    return [*found, "", legend(tradeoff)]


def legend(tradeoff: TradeOff) -> str:
    """What the figures are."""
    index = any(measured.index_bytes(profile) is not None for profile in tradeoff.profiles)
    return LEGEND.format(
        measured.until(tradeoff.profiles, generates=tradeoff.generates),
        ", the index beside it" if index else "",
        tradeoff.quality,
        "of the samples" if tradeoff.metric else "score",
    )


def variant_line(profile: Profile, metric: str | None = None) -> str:
    """``[Prompted] prompting success=0.81 ±0.03 cost=$0.014 latency=1.1s (p95 1.9s) …``."""
    parts = [f"[{profile.kind.capitalize()}] {profile.variant}"]
    parts.append(measured.success_words(profile, profile.success.value, profile.stderr, metric))
    parts += measured.in_line(profile, profile.success.value)
    if profile.cost is not None:
        parts.append(f"cost={dollars(profile.cost.serving.value)}")
    if profile.latency is not None:
        p50, p95 = profile.latency.p50.value, profile.latency.p95.value
        parts.append(f"latency={seconds(p50)} (p95 {seconds(p95)})")
    if profile.memory is not None:
        parts.append(measured.memory_words(profile.memory.held))
    parts.append(f"worst={profile.worst.name} {profile.worst.mean:.2f}")
    parts.append(f"risk={profile.risk.level}")
    return " ".join(parts)


def delta_line(delta: Delta) -> str:
    """``nf4 success BLOCK the mean score fell from …``."""
    words, verdict = delta.words, delta.verdict
    if verdict is not None:
        words = words.partition(": ")[2] or words
    return f"{delta.variant} {delta.what} {(verdict or 'not judged').upper()}: {words}"


def recommendation(tradeoff: TradeOff) -> str:
    """``choose support for smb_saas, prompting for prototype``: all scenarios in one sentence."""
    chosen: dict[str, list[str]] = {}
    tied, refused = [], []
    for choice in tradeoff.choices:
        name = choice.scenario.name
        if choice.verdict == "choose":
            chosen.setdefault(choice.variants[0], []).append(name)
        elif choice.verdict == "tie":
            tied.append(f"{either(choice.variants)} for {name} (a tie)")
        else:
            refused.append(f"nothing for {name}")
    parts = [f"{variant} for {both(names)}" for variant, names in chosen.items()]
    parts += tied
    words = ", ".join(parts)
    sentence = f"choose {words}" if words else "no choice"
    return f"{sentence}; {', '.join(refused)}" if refused else sentence


def either(names: Sequence[str], most: int = 4) -> str:
    """``a``, ``a or b``, ``a, b or c``; of many the first ones."""
    if len(names) > most:
        return f"{', '.join(names[:most])} or {len(names) - most} more"
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def reason(tradeoff: TradeOff, choice: Choice) -> str:
    """Why, and how sure, in one sentence.

    Args:
        tradeoff: the report.
        choice: one of its choices.
    """
    first = choice.variants[0]
    shares = _share_words(choice, tradeoff.resamples)
    unmeasured = ""
    if choice.unmeasured:
        unmeasured = f" (without {listed(choice.unmeasured)}, which not every variant has)"
    if choice.verdict == "none":
        misses = "; ".join(miss_words(m, tradeoff.quality) for m in choice.misses[first])
        return f"no variant meets the limits; {first} comes nearest: {misses}{unmeasured}"
    gains = gain_words(tradeoff, first)
    blocked = [
        f"{d.variant} ({d.what})"
        for d in tradeoff.deltas
        if d.verdict == "block" and d.variant in choice.variants
    ]
    unmeasured += (
        f"; against {tradeoff.reference} the gate blocks {listed(blocked)}" if blocked else ""
    )
    if choice.verdict == "choose" and (unsettled := tradeoff.unsettled(first)):
        unmeasured += f"; whether it is worse in {both(unsettled)} is open"
    if choice.verdict == "tie":
        why = "take the first, unless something else speaks for another"
        if first == tradeoff.reference:
            why = f"stay with {first}: no change is shown to gain"
        return f"tie between {both(choice.variants)}; {why}; {shares}{unmeasured}"
    if first == tradeoff.reference:
        return f"{first}: nothing else gains enough; {shares}{unmeasured}"
    return f"{first}: {gains} against {tradeoff.reference}; {shares}{unmeasured}"


def gain_words(tradeoff: TradeOff, variant: str) -> str:
    """``success +0.46, cost x1.1, latency x0.8, memory x0.3, risk -0.05``."""
    own, base = tradeoff.profile(variant), tradeoff.profile(tradeoff.reference)
    parts = [f"{tradeoff.quality} {_change(own.success.value - base.success.value)}"]
    if own.cost is not None and base.cost is not None and base.cost.serving.value > 0:
        parts.append(f"cost {_times(own.cost.serving.value / base.cost.serving.value)}")
    if own.latency is not None and base.latency is not None:
        parts.append(f"latency {_times(own.latency.p50.value / base.latency.p50.value)}")
    if own.memory is not None and base.memory is not None and base.memory.held > 0:
        ratio = own.memory.held / base.memory.held
        parts.append(f"memory {_times(ratio)}" if ratio else "no weights")
    parts.append(f"risk {_change(own.risk.value.value - base.risk.value.value)}")
    return ", ".join(parts)


def _change(value: float) -> str:
    """A difference with its sign: ``+0.46``, ``0.00``."""
    text = f"{value:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text


def _times(ratio: float) -> str:
    """``x1.10``, ``x0.0093``."""
    return f"x{ratio:.2f}" if ratio >= 0.1 else f"x{measured.short(ratio)}"


def miss_words(miss: Miss, quality: str = SUCCESS) -> str:
    """``worst bucket 0.32, at least 0.50 is asked``."""
    if miss.value is None:
        return f"{miss.limit.replace('_', ' ')} not measured, though limited"
    words = _LIMIT_WORDS[miss.limit].format(number(miss.value), quality)
    bound = "at least" if miss.limit in ("quality", "worst_bucket") else "at most"
    return f"{words}, {bound} {number(miss.allowed)} is allowed"


def turn_words(turn: Turn) -> str:
    """What would have to change for another choice."""
    if turn.what == "limit":
        return (
            f"with a limit of {number(turn.then)} on {turn.name} instead of {number(turn.now)} "
            f"it would be {turn.variant}"
        )
    return (
        f"with a weight of {turn.then:.2f} for {turn.name} instead of {turn.now:.2f} "
        f"it would be {turn.variant}"
    )


def break_even(one: BreakEven) -> str:
    """From how many requests on the training has paid."""
    return (
        f"{one.variant} has cost less than {one.other} from {one.requests:,} requests on "
        "(training included)"
    )


def matrix(tradeoff: TradeOff) -> tuple[list[str], list[list[str]]]:
    """Strategies × scenarios: each strategy's best variant, and how often it is chosen.

    Returns:
        Column names, and one row a strategy.
    """
    rows = []
    for strategy in tradeoff.strategies:
        names = [p.variant for p in tradeoff.profiles if p.strategy == strategy]
        cells = [_cell(choice, names, tradeoff.quality) for choice in tradeoff.choices]
        rows.append([strategy, *cells])
    return ["strategy", *(choice.scenario.name for choice in tradeoff.choices)], rows


def markdown(tradeoff: TradeOff) -> str:
    """The report for a pull request or a test's description; the recommendation first.

    Args:
        tradeoff: the report.

    Returns:
        GitHub-flavoured Markdown that fits a screen; the deltas are folded away.
    """
    name = f"{tradeoff.task_set['name']} {tradeoff.task_set['version']}"
    parts = [f"### Recommendation: {escape(recommendation(tradeoff))}", ""]
    if changed := unlike(tradeoff):
        parts += [*(f"- **{escape(one)}**" for one in changed), ""]
    for choice in tradeoff.choices:
        title = f"{choice.scenario.name} ({choice.scenario.title})"
        parts.append(f"- **{escape(title)}**: {escape(reason(tradeoff, choice))}")
        parts += [f"  - {escape(turn_words(turn))}" for turn in choice.turns]
    head, rows = table(tradeoff)
    cells = [[escape(cell) for cell in row] for row in rows]
    parts += ["", f"{escape(name)}, against {escape(tradeoff.reference)}:", ""]
    parts += markdown_table([escape(h) for h in head], cells, right=set(range(1, 6)))
    parts += measured_markdown([(p.variant, p) for p in tradeoff.profiles])
    head, rows = matrix(tradeoff)
    parts += ["", *markdown_table([escape(h) for h in head], _escaped(rows), right=set())]
    if tradeoff.deltas:
        summary = f"<summary>{plural(len(tradeoff.deltas), 'comparison')}</summary>"
        found = [f"- {escape(delta_line(delta))}" for delta in tradeoff.deltas]
        found += [f"- {escape(break_even(one))}" for one in tradeoff.break_even]
        parts += ["", "<details>", summary, "", *found, "", "</details>"]
    parts += [f"\n<sub>note: {escape(note)}</sub>" for note in tradeoff.notes]
    parts += ["", f"<sub>{escape(legend(tradeoff))}</sub>"]
    return "\n".join(parts) + "\n"


def table(tradeoff: TradeOff) -> tuple[list[str], list[list[str]]]:
    """Column names, and one row a variant, as unescaped text."""
    success = measured.success_title(
        ((p, p.success.value) for p in tradeoff.profiles), tradeoff.metric
    )
    head = ["variant", success, "cost", "latency (p95)", "memory", "worst bucket", "risk"]
    verdicts: dict[tuple[str, str], str | None] = {}
    for delta in sorted(tradeoff.deltas, key=lambda d: _SEVERITY[d.verdict]):
        verdicts[delta.variant, delta.what] = delta.verdict
    judged = [w for w in (tradeoff.quality, "forgetting", "latency") if _any(tradeoff, w)]
    rows = []
    for profile in tradeoff.profiles:
        own = [
            NOTHING
            if profile.variant == tradeoff.reference
            else (verdicts.get((profile.variant, what)) or "not judged")
            for what in judged
        ]
        latency = NOTHING
        if profile.latency is not None:
            p50, p95 = profile.latency.p50.value, profile.latency.p95.value
            latency = f"{seconds(p50)} ({seconds(p95)})"
        rows.append(
            [
                f"{profile.variant}{' *' if profile.pareto else ''}",
                f"{profile.success.value:.2f} ± {profile.stderr:.2f}",
                NOTHING if profile.cost is None else dollars(profile.cost.serving.value),
                latency,
                NOTHING if profile.memory is None else measured.gigabytes(profile.memory.held),
                f"{profile.worst.mean:.2f} {profile.worst.name}",
                f"{profile.risk.level} {profile.risk.value.value:.2f}",
                *own,
            ]
        )
    return [*head, *(f"{what} verdict" for what in judged)], rows


def dollars(value: float) -> str:
    """At least two significant digits: ``$0.0040``, ``$0.014``, ``$1.20``."""
    if value >= 0.1 or value == 0:
        return f"${value:.2f}"
    return f"${measured.short(value)}"


def seconds(value: float) -> str:
    """``0.083ms``, ``45ms``, ``0.62s``, ``12s``."""
    if value < 0.0095:
        return f"{measured.short(1000 * value)}ms"
    if value < 0.0995:
        return f"{1000 * value:.0f}ms"
    return f"{value:.2f}s" if value < 1 else f"{value:.1f}s" if value < 10 else f"{value:.0f}s"


def _share_words(choice: Choice, resamples: int) -> str:
    """``best in 87 % of 2,000 resamples, prompting in 13 %``."""
    order = sorted(choice.shares.items(), key=lambda pair: (-pair[1], pair[0]))
    first = choice.variants[0]
    rest = [(name, share) for name, share in order if name != first and share >= 0.005][:3]
    words = [f"best in {choice.shares[first]:.0%} of {resamples:,} resamples"]
    words += [f"{name or 'none'} in {share:.0%}" for name, share in rest]
    return ", ".join(words)


def _any(tradeoff: TradeOff, what: str) -> bool:
    return any(delta.what == what for delta in tradeoff.deltas)


def _escaped(rows: Iterable[Sequence[str]]) -> list[list[str]]:
    return [[escape(cell) for cell in row] for row in rows]


def _cell(choice: Choice, names: Sequence[str], quality: str) -> str:
    able = [name for name in names if not choice.misses[name]]
    if not able:
        nearest = max(names, key=lambda n: (choice.shares[n], choice.steps[n]["total"], n))
        return f"out: {nearest} {miss_words(choice.misses[nearest][0], quality)}"
    best = max(able, key=lambda n: (choice.shares[n], choice.steps[n]["total"], n))
    share = sum(choice.shares[name] for name in able)
    mark = ""
    if best in choice.variants:
        mark = {"choose": "CHOOSE ", "tie": "tie: "}.get(choice.verdict, "")
    return f"{mark}{best} {share:.0%}"
