# ruff: noqa: E501  (expressions read better in one piece)
"""Expressions that select candidate records, and the rules that are tried on them.

Most telemetry holds nothing that any rule could match. A record is written as one text (JSON of its attributes, then
its other texts); plain words are looked for in it first, because that costs almost nothing, and expressions only where
their first letter narrows the search. Whatever a rule could match has to be found here: `tests/unit/masking` checks
this with the rules' own examples.
"""

from __future__ import annotations

SIGNS = r"[@%<&\x{80}-\x{10ffff}]"
"""Anything that is not plain ASCII, or that may be an encoding of something."""

DIGITS = r"(?:[^:0-9]|[^\"]:)[0-9][0-9.:()/ +_-]{5,}|\":[3-6][0-9]{12}"
"""A run of digits in a text. A number that is no text matters only if it could be a card."""

CAPITALS = r"[A-Z](?:[A-Za-z'’]+\.?[ _,]{1,2}(?:van |de |von |der |la |di )?[A-Z]|[0-9A-Z]{0,3} [0-9][A-Z]{2})|[0-9][A-Za-z]{0,2},? [A-Z][a-z]+,? [A-Z]"

ODD = f"{SIGNS}|{DIGITS}|{CAPITALS}"

NESTED = ('":{', '":[')
"""How a map or a list inside an attribute begins in JSON."""

ENCODED = ("u0026", "u003c", "\\\\", "\\u00", "\\x", '\\":')
"""How `&`, `<`, a backslash and a key of JSON inside a text stand in JSON."""


WORDS: dict[str, tuple[str, ...]] = {
    "secret": (
        "passw", "passph", "passc", "pwd", "secret", "token", "_key", "-key", "apikey", "api key", "accesskey", "accountkey",
        "privatekey", "secretkey", "signingkey", "encryptionkey", "sessid", "sessionid", "session_id", "session-id", "connect.sid",
        "credential", "pincode", "pin_code", "pin-code", "pin is", "otp", "time code", "time_code", "time-code", "cvv", "cvc", "x-amz-", "auth_code", "auth-code",
        "authcode", "verification",
    ),
    "auth": ("bearer", "basic", "authorization", "cookie", "apikey"),
    "pem": ("private key", "private-"),
    "jwt": ("eyj", "eyi"),
    "query": ("?",),
    "known-token": (
        "akia", "asia", "agpa", "aida", "aroa", "anpa", "anva", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat", "xox", "hooks.slack",
        "k_live", "k_test", "sk-", "aiza", "ya29", "glpat", "npm_", "pypi-", "sg.", "hf_", "dckr_", "hvs.", "hvb.", "dop_v1", "ltai",
        "shpat", "shpss", ":aa",
    ),
    "spelled": ("[at]", "(at)", "{at}", "_at_", " at "),
    "name": ("name=", "name:", "name is", "name\\"),
    "honor": ("-san", "-sama", "-kun", "-chan", "sensei", " san", " sama"),
    "colon": ("::",),
    "location": ("ip-", "$g", "box ", "+"),
}  # fmt: skip
"""Guard -> texts in lower case, one of which is in every record that the guard's rules could match."""

GATES: dict[str, tuple[str, ...]] = {
    r"[=:]": ("secret", "auth", "name", "pem"),
    r"[0-9A-Za-z_.+/=-]{8}": ("jwt", "known-token", "auth", "pem"),
    r"[\[({<_-](?:at|san|sama|kun|chan)|::|ip-|\$|[bB]ox |\+| at | sa[nm]|sensei|\?": (
        "spelled",
        "honor",
        "colon",
        "location",
        "query",
    ),
}
"""Expression on a record's text -> names of `WORDS` that are looked for only where it matches."""

GUARDS: dict[str, str] = {
    "pem": "",
    "jwt": "",
    "auth": "",
    "secret": "",
    "query": r"[?&;][a-z_-]+=",
    "known-token": "",
    "percent": r"%[c-fC-F]",
    "entity": r"u0026#",
    "at": "@",
    "spelled": r"[\[({<_ ]at[\])}>_ ]|アットマーク",
    "japanese": r"[\x{3040}-\x{30ff}\x{3400}-\x{9fff}\x{ff66}-\x{ff9f}〒°]",
    "honorific": r"さん|様|氏|殿|君|くん|ちゃん|先生|社長|部長|課長|係長|主任",
    "name": "",
    "capitals": r"[A-Z]",
    "honor": "",
    "number": DIGITS,
    "colon": r":[0-9a-fA-F]{0,4}:",
    "decimal": r"[0-9]\.[0-9]{3}",
    "location": "",
}
"""Name -> RE2 expression on a suspicious record's text as it stands; empty where `WORDS` says it all."""

FLAGS: dict[str, str] = {
    "encoded": r"%[0-9A-Fa-f]{2}|&[#a-zA-Z]|u0026[#a-zA-Z]|\\\\",
    "tags": r"<|u003c|%3[cC]|lt;",
    "wide": r"[０-９＠﹫．｡﹒：＝（）＋／]",
    "apart": r"[－‐‑‒–—―−ー─ｰ﹣　・\x{2000}-\x{200a}\x{202f}\x{a0}]",
    "long": r"[0-9](?:[ .-]{0,2}[0-9]){11}",
}
"""Name -> RE2 expression on a suspicious record's text: which steps of the normalisation are worth trying."""

ODD_KEYS = r"[@%\x{80}-\x{10ffff}]|[0-9][0-9.:()/ +_-]{5,}|[0-9A-Za-z_]{16}|::"
"""Keys that may hold what only values should."""

KEY_WORDS = (
    r"pass|pwd|secret|cred|pin|otp|cv[vc]|token|key|auth|bearer|jwt|cookie|sess|name|user|mail|phone|tel|mobile|fax|msisdn|"
    r"addr|street|zip|post|birth|ssn|number|card|pan|iban|account|no\"|[\x{80}-\x{10ffff}]"
)
"""What a key holds that is removed."""
