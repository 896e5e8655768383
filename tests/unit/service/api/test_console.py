"""The page can be read in both themes: every text on every ground that it stands on meets WCAG 2.2 AA (1.4.3, 1.4.11)."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from iodeep.service import console

STYLES = (Path(console.__file__).parent / "console.css").read_text(encoding="utf-8")
GROUNDS = ("ground", "panel", "raised")
TEXTS = ("text", "muted", "waiting", "running", "retrying", "done", "refused", "failed", "cancelled")


def colours(theme: str) -> dict[str, str]:
    """The custom properties of a theme."""
    selector = {"dark": r":root \{", "light": r':root\[data-theme="light"\] \{'}[theme]
    block = re.search(selector + r"(.*?)\}", STYLES, re.DOTALL)
    assert block
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block[1]))


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two sRGB colours (WCAG 2.2, relative luminance)."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    shares = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_texts_stand_out_from_their_grounds(theme: str) -> None:
    found = colours(theme)
    pairs = [*product(TEXTS, GROUNDS), ("on-accent", "accent"), ("failed", "failed-ground"), ("text", "failed-ground")]
    weak = {pair: ratio for pair in pairs if (ratio := contrast(found[pair[0]], found[pair[1]])) < 4.5}

    assert weak == {}


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_controls_and_focus_stand_out_from_their_grounds(theme: str) -> None:
    found = colours(theme)
    weak = [pair for pair in product(("control", "accent"), GROUNDS) if contrast(found[pair[0]], found[pair[1]]) < 3]

    assert weak == []


def test_contrast_is_reckoned_as_the_standard_has_it() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
