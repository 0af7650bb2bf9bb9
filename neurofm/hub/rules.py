"""What must not be published, as patterns: tokens and keys, places of a machine, people.

Tokens: the rules of detect-secrets (without its two of entropy, which take every hash for a key,
and with our own for Artifactory), and ours for what it does not know. Nothing found is ever sent to
anybody to be tested.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from .national_numbers import NUMBERS

_DATE = (r"(?:\d{1,4}[-./, ]{1,2}(?:\d{1,2}|[A-Za-z]{3,9})[-./, ]{1,2}\d{1,4}|"
         r"[A-Za-z]{3,9}[. ]{1,2}\d{1,2},? \d{4}|(?:19|20)\d{6})")
_KEYWORD = (r"(?:[\w-]{0,32}[_-])?(?:api[_-]?key|access[_-]?key|auth[_-]?key|access[_-]?token|"
            r"auth[_-]?token|refresh[_-]?token|hf[_-]?token|client[_-]?secret|secret[_-]?key|secret|"
            r"passwd|password|passphrase|passwort|kennwort|credentials?|pwd?|heslo|has[lł]o|contrase[nñ]a|"
            r"mot de passe|wachtwoord|salasana|l[oö]senord)")
_VALUE = r"(?!null\b|none\b|true\b|false\b)[^\s\"',;}\]]{5,}"
# Above these an absolute path is one of a machine, however short it is.
_ROOTS = ("home|root|Users|mnt|media|data|work|scratch|gpfs|lustre|beegfs|ceph|cluster|projects?|"
          "nfs|net|afs|storage|groups?|lab|srv|var|tmp|opt|export|Volumes|users|user|p|u|fs")
_PUBLIC_BUCKETS = r"(?:openneuro\.org|fcp-indi|hcp-openaccess|physionet-open)"


class Found(NamedTuple):
    """A match. start: where in the text; what: its kind; text: the match; token: never shown."""

    start: int
    what: str
    text: str
    token: bool


class Rule(NamedTuple):
    """A pattern of something that must not be published."""

    what: str
    pattern: re.Pattern
    token: bool = False
    holds: Callable[[str], bool] | None = None  # of a match: whether it is one after all


def _rule(what: str, pattern: str, flags: int = 0, token: bool = False) -> Rule:
    return Rule(what, re.compile(pattern, flags), token)


TOKENS = [
    _rule("a token or key", pattern, flags, True) for pattern, flags in (
        (r"\b(?:hf|api_org)_[A-Za-z0-9]{16,}", 0),
        (r"\b(?:gh[pousr]_|github_pat_|glpat-|dckr_pat_|npm_)[\w-]{16,}", 0),
        (r"\bsk[-_](?:(?:ant|proj|or|svcacct|live|test)[\w]*[-_])?[A-Za-z0-9][\w-]{15,}", 0),
        (r"\bAIza[\w-]{30,}|\bya29\.[\w-]{20,}|\bxox[abeoprs]-[\w-]{10,}", 0),
        (r"\b(?:dop_v1_|hvs\.|xapp-|shp(?:at|ca|pa|ss)_|gsk_|r8_|nvapi-|dapi(?=[0-9a-f]{32}))"
         r"[\w-]{20,}|PuTTY-User-Key-File-\d", 0),
        (r"\bAGE-SECRET-KEY-1\w{20,}|\b\d{8,10}:AA[\w-]{30,}", 0),
        # Of Artifactory. Subjects are called AP01234567 too: passwords are longer, in mixed case.
        (r"(?<![\w+/])(?:AKC[A-Za-z0-9]{10,}|AP[0-9A-F](?=[A-Z0-9]*[a-z])(?=[a-z0-9]*[A-Z])"
         r"[A-Za-z0-9]{15,})(?![\w+/])", 0),
        (r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----", 0),
        (r"\b(?:ssh-(?:rsa|ed25519|dss)|ecdsa-sha2-\S{1,20}) AAAA[\w+/=]{20,}", 0),
        (rf"(?<![A-Za-z0-9]){_KEYWORD}[\"']?\s{{0,3}}[:=]\s{{0,3}}[\"']?{_VALUE}", re.I),
        (r"--(?:api[-_]key|token|password|secret)[= ][\"']?[^\s\"'-][^\s\"']{5,}", re.I),
        (r"\btoken[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?!-?\d{1,9}\.\d+(?:e[+-]?\d+)?(?![\w.-]))"
         r"(?=[A-Za-z_.-]{0,40}\d)[\w.-]{12,}", re.I),  # "loss per token: 0.693147180559" is none
        (r"\bauthorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:basic|bearer|token)\s{1,3}[\w.~+/=-]{6,}",
         re.I),
        (r"\bbearer\s{1,3}(?=[A-Za-z_.-]{0,40}\d)[\w.~+/=-]{16,}", re.I),
        (r"\bmachine\s{1,3}\S{1,80}\s{1,3}login\s{1,3}\S{1,80}\s{1,3}password\s{1,3}\S", 0),
        (r"\b(?:wandb|api|key|token|secret)[\w -]{0,12}[\"']?\s{0,3}[:=]?\s{0,3}[\"']?"
         r"(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])", re.I),
        (r"[?&](?:X-Amz-(?:Signature|Security-Token)|X-Goog-Signature|sig|signature|AWSAccessKeyId|"
         r"access_token|token|api_?key)=[\w%.~+/-]{8,}", re.I),
    )
] + [
    _rule("a password in a URL", r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/@:\"'<>]{0,80}:[^\s/@\"'<>]{1,80}@",
          re.I, True),
    _rule("a token in a URL", r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/@:\"'<>]{8,80}@", re.I, True),
]

# 40 hexadecimal digits that stand alone are a key, unless something before them says what else: a
# commit or a checksum (of weights, of a data set), or that people are called so. Part of an address
# (…/tree/HASH, name@HASH) or of a file name they are no key.
_HEX_OF = re.compile(
    r"(?:revision|commit|sha-?1|\bgit|hash|version|snapshot|checksum|fingerprint|subject|recording)"
    r"[a-z_ ]{0,12}[\"']?\s{0,3}[:=]?\s{0,3}[\"'`(\[]{0,2}$", re.I)
_BARE_HEX = re.compile(r"(?<![\w+/@-])[0-9a-fA-F]{40}(?![\w+/@=-])")

_END = r"[^\s\"'<>|,;()\[\]{}]"
PLACES = [
    _rule("a path of a machine", pattern, flags) for pattern, flags in (
        (rf"(?<![\w/.<~$}}\])%@&+=*-])/(?:{_ROOTS})/{_END}+", 0),
        (rf"(?<==)/(?:[\w.@+~%-]+/)+{_END}*", 0),
        (rf"(?<![\w/.<~$}}\])%@&+=*-])/(?:[\w.@+~%-]+/)+{_END}*", 0),
        (rf"(?<![A-Za-z0-9])[A-Za-z]:[\\/]{{1,4}}[\w.~$-]{_END}*", 0),
        (rf"(?<![\w:/\\+=])(?:\\\\|//)[\w.$-]+[\\/]{_END}+", 0),
        (rf"(?<![\w/~])~(?:[A-Za-z_][\w.-]*)?/[\w.]{_END}*", 0),
        (rf"\$\{{?HOME\}}?/{_END}+|%USERPROFILE%{_END}+", 0),
        (rf"\b(?:file|smb|nfs|sftp|ssh|s3|gs|gcs|az|abfss?|hdfs|davs?)://(?!{_PUBLIC_BUCKETS}){_END}+",
         re.I),
        (r"\b[\w.-]{1,40}@[\w-]{1,60}:[/~][^\s\"']*", 0),
    )
]

_NAME_OF = (r"(?:patient|subject|participant|proband|volunteer|experimenter|operator|technician|"
            r"physician|investigator|doctor|first|last|given|family|full|middle)")
_WORD = r"[^\W\d_a-zß-öø-ÿ][^\W\d_A-Z]{1,30}"  # capitalized, in any alphabet of Europe
_FIRMS = r"(?:Brain|Bio|Ant|Neuro|Elekta|Mega|Comp|Nihon|Natus|Cadwell|Emotiv|Electr)"
# A name, and no word that says which group somebody is in.
_CALLED = (r"(?!(?i:controls?|healthy|unknown|anon\w*|none|null|true|false|"
           r"yes|no|male|female|study|group)\b)[^\W\d_a-z][^\W\d_]{2,30}"
           r"(?![\w-]*\d)")
PEOPLE = [
    _rule(what, pattern, flags) for what, pattern, flags in (
        ("an e-mail address", r"(?<![\w.+/-])[\w.+-]{1,64}(?:@|\s?[\[(]at[\])]\s?)"
         r"(?!(?:\w+\.)?example\.(?:com|org|net))(?:[\w-]{1,63}(?:\.|\s?[\[(]dot[\])]\s?))+"
         r"[A-Za-z]{2,24}(?![\w-])", re.I),
        ("an address in a network", r"(?<![\w.-])(?<!==)(?!127\.|0\.0\.0\.0|255\.)"
         r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w-]|\.\d)", 0),
        ("an address in a network", r"(?<![\w:])(?:(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}"
         r"|(?=[a-f:]{0,8}\d)(?:[0-9a-f]{1,4}:){1,6}(?::[0-9a-f]{1,4}){1,6})(?![\w:])", re.I),
        ("an address in a network", r"(?<![\w:-])(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}(?![\w:-])",
         re.I),
        ("the name of a machine", r"(?<![\w./-])[A-Za-z][\w-]*(?:\.[\w-]+)*"
         r"\.(?:local|lan|internal|intranet|intra|corp|localdomain|cluster)(?![\w.-])", 0),
        ("a telephone number",
         r"(?<![\w+.])\+\d{1,3}[ (/-]{0,2}\d[\d ()/-]{6,16}\d(?![\w.])", 0),
        ("a social security number", r"(?<![\w.-])\d{3}-\d{2}-\d{4}(?![\w.-])", 0),
        ("a number of a patient",
         r"(?<![A-Za-z])(?:mrn|medical[ _-]?record(?:[ _-]?(?:number|no))?|"
         r"(?:hospital|insurance|nhs|passport|versicherten)[ _-]?(?:number|nummer|no|id|nr))"
         r"\.?[\"']?\s{0,3}[:=#]\s{0,3}[\"']?\w[\w-]{3,}", re.I),
        ("a number of a patient",
         r"(?<![A-Za-z])(?:MRN|MPI|KIS|NHS)[ #.:-]{1,3}\d[\d -]{3,14}\d", 0),
        ("a birth date",
         r"(?<![A-Za-z])(?:(?:patient|subject|participant)'?s?[ _-]?)?"
         r"(?:born|birth[ _-]?(?:day|date)?|date[ _-]?of[ _-]?birth|dob|geb(?:oren|urtsdatum)?|"
         r"née? le)[\"'.]{0,2}\s{0,3}(?:on|am|[:=])?\s{0,3}[\"'(\[]{0,2}" + _DATE,
         re.I),
        ("a birth date", r"(?<![\w])[MFX] \d{2}-(?:JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)"
         r"-\d{4}(?!\w)", 0),
        ("a person's name", r"(?<![A-Za-z])(?:" + _NAME_OF + r"(?:'s)?[ _-]?name|surname|forename|"
         r"nachname|vorname|referring[ _-]?physician|experimenter|operator|technician)[\"']?"
         r"\s{0,3}[:=]\s{0,3}[\"']?(?!n/?a\b|null\b|none\b|unknown\b|anon)[^\W\d_]{2}[^\"',;}\n]{0,40}",
         re.I),
        ("a person's name", r"(?<![\w^])[A-Z][a-z]+\^[A-Z][a-z]+", 0),
        ("a person's name", r"(?<![A-Za-z])(?:[Pp]atient(?:in)?|PATIENT|[Pp]roband(?:in)?|"
         rf"(?i:pacient)(?:ka)?|[Pp]aziente)[\"']?\s{{0,3}}[:=]\s{{0,3}}[\"']?{_CALLED}", 0),
        ("a person's name",
         rf"(?<![\w\"'.-])(?:Name|NAME|Jméno|Nom|Nome)\s{{0,3}}[:=]\s{{0,3}}{_CALLED}", 0),
        ("a person's name", r"(?<![A-Za-z])(?:[Rr]ecorded|[Mm]easured|[Aa]cquired|[Cc]ollected|"
         r"[Ee]xamined|[Pp]erformed|[Aa]nnotated|[Ss]cored|[Rr]eviewed|[Oo]perated|[Tt]ested|"
         rf"[Rr]eferred|[Ss]upervised) by (?!{_FIRMS})(?:[A-Z]\.[ -]?|{_WORD}[ -]){{1,3}}{_WORD}",
         0),
        ("a person's name", rf"(?<![A-Za-z])(?:[Oo]perator|OPERATOR|[Tt]echnician|[Ee]xperimenter|"
         rf"[Nn]eurologist) (?!{_FIRMS}){_WORD}", 0),
        ("a person's name and title",
         rf"(?<![\w.])(?:Dr|Prof|Mr|Mrs|Ms|Frau|Herr|Mme|MUDr|Ing|Mgr)\.? {{0,2}}{_WORD}", 0),
        ("an address of somebody",
         r"(?<!\w)\d{1,4}[a-z]? (?:[A-Z]\w+ ){1,3}(?:Street|Road|Avenue|Lane|Drive|Court|St\.|Rd\.|"
         r"Ave\.)(?!\w)", 0),
        ("an address of somebody",
         r"(?<!\w)[^\W\d_]{2,30} ?(?:[Ss]tra(?:ß|ss)e|str\.|gasse|platz|allee)"
         r" \d{1,4}(?!\w)", 0),
        ("an address of somebody", rf"(?<!\w){_WORD} \d{{1,4}}(?:/\d+)?[a-z]?, ?(?:[A-Z]{{1,2}}-)?"
         rf"(?:\d{{3}} \d{{2}}|\d{{5}}) {_WORD}", 0),
    )
] + [Rule(what, re.compile(pattern), holds=holds) for what, pattern, holds in NUMBERS]
RULES = [*TOKENS, *PLACES, *PEOPLE]


def found(text: str, more: Iterable[Rule] = ()) -> Iterator[Found]:
    """Everything in a text that a rule names. more: rules besides those of this module."""
    for what, pattern, token, holds in (*RULES, *more):
        for match in pattern.finditer(text):
            if holds is None or holds(match[0]):
                yield Found(match.start(), what, match[0], token)
    for match in _BARE_HEX.finditer(text):
        if not _HEX_OF.search(text[max(match.start() - 40, 0):match.start()]):
            yield Found(match.start(), "40 hexadecimal digits, a key or a hash", match[0], False)
    for kind, plugin in _plugins():
        for match in plugin.analyze_string(text):
            start = max(text.find(match), 0)
            around = text[max(start - 1, 0):start] + text[start + len(match):][:1]
            if not (match.isalnum() and any(map(str.isalnum, around))):  # in the midst of base64
                yield Found(start, f"a token or key ({kind})", match, True)


@functools.cache
def _plugins() -> list:
    """(kind, plugin) of detect-secrets. Its rules for addresses and hashes are ours or none."""
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

    aside = {"Base64 High Entropy String", "Hex High Entropy String", "Public IP (ipv4)",
             "Artifactory Credentials"}
    return [(kind, plugin()) for kind, plugin in
            sorted(get_mapping_from_secret_type_to_class().items()) if kind not in aside]


def masked(text: str) -> str:
    """A message without tokens: what a library says of a failed request may hold one."""
    for rule in TOKENS:
        text = rule.pattern.sub(lambda match: match[0][:3] + "***", text)
    return text


def without_paths(value):
    """Plain values with paths of this machine cut down to their last part, inside lists and dicts
    too."""
    if isinstance(value, dict):
        return {key: without_paths(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(each) for each in value]
    if isinstance(value, str):
        for rule in PLACES:
            value = rule.pattern.sub(
                lambda match: re.split(r"[\\/]", match[0].rstrip("/\\"))[-1], value)
    return value
