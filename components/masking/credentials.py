"""Rules for secrets: keys, tokens, passwords, cookies."""

from __future__ import annotations

from components.masking.model import DataClass, Rule

_LABEL = (
    r"(?i:password|passwd|passphrase|passcode|pwd|passwort|secret|secret[_-]?key|token|api[_-]?key|apikey|"
    r"access[_-]?key(?:[_-]?id)?|account[_-]?key|shared[_-]?access[_-]?key|encryption[_-]?key|signing[_-]?key|"
    r"session[_-]?id|sessid|jsessionid|phpsessid|asp\.net_sessionid|connect\.sid|credentials?|pin[_-]?code|otp|"
    r"one[_-]?time[_-]?code|cvv2?|cvc2?|x-amz-signature|x-amz-security-token|auth[_-]?code|verification[_-]?code|"
    r"パスワード|パスコード|暗証番号|合言葉|認証コード|確認コード|秘密鍵|トークン|シークレット)"
)
_SEPARATOR = r"(?:\\*[\"'])?\s*(?:=>|:=|[:=]|は)\s*"

CREDENTIAL_RULES: tuple[Rule, ...] = (
    Rule(
        id="private-key",
        data_class=DataClass.KEY,
        pattern=r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"
        r"(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|$)",
        replacement="[private-key]",
        guards=("pem",),
        dirty=(
            ("-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7\n-----END RSA PRIVATE KEY-----", "MIIEowIBAAKCAQEA7"),
            ("key: -----BEGIN OPENSSH PRIVATE KEY-----\\nb3BlbnNzaC1rZXktdjEA", "b3BlbnNzaC1rZXktdjEA"),
        ),
        clean=("-----BEGIN CERTIFICATE-----", "the private key was rotated"),
    ),
    Rule(
        id="putty-key",
        data_class=DataClass.KEY,
        pattern=r"Private-Lines: ?\d+(?s:.*?)(?:Private-MAC: ?[0-9a-f]*|$)",
        replacement="[private-key]",
        guards=("pem",),
        dirty=(("Private-Lines: 8\nAAAAgQCXvQ6k\nPrivate-MAC: 00ff", "AAAAgQCXvQ6k"),),
        clean=("private lines of the hotline",),
    ),
    Rule(
        id="jwt",
        data_class=DataClass.JWT,
        pattern=r"\bey[JI][A-Za-z0-9_-]{8,}\s*(?:\.\s*[A-Za-z0-9_-]+){1,4}",
        replacement="[jwt]",
        guards=("jwt",),
        keys=True,
        dirty=(
            ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmN", "eyJzdWIiOiIxMjM0NTY3ODkwIn0"),
        ),
        clean=("eyJ is how tokens begin", "keyjar.v2.loaded"),
    ),
    Rule(
        id="authorization",
        data_class=DataClass.TOKEN,
        pattern=r"(?i)\b((?:proxy-|x-)?authorization(?:\\*[\"'])?\s*[:=]\s*(?:\\*[\"'])?)"
        r"(?:[a-z0-9-]+\s+)?[^\s\"',;\\][^\r\n\"'\\]*",
        replacement="${1}[token]",
        guards=("auth",),
        dirty=(
            ("Authorization: Bearer abcDEF123456", "abcDEF123456"),
            ("authorization=Basic dGFybzpzM2NyZXQ=", "dGFybzpz"),
        ),
        clean=("authorization failed for the route", "authorization server is up"),
    ),
    Rule(
        id="bearer",
        data_class=DataClass.TOKEN,
        pattern=r"\b((?i:bearer|basic|apikey))[\s+]+(?:[A-Za-z0-9._~+/-]*[0-9][A-Za-z0-9._~+/-]*=*|"
        r"[A-Za-z0-9._~+/-]+=+|[a-zA-Z._~+/-]+[A-Z._~+/-][a-zA-Z._~+/-]{6,}=*)",
        replacement="${1} [token]",
        guards=("auth",),
        dirty=(("sent Bearer s3cr3t.t0ken-value", "s3cr3t.t0ken"), ("header basic dGFybzpwYXNz", "dGFybzpwYXNz")),
        clean=("Basic authentication failed", "Bearer token is missing", "basic check passed"),
    ),
    Rule(
        id="cookie",
        data_class=DataClass.COOKIE,
        pattern=r"(?i)\b((?:set-)?cookies?(?:\\*[\"'])?\s*[:=]\s*(?:\\*[\"'])?)[^\r\n\"'=\\]{1,60}=[^\r\n\"'\\]*",
        replacement="${1}[cookie]",
        guards=("auth",),
        dirty=(
            ("Cookie: sid=38afes7a8; theme=dark", "38afes7a8"),
            ("Set-Cookie: session=abc.def; HttpOnly", "abc.def"),
        ),
        clean=("cookie: rejected", "cookies are switched off"),
    ),
    Rule(
        id="secret-quoted",
        data_class=DataClass.PASSWORD,
        pattern=rf"({_LABEL}{_SEPARATOR}\\*[\"'])[^\"'\\]+",
        replacement="${1}[secret]",
        guards=("secret", "japanese"),
        dirty=(("password: 'correct horse battery'", "correct horse"), ('{\\"api_key\\": \\"k-12 34\\"}', "k-12 34")),
        clean=("password: ''", 'token bucket "burst" is full'),
    ),
    Rule(
        id="secret",
        data_class=DataClass.PASSWORD,
        pattern=rf"({_LABEL}{_SEPARATOR})[^\s\"'&,;<>{{}}()\[\]\\][^\s\"'&,;<>\\]*",
        replacement="${1}[secret]",
        guards=("secret", "japanese"),
        dirty=(("login with password=hunter2 failed", "hunter2"), ("パスワードは himitsu123 です", "himitsu123")),
        clean=("password=required", "max_tokens=512", "token: expired", "secret: none", "パスワードは必須です"),
    ),
    Rule(
        id="secret-said",
        data_class=DataClass.PASSWORD,
        pattern=r"(?i)\b((?:password|passphrase|passcode|pin|token|secret|api key)\s+(?:is|was|set to)\s+)"
        r"[\"'`]?[^\s\"'`]*[0-9!#$%^&*][^\s\"'`]*",
        replacement="${1}[secret]",
        guards=("secret",),
        dirty=(("the password is Tr0ub4dor&3", "Tr0ub4dor"),),
        clean=("password is incorrect", "token was refreshed"),
    ),
    Rule(
        id="url-login",
        data_class=DataClass.PASSWORD,
        pattern=r"([A-Za-z][A-Za-z0-9+.-]*://)[^/\s:@\"']*:[^/\s\"']+@",
        replacement="${1}[login]@",
        guards=("at",),
        dirty=(("postgres://app:pa55w0rd@db.internal:5432/works", "pa55w0rd"),),
        clean=("http://db.internal:8080/a@b",),
    ),
    Rule(
        id="query-secret",
        data_class=DataClass.TOKEN,
        pattern=r"(?i)([?&;](?:access_token|refresh_token|id_token|token|api_?key|sig|signature|code|auth|key|"
        r"x-amz-credential|se?ssion|sid|mail|e-?mail|tel|phone|address)=)[^&#\s\"'<>\\]{4,}",
        replacement="${1}[removed]",
        guards=("query",),
        dirty=(("GET /v?sig=Zm9vYmFyYmF6&x=1", "Zm9vYmFyYmF6"), ("/cb?code=4aBcD9&state=x", "4aBcD9")),
        clean=("/api/works?page=2&size=50", "/list?sort=key"),
    ),
    Rule(
        id="query-name",
        data_class=DataClass.NAME,
        pattern=r"(?i)([?&;](?:user_?)?(?:name|user|q|keyword|addr(?:ess)?)=)[^&#\s\"'<>\\]*%[c-f][0-9a-f][^&#\s\"'<>\\]*",
        replacement="${1}[removed]",
        guards=("percent",),
        dirty=(("/find?name=%E5%B1%B1%E7%94%B0", "%E5%B1%B1"),),
        clean=("/find?name=daily%20report",),
    ),
    Rule(
        id="known-token",
        data_class=DataClass.TOKEN,
        pattern=r"(?:\b(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ANVA)[A-Z0-9]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,}|"
        r"\bgithub_pat_[A-Za-z0-9_]{20,}|\bxox[abeoprs]-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/[A-Za-z0-9/]+|"
        r"\b[srp]k_(?:live|test)_[A-Za-z0-9]{10,}|\bsk-[A-Za-z0-9_-]{16,}|\bAIza[0-9A-Za-z_-]{30,}|"
        r"\bya29\.[A-Za-z0-9_-]{20,}|\bglpat-[A-Za-z0-9_-]{16,}|\bnpm_[A-Za-z0-9]{30,}|\bpypi-[A-Za-z0-9_-]{16,}|"
        r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|\bhf_[A-Za-z0-9]{20,}|\bdckr_pat_[A-Za-z0-9_-]{20,}|"
        r"\bhv[sb]\.[A-Za-z0-9_-]{20,}|\bdop_v1_[0-9a-f]{32,}|\bLTAI[A-Za-z0-9]{12,}|\bshp(?:at|ss)_[0-9a-fA-F]{32}|"
        r"\b\d{8,10}:AA[A-Za-z0-9_-]{30,}|\bAccountKey=[A-Za-z0-9+/=]{20,})",
        replacement="[token]",
        guards=("known-token",),
        keys=True,
        dirty=(
            ("used AKIAIOSFODNN7EXAMPLE today", "AKIAIOSFODNN7EXAMPLE"),
            ("ghp_0123456789abcdefghij0123", "ghp_0123456789"),
        ),
        clean=("AKIA is a prefix", "task sk-17 is done", "ghp_ prefixes are refused"),
    ),
    Rule(
        id="mail",
        data_class=DataClass.MAIL,
        pattern=r"(?:\"[^\"@\s]+(?: [^\"@\s]+)*\"|[\p{L}\p{N}._%+'!#$&*/=?^|~-]+) ?@ ?"
        r"[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)*\.[\p{L}][\p{L}\p{N}-]*\p{L}",
        replacement="[mail]",
        guards=("at",),
        keys=True,
        dirty=(
            ("from taro.yamada+x@example.co.jp", "taro.yamada"),
            ("連絡先：ｔａｒｏ＠ｅｘａｍｐｌｅ．ｃｏｍ", "ｔａｒｏ"),
        ),
        clean=(
            "npm i left-pad@1.3.0",
            "clone git@github.com:org/repo.git",
            "unit getty@tty1.service failed",
            "root@node1",
        ),
    ),
    Rule(
        id="mail-spelled",
        data_class=DataClass.MAIL,
        pattern=r"(?i)[a-z0-9._%+-]+\s*(?:\[at\]|\(at\)|\{at\}|<at>|_at_|\sat\s|アットマーク)\s*"
        r"[a-z0-9-]+(?:\s*(?:\[dot\]|\(dot\)|\{dot\}|\sdot\s|_dot_|ドット)\s*[a-z0-9-]+)+|"
        r"[a-z0-9._%+-]+\s*(?:\[at\]|\(at\)|\{at\}|アットマーク)\s*[a-z0-9-]+(?:\.[a-z0-9-]+)+",
        replacement="[mail]",
        guards=("spelled",),
        dirty=(("write taro [at] example [dot] com", "taro [at]"), ("hanako(at)example.jp", "hanako")),
        clean=("error at com.example.Main.run", "looked at dot plots"),
    ),
)
