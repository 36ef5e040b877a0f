"""How the pane's styles look: Textual's theme variables only, so that every theme fits, ours and others."""

from __future__ import annotations

DEFAULT_CSS = """
RowView {
    overflow-x: hidden;
    overflow-y: hidden;
    scrollbar-size-vertical: 1;
    scrollbar-background: $background;
    background: $background;
    color: $foreground;

    &.-reading { overflow-y: scroll; }

    & > .stream-pane--h1 { color: $primary; text-style: bold; }
    & > .stream-pane--h2 { color: $primary; text-style: bold; }
    & > .stream-pane--h3 { text-style: bold; }
    & > .stream-pane--h4 { text-style: bold; color: $foreground 85%; }
    & > .stream-pane--h5 { text-style: italic; color: $foreground 85%; }
    & > .stream-pane--h6 { text-style: italic; color: $foreground-muted; }
    & > .stream-pane--heading-rule { color: $primary 40%; text-style: not bold; }
    & > .stream-pane--strong { text-style: bold; }
    & > .stream-pane--em { text-style: italic; }
    & > .stream-pane--strike { text-style: strike; }
    & > .stream-pane--link { color: $primary; text-style: underline; }
    & > .stream-pane--image { color: $primary; text-style: italic; }
    & > .stream-pane--code { background: $foreground 9%; }
    & > .stream-pane--math { color: $secondary; }
    & > .stream-pane--html { color: $foreground-muted; }
    & > .stream-pane--quote { color: $foreground 80%; text-style: italic; }
    & > .stream-pane--quote-bar { color: $foreground 35%; text-style: not italic; }
    & > .stream-pane--list-mark { color: $primary; }
    & > .stream-pane--rule { color: $foreground 20%; }
    & > .stream-pane--table-header { text-style: bold; }
    & > .stream-pane--table-rule { color: $foreground 22%; text-style: not bold; }

    & > .stream-pane--fence { background: $foreground 5%; }
    & > .stream-pane--code-language { color: $foreground-muted; text-style: italic; }
    & > .stream-pane--code-keyword { color: $secondary; }
    & > .stream-pane--code-string { color: $success; }
    & > .stream-pane--code-comment { color: $foreground-muted; text-style: italic; }
    & > .stream-pane--code-number { color: $warning; }
    & > .stream-pane--code-constant { color: $warning; }
    & > .stream-pane--code-function { color: $primary; }
    & > .stream-pane--code-type { color: $accent; }
    & > .stream-pane--code-builtin { color: $primary; }
    & > .stream-pane--code-decorator { color: $accent; }
    & > .stream-pane--code-attribute { color: $primary; }
    & > .stream-pane--code-variable { color: $foreground; }
    & > .stream-pane--code-operator { color: $foreground 75%; }
    & > .stream-pane--code-deleted { color: $error; }
    & > .stream-pane--code-inserted { color: $success; }
    & > .stream-pane--code-output { color: $foreground-muted; }

    & > .stream-pane--prompt { text-style: bold; }
    & > .stream-pane--prompt-bar { color: $primary; }
    & > .stream-pane--label { color: $success; text-style: bold; }
    & > .stream-pane--badge { color: $secondary; background: $secondary 18%; text-style: not bold; }
    & > .stream-pane--footer { color: $foreground-muted; }
    & > .stream-pane--footer-state { color: $warning; text-style: bold; }
    & > .stream-pane--reasoning { color: $foreground-muted; text-style: italic; }
    & > .stream-pane--fold { color: $foreground-muted; text-style: italic; }
    & > .stream-pane--hint { color: $foreground-disabled; }
    & > .stream-pane--notice-info { color: $foreground-muted; }
    & > .stream-pane--notice-warning { color: $warning; }
    & > .stream-pane--notice-error { color: $error; }
    & > .stream-pane--match { background: $warning 35%; }
    & > .stream-pane--match-current { background: $warning; color: $background; }
    & > .stream-pane--chosen { background: $primary 18%; }
    & > .stream-pane--position { color: $foreground 25%; }
}
"""
