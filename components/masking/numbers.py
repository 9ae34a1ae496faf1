# ruff: noqa: E501  (expressions read better in one piece)
"""Rules for phone numbers, IP addresses, positions, My Number and cards: what harmless numbers resemble."""

from __future__ import annotations

from components.masking.model import CheckedNumber, DataClass, Phase, Rule

_GAP = r"[ .()/_-]{0,3}"
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_BEFORE = r"(^|[^0-9A-Za-z.]|[A-Za-z]\.)"
_AFTER = r"($|[^0-9A-Za-z.]|\.(?:$|[^0-9A-Za-z]))"
_HEX = r"[0-9a-fA-F]{1,4}"
_DEGREES = r"-?(?:1[0-7]\d|\d{1,2})"

NUMBER_RULES: tuple[Rule, ...] = (
    Rule(
        id="number-encoded",
        data_class=DataClass.PHONE,
        pattern=r"[0-9 .()-]*&#0*(?:4[89]|5[0-7]);(?:&#0*(?:4[89]|5[0-7]);|[0-9 .()-]){5,}",
        replacement="[number]",
        guards=("entity",),
        phase=Phase.NUMBERS,
        dirty=(("tel &#48;&#57;&#48;-1234-5678", "1234-5678"),),
        clean=("&#49; of &#50;",),
    ),
    Rule(
        id="my-number-labelled",
        data_class=DataClass.MY_NUMBER,
        pattern=r"((?i:マイナンバー|個人番号|my[ _-]?number|individual[ _-]?number)(?:カード)?(?:\\*[\"'])?[^0-9\n]{0,8})"
        r"\d{4}[ .-]?\d{4}[ .-]?\d{4}\b",
        replacement="${1}[my-number]",
        guards=("number",),
        phase=Phase.NUMBERS,
        dirty=(("マイナンバー: 1234 5678 9012", "1234 5678 9012"), ("my_number=123456789012", "123456789012")),
        clean=("注文番号 123456789012",),
    ),
    Rule(
        id="card-labelled",
        data_class=DataClass.CARD,
        pattern=r"((?i:card|カード|credit|クレジット|pan)(?i:[ _-]?(?:番号|no\.?|number|num))?(?:\\*[\"'])?[^0-9\n]{0,8})\d(?:[ .-]?\d){12,18}\b",
        replacement="${1}[card]",
        guards=("number",),
        phase=Phase.NUMBERS,
        dirty=(("カード番号は4111-1111-1111-1112", "4111-1111-1111-1112"),),
        clean=("card slot 3 of 4",),
    ),
    Rule(
        id="phone-labelled",
        data_class=DataClass.PHONE,
        pattern=r"((?i:\btel\b|telephone|phone|mobile|\bfax\b|電話|携帯|ファックス|連絡先)(?i:番号|[ _-]?(?:no\.?|number))?(?:\\*[\"'])?[^0-9+\n\[]{0,6})"
        rf"\+?\d(?:{_GAP}\d){{8,14}}",
        replacement="${1}[phone]",
        guards=("number",),
        phase=Phase.NUMBERS,
        dirty=(("phone=9012345678", "9012345678"), ("電話番号：0312345678", "0312345678")),
        clean=("phone model 12", "telephone line 3"),
    ),
    Rule(
        id="phone-plus",
        data_class=DataClass.PHONE,
        pattern=r"(^|[^0-9A-Za-z+])(?:\+|00 ?)[1-9]\d{0,2}[ .()-]{1,3}\d{1,4}(?:[ .()-]{0,3}\d{2,4}){1,4}\b|(^|[^0-9A-Za-z+])\+[1-9]\d{9,14}\b",
        replacement="${1}${2}[phone]",
        guards=("number",),
        phase=Phase.NUMBERS,
        keys=True,
        dirty=(
            ("+81-90-1234-5678", "1234-5678"),
            ("call +14155550132 now", "4155550132"),
            ("0081 3 1234 5678", "1234 5678"),
        ),
        clean=("2026-11-24T10:00:00+09:00", "delta +12345", "offset +0900"),
    ),
    Rule(
        id="phone-japanese",
        data_class=DataClass.PHONE,
        pattern=rf"\b(?:0[5789]0{_GAP}\d{{4}}{_GAP}\d{{4}}|0[5789]0{_GAP}\d{{2}}{_GAP}\d{{3}}{_GAP}\d{{3}}|0[1-9][ .()-]{{1,2}}\d{{4}}[ .()-]{{1,2}}\d{{4}}|"
        r"0[1-9]\d[ .()-]{1,2}\d{3}[ .()-]{1,2}\d{4}|0[1-9]\d{2}[ .()-]{1,2}\d{2}[ .()-]{1,2}\d{4}|0[1-9]\d{3}[ .()-]{1,2}\d[ .()-]{1,2}\d{4}|"
        r"0120[ .()-]{0,2}\d{3}[ .()-]{0,2}\d{3}|0570[ .()-]{0,2}\d{3}[ .()-]{0,2}\d{3}|0[36]\d{8})\b",
        replacement="[phone]",
        guards=("number",),
        phase=Phase.NUMBERS,
        keys=True,
        dirty=(("090-1234-5678", "1234-5678"), ("(03)1234-5678", "1234-5678"), ("08012345678", "08012345678")),
        clean=("01-02-2026", "0x0801234567", "v0.90.1234", "id 0901234"),
    ),
    Rule(
        id="phone-american",
        data_class=DataClass.PHONE,
        pattern=r"(?:\([2-9]\d{2}\) ?|\b[2-9]\d{2}[.-])[2-9]\d{2}[.-]\d{4}\b",
        replacement="[phone]",
        guards=("number",),
        phase=Phase.NUMBERS,
        keys=True,
        dirty=(("(415) 555-0132", "555-0132"), ("415.555.0132", "555.0132")),
        clean=("404-123-456", "200.100.5000"),
    ),
    Rule(
        id="ip-v6",
        data_class=DataClass.IP,
        pattern=rf"(^|[^0-9A-Za-z:.])(?:(?:{_HEX}:){{7}}{_HEX}|(?:{_HEX}:){{6}}(?:{_OCTET}\.){{3}}{_OCTET}|::(?i:ffff):(?:{_OCTET}\.){{3}}{_OCTET}|"
        rf"(?:[0-9][0-9a-fA-F]{{0,3}}|[fF][cCdDeE][0-9a-fA-F]{{2}})(?::{_HEX}){{0,6}}::(?:{_HEX}(?::{_HEX}){{0,5}})?(?::(?:{_OCTET}\.){{3}}{_OCTET})?)(%[0-9A-Za-z]+)?",
        replacement="${1}[ip]",
        guards=("colon",),
        phase=Phase.NUMBERS,
        keys=True,
        dirty=(("from 2001:db8:85a3::8a2e:370:7334", "8a2e:370"), ("fe80::1%eth0", "fe80::1")),
        clean=("12:34:56 done", "std::vector", "00:1a:2b:3c:4d:5e", "urn:isbn:0451"),
    ),
    Rule(
        id="ip-v4",
        data_class=DataClass.IP,
        pattern=rf"{_BEFORE}(?:{_OCTET}\.){{3}}{_OCTET}{_AFTER}",
        replacement="${1}[ip]${2}",
        guards=("number",),
        phase=Phase.NUMBERS,
        again=True,
        keys=True,
        dirty=(("peer 192.168.10.24:5060", "192.168.10.24"), ("10.0.0.1,10.0.0.2", "10.0.0.2")),
        clean=("version 1.2.3.4", "1.3.6.1.4.1.311", "127.0.0.1", "300.1.1.1"),
    ),
    Rule(
        id="ip-dashed",
        data_class=DataClass.IP,
        pattern=rf"\bip-{_OCTET}-{_OCTET}-{_OCTET}-{_OCTET}\b",
        replacement="[ip]",
        guards=("location",),
        phase=Phase.NUMBERS,
        dirty=(("ip-10-20-30-40.ec2.internal", "10-20-30-40"),),
        clean=("ip-10-20",),
    ),
    Rule(
        id="position-labelled",
        data_class=DataClass.POSITION,
        pattern=r"((?i:\blat(?:itude)?|\blon(?:gitude)?|\blng|緯度|経度|北緯|南緯|東経|西経)(?:\\*[\"'])?\s*[:=は]?\s*(?:\\*[\"'])?)[+-]?\d{1,3}\.\d{3,}",
        replacement="${1}[position]",
        guards=("decimal",),
        phase=Phase.NUMBERS,
        dirty=(("lat=35.681236", "35.681236"), ("北緯35.6895", "35.6895")),
        clean=("latency: 35.681236", "lat=35.68", "経度は 139.77"),
    ),
    Rule(
        id="position-pair",
        data_class=DataClass.POSITION,
        pattern=rf"(^|[^0-9A-Za-z.])(?:{_DEGREES}\.\d{{3,}} ?[,;/ ] ?-?1[0-7]\d\.\d{{3,}}|-?1[0-7]\d\.\d{{3,}} ?[,;/ ] ?{_DEGREES}\.\d{{3,}}|"
        rf"{_DEGREES}\.\d{{4,}} ?[,;] ?{_DEGREES}\.\d{{4,}})",
        replacement="${1}[position]",
        guards=("decimal",),
        phase=Phase.NUMBERS,
        keys=True,
        dirty=(
            ("at 35.681236, 139.767125", "139.767125"),
            ("POINT(139.7671 35.6812)", "35.6812"),
            ("51.5007,-0.1246", "51.5007"),
        ),
        clean=("took 12.34, 45.67", "p50 0.12345 p99 0.98765", "35.68, 139.77"),
    ),
    Rule(
        id="position-degrees",
        data_class=DataClass.POSITION,
        pattern=r"\d{1,3}\s?[°度]\s?\d{1,2}\s?['′’分](?:\s?\d{1,2}(?:\.\d+)?\s?(?:[\"″”秒]|'')?)?\s?[NSEW]?",
        replacement="[position]",
        guards=("japanese",),
        phase=Phase.NUMBERS,
        dirty=(("35°40'52\"N", "40'52"), ("東経139度46分2秒", "46分")),
        clean=("気温 35°C", "傾き 12度"),
    ),
    Rule(
        id="position-codes",
        data_class=DataClass.POSITION,
        pattern=r"\b[23456789CFGHJMPQRVWX]{8}\+[23456789CFGHJMPQRVWX]{2,3}\b|\$G[PNL](?:GGA|RMC|GLL),[^\s\"]+",
        replacement="[position]",
        guards=("location",),
        phase=Phase.NUMBERS,
        dirty=(("8Q7XMQJ8+2G", "MQJ8+2G"), ("$GPGGA,123519,3540.88,N,13946.02,E", "3540.88")),
        clean=("C++17 + 2", "W3+4"),
    ),
)

