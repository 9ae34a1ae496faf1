# ruff: noqa: E501  (expressions read better in one piece)
"""Rules for names and postal addresses, Japanese and English."""

from __future__ import annotations

from components.masking.model import DataClass, Rule

_SURNAMES = (
    "佐藤|鈴木|高橋|田中|伊藤|渡辺|渡邊|渡邉|山本|中村|小林|加藤|吉田|山田|佐々木|山口|松本|井上|木村|林|斎藤|斉藤|齋藤|齊藤|"
    "清水|山崎|阿部|森|池田|橋本|山下|石川|中島|前田|藤田|後藤|小川|岡田|村上|長谷川|近藤|石井|坂本|遠藤|青木|藤井|西村|福田|"
    "太田|三浦|藤原|岡本|松田|中川|中野|原田|小野|田村|竹内|金子|和田|中山|石田|上田|森田|柴田|酒井|工藤|横山|宮崎|宮本|"
    "内田|高木|安藤|谷口|大野|丸山|今井|高田|藤本|武田|村田|上野|杉山|増田|平野|大塚|千葉|久保|松井|小島|岩崎|桜井|野口|"
    "松尾|野村|木下|菊地|佐野|大西|杉本|新井|浜田|菅原|市川|水野|小松|島田|古川|小山|高野|西田|菊池|山内|西川|五十嵐|"
    "北村|安田|中田|川口|平田|川崎|本田|久保田|吉川|飯田|沢田|辻|関|吉村|岩田|中西|服部|樋口|福島|川上|永井|松岡|田口|"
    "山中|森本|矢野|広瀬|秋山|石原|松下|大橋|松浦|吉岡|小池|馬場|浅野|荒木|大久保|野田|小沢|田辺|川村|星野|黒田|堀|"
    "尾崎|望月|永田|熊谷|内藤|松村|西山|大谷|平井|大島|岩本|片山|本間|早川|横田|岡崎|荒井|鎌田|成田|宮田|小田|石橋|"
    "篠原|須藤|河野|大沢|小西|南|高山|栗原|伊東|松原|三宅|福井|大森|奥村|岡|内山|片岡"
)
_GIVEN = (
    r"(?:[一二三四五健健太郎次朗翔大輔介樹蓮湊陽悠真優斗颯拓哉也和正明義昭弘浩宏博幸雄夫男彦洋司志治修隆孝貴茂清勝進誠実豊稔"
    r"美子恵由佳香奈菜花華結愛葵凛莉咲陽桜紗綾彩千春夏秋冬智知直樹亮涼純潤剛光一学聡敏俊典則友裕祐佑雅仁信伸慎晋康泰"
    r"良涼遥海空心音梨里沙理絵江枝紀代世津美穂久保真希未来早雪薫忍瞳望歩唯乃衣杏萌楓朱音琴寿][々]?){1,3}"
)
_KATAKANA_SURNAMES = (
    "サトウ|スズキ|タカハシ|タナカ|イトウ|ワタナベ|ヤマモト|ナカムラ|コバヤシ|カトウ|ヨシダ|ヤマダ|ササキ|ヤマグチ|マツモト|"
    "イノウエ|キムラ|サイトウ|シミズ|ヤマザキ|アベ|イケダ|ハシモト|ヤマシタ|イシカワ|ナカジマ|マエダ|フジタ|ゴトウ|オカダ"
)
_ROMAJI = (
    "(?i:Sat[oō]u?|Suzuki|Takahashi|Tanaka|It[oō]u?|Watanabe|Yamamoto|Nakamura|Kobayashi|Kat[oō]u?|Yoshida|Yamada|Sasaki|"
    "Yamaguchi|Matsumoto|Inoue|Kimura|Hayashi|Sait[oō]u?|Shimizu|Yamazaki|Abe|Ikeda|Hashimoto|Yamashita|Ishikawa|Nakajima|"
    "Maeda|Fujita|Got[oō]u?|Ogawa|Okada|Murakami|Hasegawa|Kond[oō]u?|Ishii|Sakamoto|Aoki|Fujii|Nishimura|Fukuda|Miura|"
    "Fujiwara|Okamoto|Matsuda|Nakagawa|Harada|Tamura|Takeuchi|Kaneko|Nakayama|Ishida|Ueda|Morita|Shibata|Sakai|Miyazaki)"
)
_FIRST = (
    "James|John|Robert|Michael|William|David|Richard|Joseph|Thomas|Charles|Christopher|Daniel|Matthew|Anthony|Steven|"
    "Andrew|Kenneth|Kevin|Brian|George|Edward|Ronald|Timothy|Jason|Jeffrey|Ryan|Jacob|Gary|Nicholas|Eric|Jonathan|"
    "Stephen|Larry|Justin|Benjamin|Samuel|Gregory|Patrick|Alexander|Peter|Henry|Mary|Patricia|Jennifer|Linda|Elizabeth|"
    "Barbara|Susan|Jessica|Sarah|Karen|Nancy|Lisa|Margaret|Sandra|Ashley|Kimberly|Emily|Donna|Michelle|Carol|Amanda|"
    "Melissa|Deborah|Stephanie|Rebecca|Laura|Sharon|Cynthia|Kathleen|Amy|Angela|Anna|Emma|Olivia|Sophia|Alice|Taro|"
    "Hanako|Jiro|Ichiro|Kenji|Yuki|Haruto|Sakura|Yui|Akira|Hiroshi|Takashi|Kazuko|Yoko|Naoki"
)
_WORD = r"[A-Z](?:['’][A-Z])?[a-zà-ÿ'’]+"
_HONORIFIC = "さん|様|氏|殿|君|くん|ちゃん|先生|社長|部長|課長|係長|主任"
_PREFECTURES = (
    "(?:東京都|北海道|京都府|大阪府|(?:青森|岩手|宮城|秋田|山形|福島|茨城|栃木|群馬|埼玉|千葉|神奈川|新潟|富山|石川|福井|山梨|長野|"
    "岐阜|静岡|愛知|三重|滋賀|兵庫|奈良|和歌山|鳥取|島根|岡山|広島|山口|徳島|香川|愛媛|高知|福岡|佐賀|長崎|熊本|大分|宮崎|鹿児島|沖縄)県)"
)
_BLOCK = r"(?:[0-9]+|[一二三四五六七八九十百]+)"
_TAIL = rf"(?:(?:丁目|番地の?|番|号室?|の|-|－|ー|‐|F|階| ){{1,2}}{_BLOCK}){{0,5}}(?:号室|丁目|番地|番|号|階|F)?"

