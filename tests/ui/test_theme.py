import pytest
from textual.color import Color

from chatapp.config import Settings
from chatapp.ui.theme import MEANINGS, THEMES

OPAQUE = [theme for theme in THEMES if not theme.ansi]


def contrast(one: Color, other: Color) -> float:
    """WCAG 2.1 contrast ratio."""

    def luminance(color: Color) -> float:
        def linear(part: int) -> float:
            value = part / 255
            return value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4

        return 0.2126 * linear(color.r) + 0.7152 * linear(color.g) + 0.0722 * linear(color.b)

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_settings_offer_exactly_our_themes():
    choices = next(f for f in Settings.scalar_fields() if f.name == "theme").metadata["choices"]
    assert tuple(theme.name for theme in THEMES) == choices


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_every_theme_gives_every_meaning_a_colour(theme):
    assert set(MEANINGS) <= set(theme.variables)


@pytest.mark.parametrize("theme", OPAQUE, ids=lambda theme: theme.name)
@pytest.mark.parametrize("name", ["speed", "simulated", "live", "person", "quiet", "foreground-muted"])
@pytest.mark.parametrize("ground", ["background", "surface", "panel"])
def test_what_must_be_read_can_be_read(theme, name, ground):
    wanted = 7.0 if theme.name == "chatapp-contrast" else 4.5  # WCAG AAA and AA
    assert contrast(Color.parse(theme.variables[name]), Color.parse(getattr(theme, ground))) >= wanted


@pytest.mark.parametrize("theme", OPAQUE, ids=lambda theme: theme.name)
def test_text_can_be_read_and_simulated_is_not_mistaken_for_real(theme):
    assert contrast(Color.parse(theme.foreground), Color.parse(theme.background)) >= 10
    assert theme.variables["simulated"] != theme.variables["speed"] != theme.variables["live"]
