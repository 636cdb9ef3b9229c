"""Pages of the documentation's site that are no files of this folder, and links that leave it.

The README and the other documents of the repository's root, the cards of the bundled models, and
what `noisepress COMMAND --help` prints are pages like those of this folder.
"""

from __future__ import annotations

import argparse
import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import noisepress
from noisepress import cli

log = get_plugin_logger(__name__)

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "models/cards": "models.md",
}
"""Paths in the repository with the names of their pages."""

_LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are no files of this folder."""
    made = {page: (ROOT / path) for path, page in PAGES.items() if path.endswith(".md")}
    texts = {page: path.read_text(encoding="utf-8") for page, path in made.items()}
    cards = sorted((ROOT / "models/cards").glob("*.md"))
    texts["models.md"] = "\n\n".join(
        ["# Models", *(re.sub("^#", "##", card.read_text(), flags=re.MULTILINE) for card in cards)]
    )
    texts["command_line.md"] = "\n\n".join(_command_line())
    for page, text in texts.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """List the public names, and lead links to pages of the site, else to the repository."""
    if page.file.src_uri == "api.md":
        names = ", ".join(re.findall(r" as (\w+)", (ROOT / "__init__.pyi").read_text()))
        markdown += f"\n    options:\n      members: [{names}]\n"
    sources = {name: path for path, name in PAGES.items()}
    source = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def target(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
        if path in PAGES:
            return PAGES[path]
        if path.startswith("docs/"):
            return path.removeprefix("docs/")
        return f"{config.repo_url}/tree/main/{path}"

    return _LINK.sub(target, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> None:
    """Warn of public names that the page of the Python interface lacks."""
    if page.file.src_uri == "api.md":
        for name in noisepress.__all__:
            if f'id="noisepress.{name}"' not in html:
                log.warning("api.md: noisepress.%s is missing", name)


def _command_line() -> Iterator[str]:
    """Markdown: a section for each command, with its help."""
    os.environ["COLUMNS"] = "80"  # argparse wraps its text to this
    yield "# Command line"
    yield f"```text\n{cli._parser([]).format_help()}```"
    for name in _commands([]):
        yield f"## {name}"
        yield f"```text\n{_commands([name])[name].format_help()}```"


def _commands(words: Sequence[str]) -> dict[str, argparse.ArgumentParser]:
    """The parsers of all commands, with the flags that the commands among the words have."""
    actions = cli._parser(words)._actions
    (commands,) = (action for action in actions if isinstance(action, argparse._SubParsersAction))
    return dict(commands.choices)
