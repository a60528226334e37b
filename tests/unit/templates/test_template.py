"""Templates of others: what is plain is rendered as jinja does, what is endless or huge is told."""

from __future__ import annotations

import hangs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from pytest_modellab.errors import ConfigError
from pytest_modellab.templates import template, work

VALUE = "x.jinja: makes a value of more than 10,000,000 characters"
WORK = "x.jinja: does more than 200,000,000 units of work"
NUMBER = "x.jinja: makes a whole number of more than 60 bits"
DEEP = "x.jinja: is nested too deeply, or calls itself without an end"
WIDTH = "x.jinja: takes a width from a value"
LOOPS = "{{% for x in range(99999) %}}{{% for y in range(99999) %}}{}{{% endfor %}}{{% endfor %}}"
TWICE = (
    "{% set n = namespace(x=X) %}{% for i in range(99) %}{% set n.x = MORE %}{% endfor %}{{ n.x }}"
)


def rendered(source: str, **values: object) -> str:
    return template.prompt(source, "x.jinja", ConfigError).render(**values)


@pytest.mark.parametrize(
    ("source", "told"),
    {
        # case 09
        "{% for x in range(99999) %}{% for y in range(99999) %}{% endfor %}{% endfor %}": WORK,
        "{{ 'a' * (10**10) }}": VALUE,
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}": DEEP,
        # loops that show nothing
        "{% for x in range(99999) if range(99999)|select('lt', 0)|list %}{% endfor %}": WORK,
        "{% for x in range(99999) %}{{ range(99999)|reject('ge', 0)|list }}{% endfor %}": WORK,
        "{% for x in range(99999) %}{% set _ = 'a' * 999999 == 'b' %}{% endfor %}": WORK,
        "{% set x %}{% for x in range(99999) %}" + "z" * 50_000 + "{% endfor %}{% endset %}": WORK,
        "{% for x in range(99999) %}" + "z" * 50_000 + "{% endfor %}": "x.jinja: writes more than",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}"
        : WORK,
        "{% for x in range(9) recursive %}{{ loop(range(9)) }}{% endfor %}": DEEP,
        # what looks cheap, in loops
        "{% set n = namespace() %}{% set n.s = n %}"
        + LOOPS.format("{% if n" + ".s" * 30 + " %}{% endif %}"): WORK,
        LOOPS.format("{% if loop.first %}{% endif %}" * 50): WORK,
        LOOPS.format("{% if values['a'] is defined %}{% endif %}" * 50): WORK,
        "{% set n = namespace() %}" + LOOPS.format("{% set n.a = x %}" * 50): WORK,
        LOOPS.format("{{ '' if x else '' }}" * 50): WORK,
        LOOPS.format("{{ values|length }}"): WORK,
        # values that grow
        TWICE.replace("X", "'a'").replace("MORE", "n.x ~ n.x"): VALUE,
        TWICE.replace("X", "'a'").replace("MORE", "n.x + n.x"): VALUE,
        TWICE.replace("X", "[1]").replace("MORE", "[n.x, n.x]"): VALUE,
        TWICE.replace("X", "[1]").replace("MORE", "(n.x, n.x)"): VALUE,
        TWICE.replace("X", "[1]").replace("MORE", "{'a': n.x, 'b': n.x}"): VALUE,
        TWICE.replace("X", "9").replace("MORE", "n.x * n.x"): NUMBER,
        "{{ 2 ** (10**10) }}": NUMBER,
        "{{ 'a'|center(10**9) }}": VALUE,
        "{{ 'a'.center(10**9) }}": VALUE,
        "{{ 'a'.ljust(width=10**9) }}": VALUE,
        "{{ 'a'|indent(10**9) }}": VALUE,
        "{{ 'a'.expandtabs(10**9) }}": VALUE,
        "{{ [1]|tojson(indent=10**9) }}": VALUE,
        "{{ [1]|slice(10**9)|list }}": VALUE,
        "{{ [1]|batch(10**9, 0)|list }}": VALUE,
        "{{ 1|round(-10**9) }}": VALUE,
        "{{ (1).to_bytes(10**10, 'big') }}": VALUE,
        "{{ '%1000000000d' % 1 }}": VALUE,
        "{{ '%1000000000d'|format(1) }}": VALUE,
        "{{ '{:1000000000}'.format(1) }}": VALUE,
        "{{ '%*d' % (10**9, 1) }}": WIDTH,
        "{{ '{:{}}'.format(1, 10**9) }}": WIDTH,
        "{{ ('%(a)s' * 9999) % {'a': 'b' * 9999} }}": VALUE,
        "{{ ('{a}' * 9999).format_map({'a': 'b' * 9999}) }}": VALUE,
        "{{ ('a' * 9999)|replace('a', 'b' * 9999) }}": VALUE,
        "{{ ('a' * 9999).replace('', 'b' * 9999) }}": VALUE,
        "{{ range(9999)|join('b' * 9999) }}": VALUE,
        "{{ ('b' * 9999).join(range(9999)|map('string')) }}": VALUE,
        "{{ ('a' * 9999).translate({97: 'b' * 9999}) }}": VALUE,
        "{{ {}.fromkeys(range(9999), 'b' * 9999) }}": VALUE,
        "{{ range(99999)|map('center', 9999)|join }}": WORK,
        # what takes longer than it is long
        "{{ ('a' * 9999999)|sort }}": VALUE,
        "{{ ('a' * 9999999)|groupby('a') }}": VALUE,
        "{{ ('a b<' * 2000000)|urlize }}": WORK,
        "{{ ('a' * 999999).rfind('ab' ~ 'a' * 99999) }}": WORK,
        "{{ ('a' * 999999).strip('b' * 99999 ~ 'a') }}": WORK,
        "{{ ('a' * 999999)|wordwrap(1) }}": WORK,
        "{{ range(0, 2**40 * 2**40, 2**60)|unique|list }}": NUMBER,
        "{{ [1]|map(attribute='a.' * 99)|list }}": "x.jinja: gives map an attribute of more",
        # the source
        "x" * 100_001: "x.jinja: has 100,001 characters, 100,000 are allowed: shorten it",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}": DEEP,
        "{{ " + "not " * 5000 + "1 }}": DEEP,
        "{{ 1" + "+1" * 20_000 + " }}": DEEP,
        "{% if 1 %}" * 1000 + "{% endif %}" * 1000: DEEP,
        # the sandbox
        "{{ ''.__class__ }}": "x.jinja: SecurityError: access to attribute '__class__'",
        "{{ [].append(1) }}": "x.jinja: SecurityError: access to attribute 'append'",
        "{{ dict.update(values, a=1) }}": "x.jinja: UndefinedError: ",
        "{{ namespace(__class__='x') }}": "x.jinja: SecurityError: a namespace may not hold",
        "{{ lipsum() }}": "x.jinja: UndefinedError: 'lipsum' is undefined",
        "{% include 'x' %}": "x.jinja: TypeError: no loader",
    }.items(),
    ids=lambda text: text[:40],
)  # fmt: skip
def test_limits(source: str, told: str) -> None:
    with hangs.ends():
        with pytest.raises(ConfigError) as caught:
            rendered(source, values={})
        assert str(caught.value).startswith(told)


