"""Pages of the reference, written from the code before Sphinx reads: a page a command with every
key, the Python API from the public index, the schema of results.json, the configuration files, the
settings of each model.

What is written is not committed, but for the pages of results. A page is rewritten only if its text
has changed, so that an incremental build stays short.
"""

from pathlib import Path

from . import api, commands, configurations, extras, models, results, schema, sizes

PAGES = (commands, api, schema, configurations, models, sizes, extras, results)


def write(folder: Path) -> list[Path]:
    """Write all generated pages into `folder` (docs/); returns their paths."""
    written = []
    for pages in PAGES:
        for name, text in pages.pages().items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_text() != text:
                path.write_text(text)
            written.append(path)
    return written


def setup(app):
    """Sphinx calls this."""
    app.connect("config-inited", lambda app, config: write(Path(app.srcdir)), priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
