"""Names and texts of data on a card: a Markdown parser finds text there, and nothing else."""

from html.parser import HTMLParser

import pytest

from neurofm.checkpoints.card import About, Evaluation, card
from neurofm.pages import table
from tests.support import small_checkpoints

TEXTS = ("<script>alert(1)</script>", "<i>ds</i>", "[here](http://x.example)", "[a][b]", "**bold**",
         "a|b", "`code`", "![x](http://x.example/y.png)", "# head", "_em_", "~~gone~~", "1. one",
         "- item", "a & b < c", "[a]: http://x.example", "x\n\n## Head\n", "eyes_open", "\\*",
         "$x$", "&lt;b&gt;", "> quoted", "+ plus", "```\nfence")


class Seen(HTMLParser):
    """Tags and text of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, data):
        self.text += data


def rendered(text: str) -> Seen:
    parser = pytest.importorskip("markdown_it").MarkdownIt("gfm-like", {"linkify": False})
    return Seen(parser.render(text))


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_of_data_is_text_on_a_card(text):
    whole = " ".join(text.split())
    for page in (rendered(table.plain(text)), rendered(f"Classes: {table.plain(text)}."),
                 rendered(table.markdown([text, "b"], [[text, 1.0]]))):
        assert whole in page.text
        assert page.tags <= {"p", "table", "thead", "tbody", "tr", "th", "td"}


def test_hostile_names_on_a_whole_card(tmp_path):
    from neurofm.checkpoints import load

    model = load(small_checkpoints.make("brainomni", tmp_path / "model"))
    model.config.ch_names = list(TEXTS)
    rows = {text: (0.5, 0.4, 0.6) for text in TEXTS}
    ledger = {"recordings": [{"recording": "a", "subject": f"{text}/01", "role": text, "hours": 1.0}
                             for text in TEXTS],
              "datasets": {text: {"name": text * 2, "licence": text} for text in TEXTS},
              "published": [{"weights": text, "licence": text, "paper": text, "datasets": [text],
                             "note": text, "remarks": [text]} for text in TEXTS]}
    told = [Evaluation(text, text, text, text, rows, (text,), 3) for text in TEXTS]
    page = rendered(card(model, ledger, dict.fromkeys(TEXTS, 1.0), About(
        title="<script>t</script>", evaluations=told, citation="x ``` <script>")
    ).partition("\n---\n")[2])
    assert page.tags <= {"h1", "h2", "p", "pre", "code", "ul", "li", "strong", "table", "thead",
                         "tbody", "tr", "th", "td"}
    assert "<script>alert(1)</script>" in page.text


def test_what_goes_in_is_a_list_on_a_card(tmp_path):
    """And no paragraph of dashes."""
    from neurofm.checkpoints import load
    from neurofm.checkpoints.card import contract_in_markdown

    contract = load(small_checkpoints.make("brainomni", tmp_path / "model")).contract
    page = rendered(contract_in_markdown(contract))
    assert page.tags == {"p", "code", "ul", "li"}
    for title, text in contract.described()[1:]:
        assert f"{title}: {text}\n" in page.text
