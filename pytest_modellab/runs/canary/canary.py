"""Asks a server a few requests, and gathers what they show."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_modellab.endpoints import replies, served
from pytest_modellab.endpoints.client import Client
from pytest_modellab.endpoints.replies import Reply
from pytest_modellab.engines.language import likelihoods as engine
from pytest_modellab.errors import EndpointError, near_misses
from pytest_modellab.records.canary import Canary, Finding, Noise, Unchecked
from pytest_modellab.runs.canary import adapters, identity, likelihoods, repeats, texts
from pytest_modellab.runs.canary import reference as references
from pytest_modellab.runs.canary.reference import Messages, Reference
from pytest_modellab.visible import line

LONG = 10
"""Tokens of a reply that is cut off."""

DRAWN = 8
"""Tokens of a reply that is drawn."""

DRAWS = 8
"""Replies that are drawn, each with a seed of its own."""

TOP, FEW = 20, 5
"""Log-probabilities at each place of a chat and of a completion; OpenAI gives no more."""

TIMES = 5
"""How often one request is asked alone, and as often among others."""

TRAINED = 16
"""Tokens of a reply of an adapter, and of its base."""

WORDS = 24
"""Words by which one system prompt is longer than another."""

STORY = ({"role": "user", "content": "Tell me a story."},)

CONVERSATIONS: tuple[Messages, ...] = (
    ({"role": "user", "content": "Hi"},),
    ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}),
    (
        {"role": "system", "content": "You are a pirate, and you say so."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Ahoy!"},
        {"role": "user", "content": "Who are you?"},
    ),
)

OTHERS = ("Count to ten.", "Name a colour.", "What is a verb?")

PLAIN = "The capital of France is"

_NO_LOGPROBS = "the server tells no log-probabilities of a reply"

_WAYS: Mapping[served.Software, str] = {"llama.cpp": "logit_bias", "vllm": "logprob_token_ids"}

_NUMBERED: Mapping[served.Software, Mapping[str, Any]] = {
    "vllm": {"return_tokens_as_token_ids": True}
}
"""What has tokens told by their numbers, since several may have one text."""


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a server is declared to be.

    Attributes:
        api: how it is asked: by chats, or by completions of a reference's tokens.
        reference: the declared tokenizer and template; None where none is declared.
        likelihoods: whether options are scored by likelihood.
        echo: whether they are scored by ``echo``.
        trained: what it is declared to have been trained to, on what was there before; None where
            nothing is.
        base: the name by which the server answers with what was there before; empty where the
            server says it.
        fleet: whether several machines answer, which may call themselves differently.
    """

    api: served.Api = "chat"
    reference: Reference | None = None
    likelihoods: bool = True
    echo: bool = False
    trained: adapters.Trained | None = None
    base: str = ""
    fleet: bool = False


def examine(client: Client, expected: Expected) -> Canary:
    """Ask a server that generates, and judge its replies.

    Args:
        client: asks it.
        expected: what it is declared to be.

    Raises:
        EndpointError: it does not answer, or has no such model.
    """
    return _Examination(client, expected).run()


