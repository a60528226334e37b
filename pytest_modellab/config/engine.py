"""How engines work, whatever the variant: ``[engine]``."""

from __future__ import annotations

from pytest_modellab.errors import ConfigError
from pytest_modellab.records.reading import shown
from pytest_modellab.records.setting import Setting

MOST = 1 << 24
"""The largest token budget that is taken for meant."""

_RULE = (
    f"a whole number of tokens from 1 to {MOST:,}; leave it out, so that the engine takes what its "
    "device holds"
)

CHOICES = ("transformers", "vllm")
"""Engines that a variant may name."""

ENGINE = {
    "token_budget": Setting(
        int, None, check=lambda value: 1 <= value <= MOST, wrong=f"{{value!r}} is not {_RULE}"
    ),
}


def token_budget(text: str, where: str) -> int:
    """Return the token budget that an option gives.

    Args:
        text: as given.
        where: names the option, for the message.

    Raises:
        ConfigError: it is no whole number, or none that a budget can be.
    """
    digits = text.strip()
    whole = digits.isascii() and digits.isdigit() and len(digits) <= len(str(MOST))
    if not whole or not 1 <= int(digits) <= MOST:
        raise ConfigError(f"{where}: {shown(text)} is not {_RULE}")
    return int(digits)