PLAIN = """\
{%- macro turn(who, said='nothing') %}<{{ who }}>{{ said|trim }}
{% if caller is defined %}{{ caller() }}{% endif %}{% endmacro -%}
{% set all = namespace(n=0, words=[]) %}
{% for x in items if (x is not none) recursive %}
{{ loop.index }}/{{ loop.length }} {{ loop.last }} {{ x ~ '!' ~ 1.50 }} {{ x == 'b' or x in 'abc' }}
{% set all.n = all.n + 2 ** loop.index0 %}{% set all.words = all.words + [x] %}
{% else %}none{% endfor %}
{{ turn('a', ' b ') }}{% call turn('c') %}: {{ items[1:] }}{% endcall %}
{{ all.n }} {{ all.words }} {{ (1, 'x') }} {{ {'a': [1, {'b': none}]} }}
{{ items|map('string')|map('upper')|join(', ') }}
{{ '%-5s|%03d' % ('x', 7) }} {{ '{:>6.2f}|{a}'.format(3.14159, a=items) }} {{ '%s'|format('y') }}
{{ items|batch(2, '-')|list }} {{ items|select('ne', 'b')|list }} {{ items|reverse|list }}
{{ 'a\nb'|indent(2, true) }} {{ 'ab'|center(6) }}. {{ {'b': 1, 'a': '<'}|tojson }}
{{ 3.7|round|int }} {{ 7 // 2 }}
{{ items|first }} {{ missing|default('-') }} {{ rows|groupby('k')|list }} {{ rows|sum('v') }}
{{ 1 < 2 < 3 }}
{% filter upper %}up {{ text }}{% endfilter %}{% set block %}<{{ text }}>{% endset %}{{ block * 2 }}
{% autoescape true %}{{ '<' ~ block }}{{ text|safe ~ '<' }}{% endautoescape %}
{{ dict(a=1) }} {{ -(items|length) }}
"""


