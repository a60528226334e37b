"""What the bench measures by itself: damage, proofs, and what simpler instruments would name."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from benchmarks.faults.draw import ATTENTION, MLP, NORMS, Made, leaf_sites, path

Windows = tuple[tuple[int, ...], ...]
_DIFFERS = 0.01
"""Relative difference of an output from which "first divergence" calls it one."""


def prepare(device: str) -> None:
    """Full float32, and the same figures twice."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    if device != "cpu":
        torch.use_deterministic_algorithms(mode=True, warn_only=True)


def _batches(windows: Windows, device: Any) -> Iterator[torch.Tensor]:
    for width in dict.fromkeys(map(len, windows)):
        yield torch.tensor([one for one in windows if len(one) == width], device=device)


def log_probabilities(model: Any, windows: Windows) -> torch.Tensor:
    """Of every next token, a row a position."""
    found = []
    with torch.no_grad():
        for ids in _batches(windows, model.device):
            logits = model(ids, use_cache=False).logits.float()
            found.append(logits.log_softmax(-1).reshape(-1, logits.shape[-1]))
    return torch.cat(found)


def damage(base: torch.Tensor, candidate: torch.Tensor) -> float:
    """Mean KL divergence in nats a token; infinite where a logit is not finite."""
    total = 0.0
    for p, q in zip(base.split(128), candidate.split(128), strict=True):
        total += float((p.exp() * (p - q)).sum(dtype=torch.float64))
    return total / len(base) if math.isfinite(total) else math.inf


@contextlib.contextmanager
def put_back(base: Any, candidate: Any, made: Made) -> Iterator[Any]:
    """A model in which what was damaged is the base's, by means of the bench alone.

    Weights: the base's modules in the candidate. Code: the base's code with the candidate's leaves,
    in all layers or in those that are named.
    """
    with contextlib.ExitStack() as undo:
        if not made.code:
            _exchange(undo, candidate, base, made.paths, cast=True)
            yield candidate
        elif made.layers:
            layers = candidate.model.layers
            for number in made.layers:
                kept, ours = layers[number], base.model.layers[number]
                _exchange(undo, ours, kept, [
                    path(number, kind).partition(f"layers.{number}.")[2]
                    for kind in (*ATTENTION, *MLP, *NORMS)
                ])  # fmt: skip
                layers[number] = ours
                undo.callback(layers.__setitem__, number, kept)
            yield candidate
        else:
            _exchange(undo, base, candidate, [one for one in leaf_sites(base) if one])
            yield base


def _exchange(
    undo: contextlib.ExitStack, into: Any, of: Any, paths: Sequence[str], *, cast: bool = False
) -> None:
    """Put modules of one model into the other; the base's are cast to the candidate's format."""
    for where in paths:
        kept, put = into.get_submodule(where), of.get_submodule(where)
        dtype = _dtype(kept)
        if dtype is not None and _dtype(put) is not None and cast:
            put = copy.deepcopy(put)
            for parameter in put.parameters():
                parameter.data = parameter.data.to(dtype)
        undo.callback(into.set_submodule, where, kept)
        into.set_submodule(where, put)


def _dtype(module: Any) -> Any:
    """The floating-point format of a module's parameters; None without any."""
    found = (one.dtype for one in module.parameters() if one.is_floating_point())
    return next(found, None)


# --- two simpler instruments ----------------------------------------------------------------------


def first_divergence(base: Any, candidate: Any, windows: Windows) -> str | None:
    """The first leaf in the order of calls whose output differs, both models running freely."""
    ids = next(_batches(windows[:4], base.device))
    theirs, ours = _outputs(base, ids), _outputs(candidate, ids)
    for where, name in _called(base):
        if _relative(theirs[where], ours[where]) > _DIFFERS:
            return name
    return None


def _called(model: Any) -> list[tuple[str, str]]:
    """Leaves in the order in which a Llama calls them."""
    sites = leaf_sites(model)
    first = ("model.embed_tokens", "model.rotary_emb")
    rest = [one for one in sites if one not in first]
    return [(one, sites[one]) for one in (*first, *rest)]


def _outputs(model: Any, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}

    def keep(where: str) -> Any:
        def hook(_: Any, __: Any, given: Any) -> None:
            whole = torch.cat(given, -1) if isinstance(given, tuple) else given
            found[where] = whole.detach().float()

        return hook

    handles = [
        model.get_submodule(where).register_forward_hook(keep(where)) for where in leaf_sites(model)
    ]
    with torch.no_grad():
        model(ids, use_cache=False)
    for handle in handles:
        handle.remove()
    return found


def _relative(reference: torch.Tensor, other: torch.Tensor) -> float:
    error = (other - reference).norm(dim=-1) / reference.norm(dim=-1).clamp(min=1e-12)
    mean = float(error.mean())
    return mean if math.isfinite(mean) else math.inf


def largest_weight_error(base: Any, candidate: Any) -> str | None:
    """The leaf whose effective weights are farthest from the base's, relative to their size."""
    worst, name = 0.0, None
    for where, site in leaf_sites(base).items():
        if site == "rope":
            continue
        theirs = base.get_submodule(where).weight.detach()
        error = _relative(theirs.reshape(1, -1), _effective(candidate, where).reshape(1, -1))
        if error > worst:
            worst, name = error, site
    return name


def _effective(model: Any, where: str) -> torch.Tensor:
    module = model.get_submodule(where)
    weight = module.weight
    if type(module).__module__.startswith("peft"):
        return (module.base_layer.weight + module.get_delta_weight("default")).detach().float()
    if type(module).__name__ == "Linear4bit":
        columns = torch.eye(module.in_features, device=model.device)
        with torch.no_grad():
            found: torch.Tensor = module(columns).T.float()
        return found
    if hasattr(weight, "dequantize") and type(weight) is not torch.nn.Parameter:
        return torch.as_tensor(weight.dequantize().detach().float())
    return torch.as_tensor(weight.detach().float())


def inside(named: str | None, site: str) -> bool:
    """Whether a leaf that an instrument names lies in a site; generous to the instrument."""
    if named is None:
        return False
    if named == site or named.startswith(site + "."):
        return True
    head = site.split(".head.", maxsplit=1)[0].split(".kv_head.", maxsplit=1)[0]
    if head != site:
        return named.startswith(head)
    if site.endswith(".core"):
        writes = "o_proj" if ".attention." in site else "down_proj"
        return named == site.removesuffix("core") + writes
    if site.startswith("layers."):
        first, last = map(int, site.removeprefix("layers.").split("-"))
        return any(named.startswith(f"layer.{n}.") for n in range(first, last + 1))
    if "+layer." in site:
        return any(named.startswith(one + ".") for one in site.split("+"))
    if site.startswith("all."):
        return named.rpartition(".")[2] in site.removeprefix("all.").split("+")
    return False
