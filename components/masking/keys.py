"""Attributes that are removed or hashed for their key, and those whose numbers are known to be harmless."""

from __future__ import annotations

from components.masking.model import DataClass, KeyRule

REMOVED_KEYS: tuple[KeyRule, ...] = (
    KeyRule(
        id="key-password",
        data_class=DataClass.PASSWORD,
        pattern=r"\w*pass(?:word|wd|phrase|code)|\w*pwd|\w*secret|client_?secret|\w*credentials?|pin_?code|otp|cvv2?|cvc2?|パスワード|暗証番号|合言葉",
        dirty=("password", "db.password", "userPassword", "client_secret", "http.request.header.x-secret"),
        clean=("password.policy", "secretary", "passed"),
    ),
    KeyRule(
        id="key-token",
        data_class=DataClass.TOKEN,
        pattern=r"\w*token|\w*api[_-]?key|\w*access[_-]?key|\w*private[_-]?key|\w*secret[_-]?key|\w*encryption[_-]?key|"
        r"(?:proxy-|x-)?authorization|\w*bearer|jwt|x-api-key|\w*session[_-]?key|トークン|秘密鍵",
        dirty=("token", "accessToken", "http.request.header.authorization", "x-api-key", "stripe_api_key"),
        clean=("gen_ai.usage.input_tokens", "token.count", "cache.key", "authorization.policy"),
    ),
    KeyRule(
        id="key-cookie",
        data_class=DataClass.COOKIE,
        pattern=r"(?:set-)?cookies?|jsessionid|phpsessid|sessid",
        dirty=("cookie", "http.request.header.cookie", "set-cookie"),
        clean=("cookie.count",),
    ),
    KeyRule(
        id="key-name",
        data_class=DataClass.NAME,
        pattern=r"(?:user|enduser|employee|worker|operator|customer|patient|driver|staff|member|contact|person|owner|wearer|account|login|display|full|first|last|given|family|middle|sur|nick|maiden|real)"
        r"[._-]?(?:full[._-]?|display[._-]?|first[._-]?|last[._-]?)?name|user|username|surname|nickname|氏名|お?名前|姓|名|フリガナ|ふりがな|作業者名?|担当者名?|社員名|従業員名|利用者名|ユーザー?名|患者名|顧客名",
        dirty=("user.name", "userName", "full_name", "enduser.name", "氏名", "worker.display_name"),
        clean=("service.name", "db.name", "thread.name", "user.session.active", "screen.name"),
    ),
    KeyRule(
        id="key-mail",
        data_class=DataClass.MAIL,
        pattern=r"\w*e?-?mail(?:[._-]?address)?|メール(?:アドレス)?",
        dirty=("email", "user.email", "contactEmailAddress", "メールアドレス"),
        clean=("mail.count", "mailer", "email.queue.length"),
    ),
    KeyRule(
        id="key-phone",
        data_class=DataClass.PHONE,
        pattern=r"\w*phone(?:[._-]?(?:number|no))?|tel|telephone|mobile(?:[._-]?(?:number|no))?|fax|msisdn|電話(?:番号)?|携帯(?:番号|電話)?",
        dirty=("phone", "phoneNumber", "user.phone_number", "電話番号"),
        clean=("telemetry", "microphone.level", "hotel"),
    ),
    KeyRule(
        id="key-address",
        data_class=DataClass.ADDRESS,
        pattern=r"(?:home|postal|street|mailing|billing|shipping|delivery|residential|user|customer)[._-]?(?:address|addr)|street|zip[._-]?code|postal[._-]?code|postcode|住所|郵便番号|現住所|birth[._-]?(?:day|date|place)|date[._-]?of[._-]?birth|生年月日|ssn",
        dirty=("home_address", "postalCode", "住所", "date_of_birth"),
        clean=("server.address", "network.peer.address", "stream.street_lamps"),
    ),
    KeyRule(
        id="key-number",
        data_class=DataClass.MY_NUMBER,
        pattern=r"my[._-]?number|individual[._-]?number|マイナンバー|個人番号|(?:credit[._-]?)?card[._-]?(?:number|no|num)|pan|カード番号|passport[._-]?(?:number|no)|license[._-]?(?:number|no)|免許証番号|iban|bank[._-]?account|口座番号",
        dirty=("my_number", "card.number", "creditCardNumber", "マイナンバー"),
        clean=("sequence.number", "card.slot", "span.count", "line.number"),
    ),
)

POSITION_KEYS = KeyRule(
    id="key-position",
    data_class=DataClass.POSITION,
    pattern=r"lat|latitude|lon|lng|long|longitude|緯度|経度|alt|altitude",
    dirty=("geo.location.lat", "longitude", "gps_lat"),
    clean=("latency", "platform", "long_running"),
)
"""Removed only where the value has more than two decimals: about a kilometre."""

HASHED_KEYS = KeyRule(
    id="key-id",
    data_class=DataClass.NAME,
    pattern=r"(?i:worker|user|enduser|employee|operator|staff|driver|member|customer|person|wearer|patient|account|login|subject|device|session)"
    r"[._-]?(?i:id|no|code|number)|作業者ID|社員番号|従業員番号|利用者ID|ユーザーID",
    dirty=("worker.id", "workerId", "user.id", "enduser.id", "device_id", "社員番号"),
    clean=("trace.id", "work.id", "device.model.identifier", "order_id", "k8s.pod.uid"),
)
"""Joined by: the value becomes a keyed hash, the same in every signal."""


def whole(pattern: str) -> str:
    """Expression for a complete (flattened) key that ends in what ``pattern`` names."""
    return rf"(?i)(?:^|[._\-\[\]/ :])(?:{pattern})(?:[._\[\]]*\d+\]?)*$"


def anchored(pattern: str) -> str:
    """Expression for a whole key, after at most two words with dots; fails at once on most keys."""
    return rf"^(?:[a-z]+\.){{0,2}}(?:{pattern})$"
