"""What a variant adapts, near and far."""

from __future__ import annotations

from pytest_modellab.records.declared import VariantSpec, bases, values

VARIANTS = {
    spec.name: spec
    for spec in (
        VariantSpec("plain", "prompted", "prompting", model="m"),
        VariantSpec("tuned", "lora", "fine-tuning", base="plain"),
        VariantSpec("small", "quantized", "quantization", base="tuned"),
        VariantSpec("lost", "prompted", "prompting", base="nobody"),
        VariantSpec("hen", "prompted", "prompting", base="egg"),
        VariantSpec("egg", "prompted", "prompting", base="hen"),
    )
}


def names(variant: str) -> list[str]:
    return [spec.name for spec in bases(VARIANTS[variant], VARIANTS)]


def test_the_chain_of_bases_begins_with_the_nearest() -> None:
    assert names("plain") == []
    assert names("small") == ["tuned", "plain"]


def test_a_missing_base_and_a_circle_end_the_chain() -> None:
    assert names("lost") == []
    assert names("hen") == ["egg"]


def test_what_a_mark_may_say() -> None:
    small = VARIANTS["small"]
    assert values(small, "kind", VARIANTS) == ("quantized",)
    assert values(small, "strategy", VARIANTS) == ("quantization",)
    assert values(small, "base", VARIANTS) == ("tuned", "plain")
    assert values(VARIANTS["plain"], "base", VARIANTS) == ()
