"""Numbers that states and registers give to people, told by their form, date and check digits.

Each is a pattern and, where the form alone is not enough, a test of the match: of ten random
numbers in this form nine or more fail it.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Number(NamedTuple):
    """what: as a finding calls it; holds: whether a match is one."""

    what: str
    pattern: str
    holds: Callable[[str], bool]


def _digits(text: str) -> list[int]:
    return [int(each) for each in text if each.isdigit()]


def _weighed(digits: Sequence[int], weights: Sequence[int]) -> int:
    return sum(digit * weight for digit, weight in zip(digits, weights, strict=False))


def _is_day(day: int, month: int) -> bool:
    return 1 <= day <= 31 and 1 <= month <= 12


def _czech(text: str) -> bool:
    """YYMMDD/NNNN: months of women + 50, of crowded days + 20 or + 70. The slash and a date are
    form enough: numbers until 1953 have no check digit."""
    d = _digits(text)
    month = 10 * d[2] + d[3]
    return any(_is_day(10 * d[4] + d[5], month - more) for more in (0, 20, 50, 70))


def _nhs(text: str) -> bool:
    """The United Kingdom's: weights 10 … 2, modulo 11."""
    d = _digits(text)
    check = 11 - _weighed(d, range(10, 1, -1)) % 11
    return check % 11 == d[9] and check != 10


def _luhn(digits: Sequence[int]) -> bool:
    doubled = [2 * each if k % 2 == 0 else each for k, each in enumerate(digits)]
    return sum(each - 9 if each > 9 else each for each in doubled) % 10 == 0


def _swedish_or_danish(text: str) -> bool:
    """Sweden: YYMMDD-NNNN with the check digit of Luhn. Denmark: DDMMYY-NNNN, since 2007 without
    one."""
    d = _digits(text)[-10:]
    one, month, other = 10 * d[0] + d[1], 10 * d[2] + d[3], 10 * d[4] + d[5]
    return (_is_day(other % 60, month) and _luhn(d)) or _is_day(one, month)


def _norwegian(text: str) -> bool:
    """DDMMYYNNNCC, two digits modulo 11."""
    d = _digits(text)
    return (_is_day((10 * d[0] + d[1]) % 40, (10 * d[2] + d[3]) % 40)
            and _weighed(d, (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11 == 0
            and _weighed(d, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0)


def _finnish(text: str) -> bool:
    """DDMMYY, sign of the century, NNN, letter of the number modulo 31."""
    number = int(text[:6] + text[7:10])
    return (_is_day(int(text[:2]), int(text[2:4]))
            and text[10] == "0123456789ABCDEFHJKLMNPRSTUVWXY"[number % 31])


_ODD = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
                (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20,
                 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23), strict=True))


def _italian(text: str) -> bool:
    """Codice fiscale: the last letter is a sum of all before it."""
    total = sum(_ODD[each] if k % 2 == 0 else (int(each) if each.isdigit() else ord(each) - 65)
                for k, each in enumerate(text[:15].upper()))
    return chr(65 + total % 26) == text[15].upper()


def _french(text: str) -> bool:
    """Sex, year, month, place and number, then 97 - number modulo 97; of Corsica 2A and 2B."""
    bare = text.replace(" ", "").replace("2A", "19").replace("2B", "18")
    return 97 - int(bare[:13]) % 97 == int(bare[13:])


def _polish(text: str) -> bool:
    """PESEL: months + 20 a century, weights 1 3 7 9."""
    d = _digits(text)
    return (_is_day(10 * d[4] + d[5], (10 * d[2] + d[3]) % 20)
            and (10 - _weighed(d[:10], (1, 3, 7, 9) * 3) % 10) % 10 == d[10])


def _spanish(text: str) -> bool:
    """DNI and NIE: the letter of the number modulo 23."""
    bare = re.sub(r"[ -]", "", text.upper())
    number = int(bare[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2"))
    return bare[-1] == "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23]


def _brazilian(text: str) -> bool:
    """CPF: two digits modulo 11."""
    d = _digits(text)
    return all(_weighed(d, range(n + 1, 1, -1)) * 10 % 11 % 10 == d[n] for n in (9, 10))


def _orcid(text: str) -> bool:
    """ISO 7064, MOD 11-2."""
    total = 0
    for each in text.replace("-", "")[:-1]:
        total = (total + int(each)) * 2
    return "0123456789X"[(12 - total % 11) % 11] == text[-1]


_A, _Z = r"(?<![\w.,/+-])", r"(?![\w/-]|[.,]\d)"
NUMBERS = [Number(what, f"{_A}{pattern}{_Z}", holds) for what, pattern, holds in (
    ("a birth number", r"\d{6}/\d{3,4}", _czech),
    ("a number of a patient", r"\d{3}[ -]\d{3}[ -]\d{4}", _nhs),
    ("a personal number", r"(?:19|20)?\d{6}[-+]\d{4}", _swedish_or_danish),
    ("a personal number", r"\d{11}", _norwegian),
    ("a personal number", r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]", _finnish),
    ("a personal number", r"[A-Za-z]{6}\d{2}[A-EHLMPR-Ta-ehlmpr-t]\d{2}[A-Za-z]\d{3}[A-Za-z]",
     _italian),
    ("a personal number", r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}",
     _french),
    ("a personal number", r"\d{11}", _polish),
    ("a personal number", r"(?:\d{8}|[XYZ]-?\d{7})-?[A-Z]", _spanish),
    ("a personal number", r"\d{3}\.\d{3}\.\d{3}-\d{2}", _brazilian),
    ("an ORCID", r"(?:https://orcid\.org/)?\d{4}-\d{4}-\d{4}-\d{3}[\dX]",
     lambda text: _orcid(text[-19:])),
)]
