# ruff: noqa: E501  (expressions read better in one piece)
"""Before and around the rules: text is brought to one form, and what only looks like a number is kept apart.

Normalised text takes the place of the original only in a record in which a rule found something.
"""

from __future__ import annotations

from components.masking.model import Step

PLACEHOLDER = "q␀q"
"""Put between the parts of harmless look-alikes while the number rules run."""

_WIDE = "０１２３４５６７８９"
_FULL = "[０-９]"

NORMALISATION: tuple[Step, ...] = (
    Step(
        why="invisible characters split words",
        pattern=r"[\x{200b}-\x{200f}\x{202a}-\x{202e}\x{2060}-\x{2064}\x{feff}\x{ad}\x{180e}]",
        replacement="",
        guard=r"[\x{200b}-\x{200f}\x{202a}-\x{202e}\x{2060}-\x{2064}\x{feff}\x{ad}\x{180e}]",
        keys=True,
    ),
    Step(
        why="percent signs encoded twice",
        pattern="%25",
        replacement="%",
        flag="encoded",
    ),
    *(
        Step(why=f"encoded {plain!r}", pattern=pattern, replacement=plain, flag="encoded")
        for pattern, plain in (
            (r"(?i)%40|&#0*64;|&#x0*40;|&commat;|\\+u0040|\\+x40", "@"),
            (r"(?i)%2e|&#0*46;|&#x0*2e;|&period;|\\+u002e", "."),
            (r"(?i)%2d|&#0*45;|&#x0*2d;|\\+u002d", "-"),
            (r"(?i)%2b|&#0*43;|&plus;|\\+u002b", "+"),
            (r"(?i)%3a|&#0*58;|&colon;|\\+u003a", ":"),
            (r"(?i)%3d|&#0*61;|&equals;|\\+u003d", "="),
            (r"(?i)%2c|&#0*44;|&comma;", ","),
            (r"(?i)%20|&nbsp;|&#0*160;|&#0*32;", " "),
            (r"(?i)%22|&quot;|&#0*34;", '"'),
            (r"(?i)%3c|&lt;|&#0*60;|\\+u003c", "<"),
            (r"(?i)%3e|&gt;|&#0*62;|\\+u003e", ">"),
            (r"(?i)%26|&amp;|\\+u0026", "&"),
        )
    ),
    Step(
        why="encoded digits",
        pattern=r"(?i)%3([0-9])|\\+u003([0-9])|&#x3([0-9]);",
        replacement="${1}${2}${3}",
        flag="encoded",
    ),
    Step(
        why="tags split words",
        pattern=r"<!--[^<>]{0,80}-->|</?[A-Za-z][A-Za-z0-9]{0,15}(?:\s[^<>]{0,200})?/?>",
        replacement="",
        flag="tags",
    ),
    *(
        Step(why="full-width digits", pattern=wide, replacement=str(value), flag="wide")
        for value, wide in enumerate(_WIDE)
    ),
    *(
        Step(why="full-width signs", pattern=pattern, replacement=plain, flag="wide")
        for pattern, plain in (
            ("[＠﹫]", "@"),
            ("[．｡﹒]", "."),
            ("：", ":"),
            ("＝", "="),
            ("（", "("),
            ("）", ")"),
            ("＋", "+"),
            ("／", "/"),
        )
    ),
    *(
        Step(
            why="dashes between digits",
            pattern=r"([0-9)丁目番地]) ?[－‐‑‒–—―−ー─ｰ﹣] ?([0-9(])",
            replacement="${1}-${2}",
            flag="apart",
        )
        for _ in range(2)
    ),
    *(
        Step(
            why="spaces and dots between digits",
            pattern=r"([0-9)])[　・\x{2000}-\x{200a}\x{202f}\x{a0}]([0-9(])",
            replacement="${1} ${2}",
            flag="apart",
        )
        for _ in range(2)
    ),
)

_P = PLACEHOLDER

