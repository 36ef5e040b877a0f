"""Against markdown-it-py, the reference implementation's port: the same blocks with the same text, on real answers."""

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from chatapp.text.blocks import Block, CodeBlock, RuleBlock, TableBlock, TextBlock, split_cells
from chatapp.text.markdown import MarkdownStream

ROOT = Path(__file__).parents[2]
CORPUS = sorted(Path(__file__).with_name("corpus").glob("*.md")) + sorted((ROOT / "prompts/library").glob("*.md"))
REFERENCE = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def squeeze(text):
    return re.sub(r"\s+", " ", text).strip()


def plain(token):
    parts = []
    for child in token.children or []:
        if child.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        elif child.type == "image":
            parts.append(plain(child))
        elif child.type == "html_inline" and re.fullmatch(r"<br\s*/?>", child.content):
            parts.append(" ")
        else:
            parts.append(child.content)
    return "".join(parts)


def reference(text):
    """What markdown-it reads: kind and text of each leaf, with the kinds of containers around it."""
    leaves, around, row, kind = [], [], [], ""
    for token in REFERENCE.parse(text):
        name = token.type
        if name in ("blockquote_open", "list_item_open"):
            around.append(name.removesuffix("_open"))
        elif name in ("blockquote_close", "list_item_close"):
            around.pop()
        elif name in ("heading_open", "paragraph_open", "th_open", "td_open"):
            kind = token.tag if name == "heading_open" else "paragraph" if name == "paragraph_open" else "cell"
        elif name == "inline" and kind == "cell":
            row.append(squeeze(plain(token)))
        elif name == "inline":
            # A to-do list is GitHub's: we show its boxes as markers.
            text = plain(token)
            leaves.append((kind, tuple(around), squeeze(re.sub(r"^\[[ xX]\] ", "", text) if around else text)))
        elif name == "table_close":
            leaves.append(("table", tuple(around), tuple(row)))
            row = []
        elif name in ("fence", "code_block"):
            leaves.append(("code", tuple(around), token.content.rstrip("\n").expandtabs(4)))
        elif name == "html_block":
            leaves.append(("html", tuple(around), squeeze(token.content)))
        elif name == "hr":
            leaves.append(("rule", tuple(around), ""))
    return leaves


def around_of(block: Block):
    return tuple("blockquote" if span.style == "quote.bar" else "list_item" for span in block.rest)


def inline_text(source):
    cell = TextBlock()
    cell.append(source)
    cell.close()
    cell.inline.settle()
    return squeeze(cell.inline.plain)


def ours(text):
    stream = MarkdownStream()
    stream.feed(text)
    stream.finish()
    leaves = []
    for block in stream.blocks:
        around = around_of(block)
        if isinstance(block, TextBlock):
            block.inline.settle()
            leaves.append((f"h{block.level}" if block.level else "paragraph", around, squeeze(block.inline.plain)))
        elif isinstance(block, CodeBlock):
            text = block.source.expandtabs(4)
            leaves.append((block.kind, around, text.rstrip("\n") if block.kind == "code" else squeeze(text)))
        elif isinstance(block, TableBlock):
            cells = [*block.header]
            for line in block.lines:
                cells += (split_cells(line) + [""] * len(block.header))[: len(block.header)]
            leaves.append(("table", around, tuple(inline_text(cell) for cell in cells)))
        elif isinstance(block, RuleBlock):
            leaves.append(("rule", around, ""))
    return leaves


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_agrees_with_the_reference(path):
    text = path.read_text(encoding="utf-8")
    assert ours(text) == reference(text)