CHECKED_NUMBERS: tuple[CheckedNumber, ...] = (
    CheckedNumber(
        id="card",
        data_class=DataClass.CARD,
        pattern=r"\b(?P<n>(?:4\d{3}|5[1-5]\d{2}|2[2-7]\d{2}|3[0478]\d{2}|36\d{2}|35\d{2}|6(?:011|4[4-9]\d|5\d{2}|2\d{2}|0\d{2}|7\d{2}))(?:[ .-]{0,2}\d){9,15})\b",
        replacement="[card]",
        check="luhn",
        bare=True,
        not_like=r"^\d{0,12}$|^\d{20,}$",
        dirty=(("paid with 4111 1111 1111 1111", "4111 1111 1111 1111"), ("378282246310005", "378282246310005")),
        clean=("order 4111111111111112", "id 5500000000000005"),
    ),
    CheckedNumber(
        id="my-number",
        data_class=DataClass.MY_NUMBER,
        pattern=r"\b(?P<n>\d{4}[ .-]?\d{4}[ .-]?\d{4})\b",
        replacement="[my-number]",
        check="my-number",
        bare=False,
        not_like=r"^(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d$|^0{4}",
        dirty=(("登録 123456789018", "123456789018"),),
        clean=("order 123456789012", "202611241946"),
    ),
)