WORDS_KEPT: tuple[Step, ...] = (
    Step(
        why="words with an honorific's character that are no names",
        pattern="(仕|同|模|多|一|異|左|客|皆|王|神|貴|殿|若|文|外|別|奥|旦那|お子)様",
        replacement=f"${{1}}{_P}様",
        guard="様",
    ),
    Step(
        why="words with an honorific's character that are no names",
        pattern="様(々|子|式|態|相)",
        replacement=f"{_P}様${{1}}",
        guard="様",
    ),
    Step(
        why="words with an honorific's character that are no names",
        pattern="(たく|みな|皆|お客|おかあ|おとう|おじ|おば|お母|お父|お兄|お姉|おじい|おばあ|お嬢|奥|業者|メーカー)さん",
        replacement=f"${{1}}{_P}さん",
        guard="さん",
    ),
    Step(
        why="words with an honorific's character that are no names",
        pattern="(摂|華|彼|両|同|諸)氏",
        replacement=f"${{1}}{_P}氏",
        guard="氏",
    ),
    Step(
        why="words with an honorific's character that are no names",
        pattern="氏(名|族|神)",
        replacement=f"{_P}氏${{1}}",
        guard="氏",
    ),
    Step(
        why="words with an honorific's character that are no names",
        pattern="(御|神|宮|拝|本|沈|貴)殿",
        replacement=f"${{1}}{_P}殿",
        guard="殿",
    ),
    Step(
        why="words with an honorific's character that are no names",
        pattern="殿(堂|下)",
        replacement=f"{_P}殿${{1}}",
        guard="殿",
    ),
    Step(
        why="words with an honorific's character that are no names",
        pattern="(諸|暴|主|名|細|四)君|君(主|臨)",
        replacement=f"${{1}}{_P}君${{2}}",
        guard="君",
    ),
    Step(
        why="a role is no name",
        pattern="(担当|販売|製造|通信|営業|運用|開発|総務|人事|経理|技術|品質|保守|設備)(部長|課長|係長|主任)",
        replacement=f"${{1}}{_P}${{2}}",
        guard="部長|課長|係長|主任",
    ),
    Step(
        why="a label with no secret behind it",
        pattern=r"(?i)(password|passwd|pwd|secret|token|api[_-]?key|session[_-]?id|credentials?|otp|パスワード|暗証番号|トークン|name|氏名|名前|担当者名?|作業者名?)"
        r"((?:\\*[\"'])?\s*(?:[:=]|は|is)\s*(?:\\*[\"'])?)((?:required|missing|invalid|expired|null|none|nil|true|false|ok|unknown|empty|changed|reset|"
        r"rejected|accepted|valid|incorrect|wrong|undefined|unset|n/a|yes|no)\b|必須|未設定|不明|無効|有効|自動|なし|変更|期限切れ|間違)",
        replacement=f"${{1}}{_P}${{2}}${{3}}",
        guard=r"required|missing|invalid|expired|null|none|nil|true|false|ok|unknown|empty|changed|reset|rejected|accepted|valid|incorrect|wrong|"
        "undefined|unset|n/a|yes|no|必須|未設定|不明|無効|有効|自動|なし|変更|期限切れ|間違",
    ),
    Step(
        why="accounts of programs",
        pattern=r"\b(git|getty|user|nobody|noreply)@",
        replacement=f"${{1}}{_P}@{_P}",
        guard="@",
    ),
    Step(
        why="units of systemd",
        pattern=r"@([\w.-]+\.(?:service|socket|timer|mount|target|slice))\b",
        replacement=f"{_P}@{_P}${{1}}",
        guard="@",
    ),
)

NUMBERS_KEPT: tuple[Step, ...] = (
    Step(
        why="UUIDs",
        pattern=r"\b([0-9a-fA-F]{8})-([0-9a-fA-F]{4})-([0-9a-fA-F]{4})-([0-9a-fA-F]{4})-([0-9a-fA-F]{12})\b",
        replacement=f"{_P}${{1}}{_P}-{_P}${{2}}{_P}-{_P}${{3}}{_P}-{_P}${{4}}{_P}-{_P}${{5}}{_P}",
        guard="[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-",
    ),
    Step(
        why="versions of four numbers",
        pattern=r"(?i)\b(version|ver\.?|v|release|build|firmware|rev|fw|バージョン|版)([ :=/]{0,3})(\d+)\.(\d+)\.(\d+)\.(\d+)",
        replacement=f"${{1}}${{2}}${{3}}{_P}.{_P}${{4}}{_P}.{_P}${{5}}{_P}.{_P}${{6}}",
        guard=r"[0-9]\.[0-9]+\.[0-9]",
    ),
    Step(
        why="addresses of the machine itself",
        pattern=r"\b(127\.0\.0\.1|0\.0\.0\.0|255\.255\.255\.\d{1,3})\b",
        replacement=f"{_P}${{1}}{_P}",
        guard=r"127\.0\.0\.1|0\.0\.0\.0|255\.255",
    ),
)
