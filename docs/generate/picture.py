"""The picture of the README and the front page: four rooms, and the folders between them.

On a card of its own color, so that it can be read in light and in dark pages.
"""

from pathlib import Path

from neurofm.pages.figure import COLORS

BLUE = COLORS[0]
ORANGE, GREEN = "#A84A00", "#00694E"  # of COLORS, darker: white words are read on them
_FOLDERS = (
    ("files", ("EEG, MEG, fMRI",)), ("corpus/", ("windows", "that meet a contract")),
    ("tokens/", ("codes of", "each window")),
    ("checkpoint/", ("weights, contract,", "training subjects")),
    ("results/", ("scores, intervals,", "pages")),
)
_COMMANDS = (("ingest",), ("tokenize",), ("pretrain",), ("decode", "evaluate"))
_ROOMS = (("preprocessing", 0, 1, BLUE), ("pretrain", 1, 3, ORANGE),
          ("downstream", 3, 4, GREEN))
_STEP, _WIDE, _LEFT, _TOP = 186, 112, 24, 84


def draw(path: Path) -> None:
    """Write the SVG."""
    parts = [_box(1, 1, 902, 262, "#ffffff", "#d0d7de", 10)]
    for name, first, last, color in _ROOMS:
        left, right = _LEFT + first * _STEP + 66, _LEFT + last * _STEP + 46
        parts += [_box(left, 20, right - left, 30, color, color, 6),
                  _text((left + right) / 2, 40, name, "#ffffff", 14, True)]
    for place, (name, about) in enumerate(_FOLDERS):
        x = _LEFT + place * _STEP
        parts += [_box(x, _TOP, _WIDE, 40, "#f6f8fa", "#57606a", 6),
                  _text(x + _WIDE / 2, _TOP + 25, name, "#1f2328", 14, True)]
        parts += [_text(x + _WIDE / 2, _TOP + 60 + 16 * row, line, "#424a53", 12)
                  for row, line in enumerate(about)]
    for place, lines in enumerate(_COMMANDS):
        x = _LEFT + place * _STEP + _WIDE
        parts.append(_arrow(x + 5, _TOP + 20, x + _STEP - _WIDE - 5, _TOP + 20))
        parts += [_text(x + (_STEP - _WIDE) / 2, _TOP + (12 if row == 0 else 37), line,
                        "#1f2328", 12) for row, line in enumerate(lines)]
    x = _LEFT + 3 * _STEP + _WIDE / 2
    parts += [_arrow(x, _TOP + 84, x, _TOP + 106),
              _text(x + 30, _TOP + 99, "publish", "#1f2328", 12),
              _text(x, _TOP + 122, "Hugging Face Hub", "#424a53", 12)]
    parts += [_box(_LEFT, 220, 856, 30, "#57606a", "#57606a", 6),
              _text(452, 240, "neurofm: recordings, contracts, models, training loop, checkpoints, "
                    "the frame of every command", "#ffffff", 13, True)]
    path.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 904 264" role="img" '
        'font-family="system-ui, -apple-system, \'Segoe UI\', Helvetica, Arial, sans-serif">\n'
        "<title>Files become a corpus, tokens, a checkpoint and results</title>\n"
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#57606a"/></marker></defs>\n'
        + "\n".join(parts) + "\n</svg>\n")


def _box(x: float, y: float, wide: float, high: float, fill: str, line: str, round_: int) -> str:
    return (f'<rect x="{x:g}" y="{y:g}" width="{wide:g}" height="{high:g}" rx="{round_}" '
            f'fill="{fill}" stroke="{line}"/>')


def _text(x: float, y: float, text: str, color: str, size: int, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (f'<text x="{x:g}" y="{y:g}" fill="{color}" font-size="{size}" '
            f'text-anchor="middle"{weight}>{text}</text>')


def _arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    return (f'<path d="M{x:g} {y:g} {to_x:g} {to_y:g}" stroke="#57606a" stroke-width="1.6" '
            f'fill="none" marker-end="url(#head)"/>')