def test_what_is_plain_is_as_jinja_writes_it() -> None:
    values = {
        "items": ("a", None, "b", "ü\u2028"),
        "rows": [{"k": 1, "v": 2}, {"k": 1, "v": 3}],
        "text": "x" * 100_000,
    }
    plain = SandboxedEnvironment(undefined=StrictUndefined).from_string(PLAIN).render(**values)
    assert rendered(PLAIN, **values) == plain


def test_the_count_is_the_templates_and_no_clocks() -> None:
    """The same number of rounds is allowed every time, whatever was rendered before."""
    loop = template.prompt("{% for x in range(n) %}{% endfor %}", "x.jinja", ConfigError)
    source = "{% for x in range(99) %}{% for y in range(n) %}{% endfor %}{% endfor %}"
    nested = template.prompt(source, "x.jinja", ConfigError)
    for _ in range(2):
        loop.render(n=99_999)
        with pytest.raises(ConfigError, match="units of work"):
            nested.render(n=99_999)


def test_large_inputs_are_rendered() -> None:
    """A million characters, looked at as chat templates do."""
    source = (
        "{% if '</think>' in x %}{{ x.split('</think>')[-1].lstrip('\\n') }}{% endif %}{{ x|trim }}"
    )
    text = "<think>\n</think>\n" + "word " * 200_000
    assert len(rendered(source, x=text)) > 1_900_000


def test_many_long_messages_are_counted_and_not_read_every_round() -> None:
    """As Qwen3's template asks in each round how many there are."""
    source = "{% for m in messages %}{% if loop.index0 == messages|length - 1 %}{{ m }}{% endif %}"
    assert rendered(source + "{% endfor %}", messages=["x" * 500] * 9_999) == "x" * 500


def test_items_that_are_made_one_by_one_are_counted() -> None:
    counted = work.Work()
    items = counted.weigh(x for x in ["a" * work.VALUE, "b" * work.VALUE * 2])
    assert len(next(items)) == work.VALUE
    with pytest.raises(work.TooMuch, match="makes a value"):
        next(items)


class Text(str):
    """A text that takes the usual way."""


@given(st.text(max_size=80), st.text(max_size=80))
def test_the_short_ways_count_the_same_work(left: str, right: str) -> None:
    def spent(one: str, other: str) -> tuple[int, str]:
        environment = template.Environment()
        context = environment.from_string("").new_context()
        made = environment.call_binop(context, "+", environment.work.weigh(one), other)
        return environment.work._left, made

    assert spent(left, right) == spent(Text(left), Text(right))