class _Examination:
    def __init__(self, client: Client, expected: Expected) -> None:
        self._client, self._expected = client, expected
        self._identity = served.identify(client)
        self._software = served.software(self._identity)
        self._own = references.own(client)
        self._replies: list[Reply] = []
        self._checked: list[str] = []
        self._findings: dict[str, Finding] = {}
        self._unchecked: list[Unchecked] = []
        self._ways: list[str] = []

    def run(self) -> Canary:
        first = self._story()
        if "listed" not in self._identity:
            self._judge("model", identity.named(self._client.address.model, first))
        if self._judge("usage", texts.usage(first, LONG)):
            self._prompts()
        else:
            self._skip("prompts", "the server's counts of tokens (usage) are not to be believed")
        self._endings(first)
        noise = self._repeat(first)
        self._draw()
        self._likelihoods()
        self._adapter(noise)
        self._same(first)
        return Canary(
            server=served.key(self._identity),
            when=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            checked=tuple(dict.fromkeys(self._checked)),
            findings=tuple(self._findings.values()),
            unchecked=tuple(self._unchecked),
            ways=tuple(self._ways),
            noise=noise,
        )

    def _prompts(self) -> None:
        """Is a prompt what was written?"""
        seen = []
        for messages in CONVERSATIONS:
            usage = self._say(messages, 1).usage
            if usage is None:
                self._skip("prompts", "the server counts no tokens (usage)")
                return
            seen.append(usage.tokens_in)
        told = self._expected.reference or self._own
        right = True
        if told is None:
            self._skip("prompts", "no tokenizer is declared, and the server has no /tokenize")
        else:
            counts = [references.counts(told, one) for one in CONVERSATIONS]
            right = self._judge("prompts", texts.counted(counts, seen, told.way))
            if told is self._own:
                self._skip(
                    "tokenizer",
                    "none is declared, and the server's own /tokenize may be as wrong as its "
                    "prompts",
                )
        if not right or self._expected.api == "completions":  # what is sent has the system prompt
            return
        user = {"role": "user", "content": "Hi"}
        short, long = (
            self._say([{"role": "system", "content": " ".join(["brief"] * n)}, user], 1)
            for n in (1, 1 + WORDS)
        )
        self._judge("system prompt", texts.swallowed(short, long, WORDS))

    def _endings(self, first: Reply) -> None:
        """Does a reply end where it should, and is it said how?"""
        self._judge("cut replies", texts.cut(first, LONG))
        words = [one for one in first.text.split() if one.isalpha()]
        if len(words) < 3:
            self._skip("stop text", f"the reply {first.text[:60]!r} has too few words")
            return
        stop = words[len(words) // 2]
        held = self._say(STORY, LONG, stop=[stop])
        self._judge("stop text", texts.stopped(first, held, stop))

    def _repeat(self, first: Reply) -> Noise:
        """Does the same request get the same reply?"""
        alone = [first, *(self._story() for _ in range(TIMES - 1))]
        asked: list[Messages] = []
        for text in (*OTHERS, *OTHERS[::-1])[:TIMES]:
            asked += [STORY, ({"role": "user", "content": text},)]
        found = dict(
            self._client.each(asked, lambda one: self._say(one, LONG if one is STORY else 1))
        )
        among = [reply for place, reply in found.items() if asked[place] is STORY]
        self._checked.append("repeatability")
        return repeats.noise(alone, among)

    def _draw(self) -> None:
        """Are draws from the model's distribution, and does a seed decide about them?"""
        draws = [self._drawn(seed) for seed in range(1, DRAWS + 1)]
        self._judge("seed", repeats.seeded([draws[0], self._drawn(1)]))
        if any(one.tokens for one in draws):
            most = TOP if self._expected.api == "chat" else FEW
            self._judge("draws", likelihoods.drawn(draws, most))
        else:
            self._skip("draws", _NO_LOGPROBS)

    def _likelihoods(self) -> None:
        """Is there a way to the likelihood of given tokens, and is it right?"""
        if not self._expected.likelihoods:
            self._skip("likelihoods", "options are not scored by likelihood")
            return
        numbered = _NUMBERED.get(self._software, {})
        reply = self._complete({"prompt": PLAIN, "max_tokens": 3, "logprobs": FEW, **numbered})
        if reply is None or not reply.tokens:
            self._judge("likelihoods", likelihoods.untold(reply))
            return
        wrong = likelihoods.sums(reply) or likelihoods.spelled(reply)
        if not self._judge("likelihoods", wrong):
            return
        if self._expected.echo:
            self._way("echo", self._echo(reply))
        way = engine.way(self._software)
        told = self._expected.reference or self._own
        if way is None or told is None:
            if not self._expected.echo:
                self._skip("likelihoods of given tokens", "no way to ask this server is known")
            return
        ids = tuple(told.ids(PLAIN))
        option = [one.id for one in reply.tokens if one.id is not None]
        if len(option) < len(reply.tokens):
            option = [*told.ids(PLAIN + reply.text)][len(ids) :]
        if len(option) != len(reply.tokens):
            self._skip("likelihoods of given tokens", "the reply's text is other tokens than it")
            return
        self._way(_WAYS[self._software], self._again(way, ids, option, reply))

    def _again(
        self, way: engine.Way, ids: Sequence[int], option: Sequence[int], reply: Reply
    ) -> Finding | None:
        """Ask again for the tokens of a reply, and for the one that came second."""
        tokens = list(reply.tokens or ())
        asked = [(tuple(option[:k]), token) for k, token in enumerate(option)]
        second = sorted(tokens[0].top, key=lambda one: -one.logprob)[1:2]
        if second and second[0].id is not None:
            tokens.append(second[0])
            asked.append(((), second[0].id))
        try:
            again = [
                way(lambda body: self._raw(body) or {}, [*ids, *before], [token])
                for before, token in asked
            ]
        except EndpointError as error:
            return likelihoods.untellable(str(error))
        return likelihoods.agrees("asking for it", tokens, again)

    def _echo(self, reply: Reply) -> Finding | None:
        """Compare what ``echo`` tells of a reply's tokens with what was told of them at first."""
        text = PLAIN + reply.text
        again = self._complete({"prompt": text, "max_tokens": 1, "logprobs": 1, "echo": True})
        if again is None:
            return likelihoods.untold(None)
        if found := likelihoods.echoed(text, again):
            return found
        values, place = [], 0
        for one in again.tokens or ():
            if len(PLAIN) <= place < len(text):
                values.append(one.logprob)
            place += len(one.text)
        if len(values) != len(reply.tokens or ()):
            self._skip("values of echo", "the reply's text is other tokens than it")
            return None
        return likelihoods.agrees("echo", reply.tokens or (), values)

    def _way(self, name: str, found: Finding | None) -> None:
        if self._judge(f"likelihoods by {name}", found):
            self._ways.append(name)

    def _adapter(self, noise: Noise) -> None:
        """Is it the adapter that answers, and was it made for this model?"""
        trained = self._expected.trained
        if trained is not None and trained.tensors is not None and trained.weights is not None:
            found = adapters.modules(trained.tensors, trained.weights)
            if not self._judge("modules of the adapter", found):
                return
        base = self._base()
        if isinstance(base, str):
            self._skip("adapter", base)
            return
        rows = trained.rows if trained is not None else ()
        rows = rows or tuple(adapters.Row(({"role": "user", "content": one},)) for one in OTHERS)
        own = [self._say(row.messages, TRAINED) for row in rows]
        try:
            others = [self._say(row.messages, TRAINED, kept=False, **base) for row in rows]
        except EndpointError as error:
            self._skip("adapter", f"asked for the base, the server refuses: {error}")
            return
        match adapters.served(rows, others, own, noise):
            case Unchecked() as unknown:
                self._skip(unknown.name, unknown.why)
            case judged:
                self._judge("adapter", judged)

    def _base(self) -> Mapping[str, Any] | str:
        """Return the fields of a request that the adapter's base answers, or why there are none."""
        name, trained = self._expected.base, self._expected.trained
        parent = self._identity.get("listed", {}).get("parent")
        if not name and isinstance(parent, str):  # vLLM lists adapters so
            name = parent
        elif name and (known := served.listing(self._client)) and name not in known:
            raise EndpointError(
                f"{self._client.address.host}: it serves no model {line(name)!r}; correct "
                f"served_base: {near_misses(name, known)}"
            )
        if name:
            return {"model": name}
        if trained is None:
            return "neither the server nor the configuration says that it is an adapter"
        if self._software != "llama.cpp":
            return (
                f"how {trained.variant!r} was before its training, the server answers under no "
                "name that is known here: name it with served_base"
            )
        loaded = served.adapters(self._client)
        if not loaded:
            return (
                f"the server lists no adapter (GET /lora-adapters), so that {trained.variant!r} is "
                "merged into its file, or not served; where another name of this server is its "
                "base, name it with served_base"
            )
        return {"lora": [{"id": one, "scale": 0.0} for one in loaded]}

    def _same(self, first: Reply) -> None:
        """Is it the same model as at the beginning?"""
        last = self._story()
        changes = served.changes(self._identity, served.identify(self._client))
        found = identity.swapped(
            self._replies, changes, fleet=self._expected.fleet
        ) or repeats.changed(first, last)
        self._judge("same model to the end", found)

    def _story(self) -> Reply:
        return self._say(STORY, LONG)

    def _drawn(self, seed: int) -> Reply:
        return self._say(STORY, DRAWN, temperature=1.0, seed=seed)

    def _say(self, messages: Messages, most: int, *, kept: bool = True, **fields: Any) -> Reply:
        """Ask as samples are asked, greedily unless told otherwise, with log-probabilities."""
        body = {
            "model": self._client.address.model,
            "max_tokens": most,
            "temperature": 0.0,
            "top_p": 1.0,
            **served.plain(self._software),
            **_NUMBERED.get(self._software, {}),
            **fields,
        }
        if self._expected.api == "chat":
            asked: dict[str, Any] = {"messages": list(map(dict, messages))}
            told: dict[str, Any] = {"logprobs": True, "top_logprobs": TOP}
            path, read = "/chat/completions", replies.chat
        else:
            assert self._expected.reference is not None  # completions are of its tokens
            asked, told = {"prompt": [*self._expected.reference.of(messages)]}, {"logprobs": FEW}
            path, read = "/completions", replies.completion
        raw = self._client.optional(path, {**body, **asked, **told})
        if raw is None:  # some refuse log-probabilities
            raw = self._plainly(path, {**body, **asked})
        reply = read(raw)
        if kept:
            self._replies.append(reply)
        return reply

    def _plainly(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return self._client.post(path, body)
        except EndpointError as error:
            if self._replies or self._expected.api == "chat" or error.status not in (400, 422):
                raise
            raise EndpointError(
                f"{error}; does this server take no token numbers, which are what "
                'api = "completions" sends? Then set api = "chat"',
                status=error.status,
            ) from error

    def _complete(self, fields: Mapping[str, Any]) -> Reply | None:
        raw = self._raw({"temperature": 0.0, **served.plain(self._software), **fields})
        return None if raw is None else replies.completion(raw)

    def _raw(self, fields: Mapping[str, Any]) -> dict[str, Any] | None:
        return self._client.optional(
            "/completions", {"model": self._client.address.model, **fields}
        )

    def _judge(self, check: str, found: Finding | None) -> bool:
        """Note what a check found; returns whether all is well."""
        self._checked.append(check)
        if found is not None:
            self._findings.setdefault(found.name, found)
        return found is None

    def _skip(self, check: str, why: str) -> None:
        self._unchecked.append(Unchecked(check, why))
