"""Prompt files: how a sample becomes chat messages."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_modellab.errors import ConfigError
from pytest_modellab.records.hashing import digest
from pytest_modellab.scorers import in_words
from pytest_modellab.store import checkout


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A Jinja template with a block for each role, and worked examples.

    Attributes:
        template: source with ``{% block system %}`` (may be missing) and ``{% block user %}``,
            which sees ``input`` and ``passages`` (empty without a search).
        shots: ``(input, reply)`` pairs, shown as earlier turns of the chat.
        options: of each example its options, of which the reply is one, or none; empty where no
            example has any. They are shown where multiple choice is asked in words.
        name: begins the messages of errors; no part of what the prompt is.
    """

    template: str
    shots: tuple[tuple[str, str], ...] = ()
    name: str = dataclasses.field(default="prompt", compare=False)
    options: tuple[tuple[str, ...], ...] = ()

    @functools.cached_property
    def hash(self) -> str:
        """sha256 of template and examples, 16 hex digits."""
        options = [self.options] if self.options else []
        return digest([self.template, self.shots, *options])[:16]

    @functools.cached_property
    def in_words(self) -> Prompt:
        """The prompt for multiple choice that is asked in words: so are its examples."""
        if not self.options:
            return self
        shots = (
            in_words.example(asked, options, reply) if options else (asked, reply)
            for (asked, reply), options in zip(self.shots, self.options, strict=True)
        )
        return dataclasses.replace(self, shots=tuple(shots), options=())

    def messages(self, input_: str, passages: Sequence[str] = ()) -> list[dict[str, str]]:
        """Return the chat for one sample, ready for the model's reply.

        Args:
            input_: the sample's input.
            passages: what a search found for it.

        Returns:
            Messages with ``role`` and ``content``; examples come before the sample.

        Raises:
            ConfigError: the template is wrong, or reaches a limit of :mod:`.templates.work`.
        """
        before = map(dict, self._before)
        _, user = _blocks(self.template, self.name)
        return [*before, {"role": "user", "content": user(input_, passages)}]

    @functools.cached_property
    def _before(self) -> tuple[dict[str, str], ...]:
        """What stands before a sample's own message: the same for all of them."""
        system, user = _blocks(self.template, self.name)
        chat = [{"role": "system", "content": system}] if system else []
        for question, reply in self.shots:
            chat.append({"role": "user", "content": user(question)})
            chat.append({"role": "assistant", "content": reply})
        return tuple(chat)


@functools.cache
def _blocks(source: str, name: str) -> tuple[str, Callable[..., str]]:
    """Compile a template: ``(system text, input and passages → user text)``."""
    from pytest_modellab.templates import template

    compiled = template.prompt(source, name, ConfigError)

    def render(block: str, **values: object) -> str:
        return compiled.block(block, **values).strip() if block in compiled else ""

    def user(input_: str, passages: Sequence[str] = ()) -> str:
        return render("user", input=input_, passages=tuple(passages))

    return render("system"), user


def read(path: Path, shots: Path | None = None, n_shots: int | None = None) -> Prompt:
    """Read a prompt file and its examples.

    Args:
        path: a Jinja template.
        shots: JSON lines with ``input``, ``reply`` and, of multiple choice that may be asked in
            words, ``choices``; or None for zero-shot.
        n_shots: how many of them to show, from the first; None for all.

    Returns:
        The prompt.

    Raises:
        ConfigError: a file is missing or malformed; the message begins with the option's name.
    """
    try:
        prompt = Prompt(checkout.read(path), name=f"prompt: {path}")
    except OSError as error:
        raise ConfigError(f"prompt: {path}: cannot be read: {error.strerror}") from error
    except checkout.Unready as error:
        raise ConfigError(f"prompt: {path}: {error}") from error
    if not prompt.messages("probe")[-1]["content"]:
        raise ConfigError(f"prompt: {path}: has no {{% block user %}}, or it is empty")
    if shots is None:
        if n_shots is not None:
            raise ConfigError("n_shots: needs 'shots', a file of examples")
        return prompt
    examples, options = list[tuple[str, str]](), list[tuple[str, ...]]()
    try:
        lines = checkout.read(shots).split("\n")
    except OSError as error:
        raise ConfigError(f"shots: {shots}: cannot be read: {error.strerror}") from error
    except checkout.Unready as error:
        raise ConfigError(f"shots: {shots}: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            examples.append((str(data["input"]), str(data["reply"])))
            given = data.get("choices") or []
            options.append(tuple(given) if isinstance(given, list) else (given,))
        except (AttributeError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise ConfigError(
                f'shots: {shots}:{number}: expected {{"input": …, "reply": …}}: {error}'
            ) from error
        if options[-1] and not _fit(options[-1], examples[-1][1]):
            raise ConfigError(
                f"shots: {shots}:{number}: choices: expected 2 to {len(in_words.LETTERS)} texts, "
                "no two of them equal, of which the reply is one"
            )
    if not examples:
        raise ConfigError(f"shots: {shots}: holds no example")
    if n_shots is not None and not 0 < n_shots <= len(examples):
        raise ConfigError(f"n_shots: {n_shots} examples asked for, {shots} has {len(examples)}")
    shown = tuple(options[:n_shots])
    return dataclasses.replace(
        prompt, shots=tuple(examples[:n_shots]), options=shown if any(shown) else ()
    )


def _fit(options: Sequence[object], reply: str) -> bool:
    """Whether an example's options can be lettered, and its reply is one of them."""
    texts = [one for one in options if isinstance(one, str) and one]
    different = len(set(texts)) == len(options)
    return different and 2 <= len(texts) <= len(in_words.LETTERS) and reply in texts