NAME_AND_ADDRESS_RULES: tuple[Rule, ...] = (
    Rule(
        id="name-honorific",
        data_class=DataClass.NAME,
        pattern=r"(?:[\p{Han}々ヶ]{1,5}[ 　]?[\p{Han}々\p{Katakana}ーﾞﾟ]{0,5}|[\p{Katakana}ーﾞﾟ・]{2,12}(?: [\p{Katakana}ーﾞﾟ]{2,8})?"
        rf"|[\p{{Hiragana}}]{{2,5}}(?: [\p{{Hiragana}}]{{2,5}})?|[A-Z][a-z]+(?: [A-Z][a-z]+)?)[ 　]?({_HONORIFIC})",
        replacement="[name]${1}",
        guards=("honorific",),
        keys=True,
        dirty=(
            ("山田太郎さんから連絡", "山田太郎"),
            ("鈴木様の端末", "鈴木"),
            ("タナカ氏", "タナカ"),
            ("さくらさん", "さくら"),
        ),
        clean=(
            "仕様を確認",
            "お客様の端末",
            "皆様へ",
            "同様の障害",
            "気温は摂氏 20 度",
            "たくさんのログ",
            "多様な機器",
        ),
    ),
    Rule(
        id="name-japanese",
        data_class=DataClass.NAME,
        pattern=rf"(?:{_SURNAMES})(?:[  ・　]{_GIVEN}|[健太郎次朗翔輔介樹斗哉也雄夫男彦美子恵香奈菜花結愛葵莉咲一二三真優大陽悠直智裕由][健太郎次朗翔"
        r"輔介樹斗哉也雄夫男彦美子恵香奈菜花結愛葵莉咲一二三真優大人希衣乃紀代江]{1,2}|[誠翔蓮葵健学樹恵愛薫忍瞳望])",
        replacement="[name]",
        guards=("japanese",),
        keys=True,
        dirty=(("登録: 佐藤 花子", "佐藤 花子"), ("高橋健太が開始", "高橋健太"), ("渡辺　真希", "渡辺　真希")),
        clean=("山口工場のカメラ", "石川県の拠点", "中村ライン 3", "千葉倉庫", "森林監視", "原田製作所"),
    ),
    Rule(
        id="name-katakana",
        data_class=DataClass.NAME,
        pattern=rf"(?:{_KATAKANA_SURNAMES})[  ・　][\p{{Katakana}}ー]{{2,6}}",
        replacement="[name]",
        guards=("japanese",),
        dirty=(("フリガナ　ヤマダ　タロウ", "タロウ"),),
        clean=("アベレージ 計測",),
    ),
    Rule(
        id="name-label-japanese",
        data_class=DataClass.NAME,
        pattern=r"((?:氏名|お?名前|作業者名?|作業員名?|担当者名?|利用者名?|使用者名?|従業員名?|社員名|顧客名|お客様名|患者名?|運転者|責任者名?|受取人|宛名|"
        r"フリガナ|ふりがな|カナ氏名|姓名|ユーザー?名|登録者名?|申請者名?|連絡者|報告者名?)(?:\\*[\"'])?(?:\([^)]*\))?"
        r"\s*(?:[:=は]|->|→)\s*(?:\\*[\"'])?)[\p{Han}\p{Hiragana}\p{Katakana}ーﾞﾟ々A-Za-zａ-ｚＡ-Ｚ]"
        r"[\p{Han}\p{Katakana}ーﾞﾟ々A-Za-zａ-ｚＡ-Ｚ'・　 -]{0,18}",
        replacement="${1}[name]",
        guards=("japanese",),
        dirty=(("氏名：御手洗 冴子", "御手洗"), ("作業者=小鳥遊ひかり", "小鳥遊"), ("名前は勅使河原です", "勅使河原")),
        clean=("氏名は必須です", "作業者数: 12", "利用者は 3 名", "担当者: 未設定"),
    ),
    Rule(
        id="name-label",
        data_class=DataClass.NAME,
        pattern=r"((?i:(?:full|first|last|given|family|display|user|customer|employee|worker|patient|operator|driver|contact|"
        r"owner|author|recipient|sender|real|nick|sur)[ _.-]?name)(?:\\*[\"'])?\s*(?:[:=]|is|=>)\s*(?:\\*[\"'])?)"
        r"[\p{L}][\p{L}'’.-]*(?: [\p{Lu}][\p{L}'’.-]*){0,3}",
        replacement="${1}[name]",
        guards=("name",),
        dirty=(("user_name=jdoe signed in", "jdoe"), ('{"fullName": "Grace Brewster Hopper"}', "Hopper")),
        clean=("user name is required", "service name: recorder", "first name: missing"),
    ),
    Rule(
        id="name-role",
        data_class=DataClass.NAME,
        pattern=r"((?i:\b(?:user|worker|employee|operator|patient|customer|driver|wearer|visitor|signed in as|logged in as|"
        r"assigned to|reported by|approved by|created by|contact|dear|hello|hi|regards)\b)(?:\\*[\"'])?\s*[:=,]\s*(?:\\*[\"'])?|"
        r"(?i:\b(?:signed in as|logged in as|assigned to|reported by|approved by|created by|picked by|dear|hello|user|worker|operator|employee|driver|patient|customer) )|\\*\"name\\*\"\s*:\s*\\*\")"
        rf"{_WORD}(?: [A-Z]\.)?(?: (?:van|de|von|der|la|di))*(?: {_WORD}(?:-{_WORD})?)+",
        replacement="${1}[name]",
        guards=("capitals",),
        dirty=(("assigned to Ada Lovelace at noon", "Lovelace"), ("worker: Jan van Dijk", "Dijk")),
        clean=("user session manager", "user: admin", "worker pool is idle", "operator console: Ready"),
    ),
    Rule(
        id="name-title",
        data_class=DataClass.NAME,
        pattern=r"\b(Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Sir|Madam)\b\.? ?[A-Z][a-zà-ÿ'’-]+(?: [A-Z][a-zA-Zà-ÿ'’-]+){0,2}",
        replacement="${1} [name]",
        guards=("capitals",),
        dirty=(("call Mr. Anderson", "Anderson"), ("Dr Emmett Brown is late", "Emmett")),
        clean=("Ms17 is a bulletin", "drive DR-1"),
    ),
    Rule(
        id="name-english",
        data_class=DataClass.NAME,
        pattern=rf"\b(?:{_FIRST})(?: [A-Z]\.?)?[ ,_]{{1,2}}(?:O'|Mc|Mac)?[A-Z][a-z]+(?:-[A-Z][a-z]+)?\b",
        replacement="[name]",
        guards=("capitals",),
        dirty=(("picked by John Smith", "Smith"), ("Hanako Yamada left", "Hanako")),
        clean=("Jordan river sensor", "Johnson control unit", "Peter-Service", "Austin region"),
    ),
    Rule(
        id="name-romaji",
        data_class=DataClass.NAME,
        pattern=rf"\b{_ROMAJI}[ ,_]{{1,2}}[A-Z][a-zō]{{2,}}\b|\b[A-Z][a-zō]{{2,}}[ ,_]{{1,2}}{_ROMAJI}\b|"
        r"\b[A-Z][a-zō]+(?: [A-Z][a-zō]+)?[- ](?i:san|sama|kun|chan|sensei)\b",
        replacement="[name]",
        guards=("capitals", "honor"),
        dirty=(("TANAKA Ichirou is here", "Ichirou"), ("Takeshi Kobayashi", "Takeshi"), ("Yamada-san", "Yamada")),
        clean=("Nakamura factory", "abe.service started", "San Francisco", "Kun framework"),
    ),
    Rule(
        id="postal-code",
        data_class=DataClass.ADDRESS,
        pattern=rf"(?:〒|郵便番号[:は]?)\s*\d{{3}}[- ]?\d{{4}}(?:\s*{_PREFECTURES}?[\p{{Han}}\p{{Hiragana}}\p{{Katakana}}ー々ヶ]*{_BLOCK}?{_TAIL})?",
        replacement="[address]",
        guards=("japanese",),
        dirty=(("〒105-0011 東京都港区芝公園4-2-8", "105-0011"), ("郵便番号:1050011", "1050011")),
        clean=("郵便番号は必須", "番号: 105-0011"),
    ),
    Rule(
        id="address-japanese",
        data_class=DataClass.ADDRESS,
        pattern=rf"{_PREFECTURES}\s?[^\s、。,:;\"'\[\]]{{1,16}}?[市区町村郡島]\s?[^、。,:;\"'\[\]0-9]{{0,20}}?{_BLOCK}{_TAIL}"
        r"(?:[\s　][\p{Han}\p{Hiragana}\p{Katakana}ーﾞﾟ々A-Za-z]{2,20}(?:ビル|マンション|ハイツ|荘|タワー|コーポ|アパート|寮|団地)?\s?\d{0,4}(?:号室|階|F)?)?",
        replacement="[address]",
        guards=("japanese",),
        keys=True,
        dirty=(("東京都千代田区永田町1-7-1に配送", "永田町"), ("大阪府大阪市北区梅田三丁目1番3号", "梅田")),
        clean=("東京都のサーバー", "大阪府リージョン 3", "北海道データセンター"),
    ),
    Rule(
        id="address-town",
        data_class=DataClass.ADDRESS,
        pattern=rf"[\p{{Han}}ヶケ]{{1,6}}[市区町村郡][\p{{Han}}\p{{Hiragana}}\p{{Katakana}}ー々ヶ]{{1,12}}(?:{_BLOCK}(?:丁目|番地)|\d{{1,4}}-\d{{1,4}}-\d{{1,4}}){_TAIL}"
        r"(?:\s?[\p{Han}\p{Katakana}ーﾞﾟ々A-Za-z]{2,20}(?:ビル|マンション|ハイツ|荘|タワー|コーポ|アパート)\s?\d{0,4}(?:号室|階|F)?)?",
        replacement="[address]",
        guards=("japanese",),
        dirty=(("港区芝公園4-2-8", "芝公園4-2-8"), ("横浜市中区日本大通1丁目", "日本大通")),
        clean=("作業区域3-2", "市区町村コード 13103", "区画 12-3-4 を清掃"),
    ),
    Rule(
        id="address-romaji",
        data_class=DataClass.ADDRESS,
        pattern=r"\b\d{1,4}(?:-\d{1,4}){1,3},? [A-Z][a-z]+(?:-[a-z]+)?(?: [A-Z][a-z]+)?,? [A-Z][a-z]+-(?i:ku|shi|cho|machi|gun|son|mura)\b"
        r"(?:,? [A-Z][a-z]+(?:-[a-z]+)?)*(?:,? \d{3}-\d{4})?",
        replacement="[address]",
        guards=("capitals",),
        dirty=(("4-2-8 Shibakoen, Minato-ku, Tokyo 105-0011", "Shibakoen"),),
        clean=("1-2 Retries in Minato-ku",),
    ),
    Rule(
        id="address-english",
        data_class=DataClass.ADDRESS,
        pattern=r"\b\d{1,5}[A-Za-z]? (?:[NSEW]\.? |North |South |East |West )?(?:[A-Z][a-z][A-Za-z'.]* |\d{1,3}(?:st|nd|rd|th) ){1,4}"
        r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Terrace|Way|Highway|"
        r"Hwy|Parkway|Pkwy|Close|Crescent)\b\.?(?:,? (?:Apt|Apartment|Suite|Ste|Unit|Flat|#)\.? ?[A-Za-z0-9-]+)?"
        r"(?:,? [A-Z][A-Za-z]+(?: [A-Z][A-Za-z]+)*)?(?:,? [A-Z]{2}\b)?(?:,? \d{5}(?:-\d{4})?)?(?:,? [A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}\b)?",
        replacement="[address]",
        guards=("capitals",),
        dirty=(
            ("ship to 221B Baker Street, London NW1 6XE", "Baker Street"),
            ("1600 Pennsylvania Ave, Washington, DC 20500", "Pennsylvania"),
        ),
        clean=("3 Retries on Drive D", "200 OK Drive mounted"),
    ),
    Rule(
        id="postcode-english",
        data_class=DataClass.ADDRESS,
        pattern=r"\b(?:[A-Z]{1,2}\d[A-Z\d]? \d[ABD-HJLNP-UW-Z]{2}|P\.? ?O\.? Box \d+)\b",
        replacement="[address]",
        guards=("capitals", "location"),
        dirty=(("to SW1A 1AA please", "SW1A 1AA"), ("P.O. Box 4711", "4711")),
        clean=("build AB12 345",),
    ),
)
