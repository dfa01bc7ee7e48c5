"""Numbers with nouns in messages."""

from __future__ import annotations

__all__ = ["counted", "plural"]


def plural(noun: str) -> str:
    """The plural of a regular noun: images, batches."""
    return f"{noun}{'es' if noun.endswith('ch') else 's'}"


def counted(count: float, noun: str) -> str:
    """A number and its noun, in the singular for 1: 1 image, 2 images, 3 batches, 0.5 points."""
    number = f"{count:g}" if isinstance(count, float) else str(count)
    return f"{number} {noun if count == 1 else plural(noun)}"
