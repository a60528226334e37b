"""A small server of OpenAI's protocol: what it says follows from what it is asked."""

from __future__ import annotations

import dataclasses
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from scripted_server import Asked, Guarded, Said

from pytest_modellab.records.hashing import digest


@dataclasses.dataclass
class Talker(Guarded):
    """Answers chats with their last message turned round, and completions by their tokens.

    Attributes:
        name: of the model.
        software: ``llama.cpp``, ``vllm`` or empty: whose own routes and fields it has.
        system: its ``system_fingerprint``.
        finish: why replies end.
        asked: how often each last message was answered.
    """

    name: str = "talker"
    software: str = ""
    system: str = "fp_1"
    finish: str = "stop"
    asked: Counter[str] = dataclasses.field(default_factory=Counter)

    def answer(self, asked: Asked) -> Said:
        if asked.path == "/v1/models":
            owner = {"llama.cpp": "llamacpp"}.get(self.software, self.software or "me")
            return Said({"data": [{"id": self.name, "owned_by": owner, **self.told}]})
        if asked.path == "/props" and self.software == "llama.cpp":
            return Said({"build_info": "b1-test", "model_path": "/models/talker.gguf"})
        if asked.path == "/v1/chat/completions":
            message = asked.body["messages"][-1]["content"]
            if asked.body.get("max_tokens") != 1:  # else the server is asked who it is
                with self.lock:
                    self.asked[message] += 1
            choice = {"message": {"role": "assistant", "content": turned(message)}}
            return self.reply({**choice, "finish_reason": self.finish}, len(message), 3)
        if asked.path == "/v1/completions":
            return self._completion(asked.body)
        return Said({"detail": "Not Found"}, 404)

    def reply(self, choice: dict[str, Any], tokens_in: int, tokens_out: int) -> Said:
        usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out}
        return Said(
            {
                "model": self.name,
                "system_fingerprint": self.system,
                "choices": [{"index": 0, **choice}],
                "usage": usage,
            }
        )

    def _completion(self, body: dict[str, Any]) -> Said:
        prompt = body["prompt"]
        choice: dict[str, Any] = {"text": f"of {len(prompt)}", "finish_reason": self.finish}
        if self.software == "vllm" and "prompt_logprobs" in body:
            choice["prompt_logprobs"] = [None] + [
                {str(token): {"logprob": logprob(prompt[:k], token), "rank": 1}}
                for k, token in enumerate(prompt)
                if k
            ]
        if self.software == "llama.cpp" and "n_probs" in body:
            choice["logprobs"] = {"content": [*self._generated(prompt, body)]}
        return self.reply(choice, len(prompt), 1)

    def _generated(self, prompt: Sequence[int], body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Tell of the token that a bias makes, unless it is part of a character: above 127."""
        forced = body.get("logit_bias", [[65, 0]])[0][0]
        if forced <= 127 or body["n_probs"] > 1:
            known = range(256) if body["n_probs"] > 1 else (forced,)
            tops = [{"id": k, "token": "?", "logprob": logprob(prompt, k)} for k in known]
            shown = {"id": forced, "token": "?", "logprob": logprob(prompt, forced)}
            yield {**shown, "top_logprobs": tops}


def turned(message: str) -> str:
    """What is replied to a message."""
    return message[::-1]


def logprob(prompt: Sequence[int], token: int) -> float:
    """What a token's log-probability is said to be."""
    return -(int(digest([list(prompt), token])[:6], 16) % 1000 + 1) / 100


FAULTS = (
    Said({"error": {"message": "boom"}}, 500),
    Said(b"<html><h1>Bad Gateway</h1></html>", 502, {"Content-Type": "text/html"}),
    Said({"error": {"message": "slow down"}}, 429, {"Retry-After": "1"}),
    Said({"error": {"message": "slow down"}}, 429),
    Said(reset=True),
    Said({"choices": [{"message": {"content": "half"}}]}, half=True),
    Said(b'{"choices": [{"message": {"content": "wro', 200),
    Said(b"<html>login</html>", 200, {"Content-Type": "text/html"}),
    Said(b"", 200),
    Said({"choices": []}, stall=0.4),
)
"""What a network and a busy server do instead of an answer."""


def faulty(seed: int, share: float) -> Callable[[int, Asked], Said | None]:
    """Return a fault of each request by chance, but of the first, by which a server is known."""
    drawn = random.Random(seed)
    lock = threading.Lock()

    def fault(_number: int, asked: Asked) -> Said | None:
        with lock:
            if asked.path != "/v1/chat/completions" or drawn.random() >= share:
                return None
            return drawn.choice(FAULTS)

    return fault
