"""A template that is compiled and rendered within the limits of :mod:`.work`."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from types import BuiltinMethodType, MappingProxyType, MethodType
from typing import Any

from jinja2 import StrictUndefined, TemplateError, nodes, pass_context, pass_eval_context
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro, markup_join, str_join
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from pytest_modellab.errors import ModellabError
from pytest_modellab.templates.work import CALL, NODE, SEEN, SOURCE, VALUE, TooMuch, Work

# Filters that no template can name, for it cannot write a space there.
_WEIGH = " weigh"
_ROUND = " round"
_CONCAT = " concat"


NONE: Mapping[str, Callable[..., Any]] = MappingProxyType({})


def _with_context(function: Callable[[Any], Any]) -> Callable[..., Any]:
    """Let jinja think that the context matters, so that it computes nothing while compiling."""

    @pass_context
    def called(_: Context, value: Any) -> Any:
        return function(value)

    return called


class Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, in which each value and each round of a loop is counted."""

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self, filters: Mapping[str, Callable[..., Any]] = NONE, **options: Any) -> None:
        self.work = Work()
        # Constants are not computed while compiling, where nothing is counted.
        super().__init__(optimized=False, finalize=_with_context(self.work.weigh), **options)
        self.filters.update({"random": _random, **filters})
        tables: tuple[Any, ...] = (self.filters, self.tests)
        for table in tables:
            for name, function in table.items():
                table[name] = self._metered(name, function)
        self.filters[_WEIGH] = _with_context(self.work.weigh)
        self.filters[_ROUND] = _with_context(self.work.round)
        self.filters[_CONCAT] = self._concatenate()
        del self.globals["lipsum"]  # text at random, of any length
        self.globals.update(dict=_Dict(), namespace=_Names)

    def _concatenate(self) -> Callable[..., Any]:
        @pass_eval_context
        def concatenate(context: nodes.EvalContext, items: list[Any]) -> Any:
            self.work.weigh(items)
            return self.work.weigh((markup_join if context.autoescape else str_join)(items))

        return concatenate

    def _metered(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        skipped = 1 if hasattr(function, "jinja_pass_arg") else 0

        @functools.wraps(function)
        def metered(*args: Any, **named: Any) -> Any:
            subject, *values = args[skipped:]
            if name == "join":
                subject = subject if hasattr(subject, "__len__") else list(subject)
                self.work.join((*values, *named.values()), subject)
                args = (*args[:skipped], subject, *values)
            else:
                self.work.before(name, subject, tuple(values), named)
            return self.work.weigh(function(*args, **named))

        return metered

    def call(
        __self,
        __context: Context,
        __obj: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Call something within the limits."""
        work = __self.work
        subject = getattr(__obj, "__self__", None) if isinstance(__obj, _METHODS) else None
        name = getattr(__obj, "__name__", "")
        if name == "join" and isinstance(subject, str | bytes) and args:
            items = args[0] if hasattr(args[0], "__len__") else list(args[0])
            work.join(subject, items)
            args = (items, *args[1:])
        else:
            work.before(name if subject is not None else "", subject, args, kwargs)
        return work.weigh(super().call(__context, __obj, *args, **kwargs))

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Look up ``obj.attribute``, which is counted as a call."""
        self.work.spend(CALL)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Look up ``obj[argument]``, which is counted as a call."""
        self.work.spend(CALL)
        return super().getitem(obj, argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute within the limits."""
        if operator == "+" and type(left) is str and type(right) is str:  # nearly all of them
            size = len(left) + len(right)
            if size <= VALUE:
                self.work.spend(2 * (SEEN + size))
                return left + right
        self.work.operation(operator, left, right)
        return self.work.weigh(super().call_binop(context, operator, left, right))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Let ``str.format`` make no text that is too large."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None

        def bounded(*args: Any, **named: Any) -> str:
            self.work.format_fields(value.__self__, [*args, *named.values()])
            return wrapped(*args, **named)

        return bounded


class _Dict:
    """``dict(…)`` without the methods of the class, by which a template could change messages."""

    def __call__(self, *args: Any, **named: Any) -> dict[Any, Any]:
        return dict(*args, **named)

    def fromkeys(self, keys: Iterable[Any], value: Any = None) -> dict[Any, Any]:
        return dict.fromkeys(keys, value)


class _Names(Namespace):
    """A namespace that cannot pretend to be of another class: no name begins with ``_``."""

    def __init__(*args: Any, **named: Any) -> None:
        self, *rest = args
        values = dict(*rest, **named)
        for name in values:
            _public(name)
        Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _public(name)
        Namespace.__setitem__(self, name, value)


def _public(name: Any) -> None:
    if str(name).startswith("_"):
        raise SecurityError(f"a namespace may not hold {name!r}: its name begins with '_'")


_METHODS = (BuiltinMethodType, MethodType)


class _Counting(NodeTransformer):
    """Puts in what counts: rounds of loops, and values that jinja's code would make by itself."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        cost = sum(
            len(inner.data) if isinstance(inner, nodes.TemplateData) else NODE
            for part in node.body
            for inner in (part, *part.find_all(nodes.Node))
        )
        self.generic_visit(node)
        if node.test is not None:
            node.test = _filter(_WEIGH, node.test)
        round_ = _filter(_ROUND, nodes.Const(cost, lineno=node.lineno))
        node.body.insert(0, nodes.ExprStmt(round_, lineno=node.lineno))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _filter(_CONCAT, nodes.List(node.nodes, lineno=node.lineno))

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        node.expr = _filter(_WEIGH, node.expr)
        for operand in node.ops:
            operand.expr = _filter(_WEIGH, operand.expr)
        return node

    def visit_List(self, node: nodes.Node) -> nodes.Node:
        self.generic_visit(node)
        return _filter(_WEIGH, node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        return self.visit_List(node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        return self.visit_List(node) if node.ctx == "load" else self.generic_visit(node)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        cut = isinstance(node.arg, nodes.Slice)
        self.generic_visit(node)
        return _filter(_WEIGH, node) if cut else node


def _filter(name: str, node: nodes.Node) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


class Template:
    """A template of others, compiled.

    Args:
        source: its text.
        name: begins each message, for example ``"prompt: x.jinja"``.
        error: raised for whatever goes wrong in it.
        environment: what it may use.

    Raises:
        ModellabError: of the kind ``error``; it cannot be compiled, or is too long.
    """

    def __init__(
        self, source: str, name: str, error: type[ModellabError], environment: Environment
    ) -> None:
        self._name, self._error, self._environment = name, error, environment
        with self._told():
            if len(source) > SOURCE:
                raise TooMuch(f"has {len(source):,} characters, {SOURCE:,} are allowed: shorten it")
            tree = environment.parse(source)
            self._compiled = environment.from_string(_Counting().visit(tree))

    def __contains__(self, block: str) -> bool:
        return block in self._compiled.blocks

    def render(self, **values: Any) -> str:
        """Render the whole template.

        Raises:
            ModellabError: of the template's kind.
        """
        return self._joined(lambda: self._compiled.generate(**values))

    def block(self, block: str, **values: Any) -> str:
        """Render a block.

        Raises:
            ModellabError: of the template's kind.
        """
        context = self._compiled.new_context(values)
        return self._joined(lambda: self._compiled.blocks[block](context))

    def _joined(self, pieces: Callable[[], Iterable[str]]) -> str:
        found: list[str] = []
        with self._told():
            self._environment.work.begin()
            size = 0
            for piece in pieces():
                size += len(piece)
                if size > VALUE:
                    raise TooMuch(f"writes more than {VALUE:,} characters: shorten what it writes")
                found.append(piece)
        return "".join(found)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Tell what goes wrong as the template's error."""
        try:
            yield
        except TooMuch as error:
            raise self._error(f"{self._name}: {error}") from error
        except RecursionError as error:
            raise self._error(
                f"{self._name}: is nested too deeply, or calls itself without an end"
            ) from error
        except Exception as error:
            raise self._error(f"{self._name}: {type(error).__name__}: {error}") from error


def prompt(source: str, name: str, error: type[ModellabError]) -> Template:
    """Compile a prompt file: what it does not know is an error."""
    return Template(source, name, error, Environment(undefined=StrictUndefined))


def chat(source: str, name: str, error: type[ModellabError]) -> Template:
    """Compile a model's chat template, with what transformers gives to it."""
    environment = Environment(
        {"tojson": _to_json},
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_Generation, loopcontrols],
    )
    environment.globals.update(raise_exception=_raise, strftime_now=clock(""))
    return Template(source, name, error, environment)


class _Generation(Extension):
    """``{% generation %}``: marks the model's own words for training; here, its body."""

    tags = {"generation"}  # noqa: RUF012 - as jinja declares it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: Macro) -> str:
        return str(caller())


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def clock(day: str) -> Callable[[str], str]:
    """What a chat template asks for the time, ``strftime_now``.

    Args:
        day: as ``2026-11-29``, on which it is noon; empty for the time that it is.
    """

    def strftime_now(format_: str) -> str:
        # without a time zone, as transformers has it
        time = datetime.fromisoformat(f"{day}T12:00") if day else datetime.now()  # noqa: DTZ005
        return time.strftime(format_)

    return strftime_now


def _random(_: Any) -> None:
    raise TemplateError("'random' writes another text each time; take it out: prompts stay equal")


def _raise(message: str) -> None:
    raise TemplateError(message)
