package masking

import (
	"strings"
	"unicode/utf8"
)

// tokenRule is how one issuer's keys look.
type tokenRule struct {
	prefix string
	least  int    // characters behind the prefix
	most   int    // 0: any number
	also   string // characters besides letters and digits
	upper  bool   // capital letters and digits only
}

var tokenRules = func() map[byte][]tokenRule {
	byFirst := map[byte][]tokenRule{}
	add := func(least, most int, also string, upper bool, prefixes string) {
		for _, prefix := range strings.Fields(prefixes) {
			rule := tokenRule{prefix: prefix, least: least, most: most, also: also, upper: upper}
			byFirst[prefix[0]] = append(byFirst[prefix[0]], rule)
		}
	}
	add(16, 16, "", true, "AKIA ASIA AGPA AIDA AROA ANPA ANVA")
	add(20, 0, "", false, "ghp_ gho_ ghu_ ghs_ ghr_ hf_ ")
	add(20, 0, "_", false, "github_pat_ glsa_ figd_ rubygems_ lin_api_ sbp_ whsec_ ops_ shpat_ shpss_ shpca_ shppa_")
	add(10, 0, "-", false, "xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs- xapp-")
	add(10, 0, "", false, "sk_live_ sk_test_ rk_live_ rk_test_ pk_live_ pk_test_ LTAI")
	add(12, 0, "_-.", false, "SG. ya29.")
	add(16, 0, "_-", false, "sk- glpat- gldt- glrt- pypi- PMAK- NRAK- GOCSPX- sq0csp- sq0atp- ATATT3 EAAC AKCp")
	add(20, 0, "_-", false, "AIza dckr_pat_ hvs. hvb. hvr. CFPAT- tfp_ pnu_ v1. key-")
	add(30, 0, "", false, "npm_ dapi")
	add(32, 0, "", false, "dop_v1_ doo_v1_ dor_v1_")
	add(20, 0, "", true, "AGE-SECRET-KEY-1")
	add(20, 0, "", false, "pul-")
	add(20, 0, "_-.", false, "v1.local. v2.local. v3.local. v4.local. v1.public. v2.public. v3.public. v4.public.")
	add(8, 0, "/", false, "services/T") // of Slack's web hooks
	return byFirst
}()

// secrets finds what is a secret by its own form.
func (w *work) secrets() {
	n := w.n
	for index := range w.words {
		each := &w.words[index]
		start := int(each.start)
		if each.glued || start > 0 && (isDigit(n[start-1]) || n[start-1] == '_') {
			continue
		}
		if rules := tokenRules[n[start]]; rules != nil {
			for _, rule := range rules {
				if end := rule.match(w, n[start:]); end > 0 {
					w.find(start, start+end, Token)
					break
				}
			}
		}
		if n[start] == 'e' && strings.HasPrefix(n[start:], "ey") {
			w.jwt(start)
		}
		if each.kind&privateWord != 0 {
			w.privateKey(start, int(each.end))
		}
	}
	for from := 0; ; {
		at := strings.Index(n[from:], ":AA") // a bot's token: digits, colon, letters
		if at < 0 {
			return
		}
		at += from
		from = at + 3
		begin := at
		for begin > 0 && isDigit(n[begin-1]) {
			begin--
		}
		end := token(n, at+1, "_-")
		if at-begin >= 8 && at-begin <= 10 && end-at > 30 {
			w.find(begin, end, Token)
		}
	}
}

func (r tokenRule) match(w *work, text string) int {
	if !strings.HasPrefix(text, r.prefix) || w.left < 0 {
		return 0
	}
	end := token(text, len(r.prefix), r.also)
	w.spend(end)
	rest := text[len(r.prefix):end]
	if len(rest) < r.least || r.most > 0 && len(rest) != r.most {
		return 0
	}
	if r.upper && strings.ToUpper(rest) != rest {
		return 0
	}
	if r.prefix == "sk-" || r.prefix == "key-" || r.prefix == "v1." || r.prefix == "hf_" || r.prefix == "ops_" || r.prefix == "dapi" {
		if !strings.ContainsAny(rest, "0123456789") {
			return 0 // words joined by dashes
		}
	}
	return end
}

// token is the end of letters, digits and some other characters from start on.
func token(text string, start int, also string) int {
	for start < len(text) && (isAlnum(text[start]) || strings.IndexByte(also, text[start]) >= 0) {
		start++
	}
	return start
}

func (w *work) jwt(start int) {
	n := w.n
	if len(n)-start < 12 || n[start+2] != 'J' && n[start+2] != 'I' {
		return
	}
	if w.left < 0 {
		return
	}
	end := token(n, start, "_-")
	w.spend(end - start)
	if end-start < 11 {
		return
	}
	parts := 0
	for parts < 4 {
		next := end
		for next < len(n) && isSpace(n[next]) {
			next++
		}
		if next >= len(n) || n[next] != '.' {
			break
		}
		next++
		for next < len(n) && isSpace(n[next]) {
			next++
		}
		last := token(n, next, "_-")
		if last == next {
			break
		}
		end = last
		parts++
	}
	if parts > 0 {
		w.find(start, end, Token)
	}
}

func (w *work) privateKey(start, end int) {
	n := w.n
	if strings.HasPrefix(n[start:], "PRIVATE KEY") {
		begin := strings.LastIndex(n[:start], "-----BEGIN")
		if begin < 0 || start-begin > 40 {
			return
		}
		last := strings.Index(n[end:], "-----END")
		if last < 0 {
			w.find(begin, len(n), PrivateKey)
			return
		}
		last += end
		if line := strings.Index(n[last+8:], "-----"); line >= 0 {
			last += 8 + line + 5
		}
		w.find(begin, last, PrivateKey)
	}
	if strings.HasPrefix(n[start:], "Private-Lines:") {
		last := strings.Index(n[start:], "Private-MAC:")
		if last < 0 {
			w.find(start, len(n), PrivateKey)
			return
		}
		w.find(start, token(n, start+last, "-: "), PrivateKey)
	}
}

// labels finds secrets, names and numbers behind a word that says what they are.
func (w *work) labels() {
	const any = secretLabel | secretSuffix | nameLabel | schemeWord | headerWord | cookieWord | idLabel | role | bornWord |
		accountWord | networkWord | keyNumberWord | phoneWord | cardWord | asToBy
	if w.seen&any == 0 {
		return
	}
	for index := range w.words {
		bits := w.words[index].kind
		if bits&any == 0 {
			continue
		}
		if bits&secretLabel != 0 || bits&secretSuffix != 0 && w.qualified(index, qualifier) {
			w.secretBehind(index)
		}
		if bits&schemeWord != 0 {
			w.schemeBehind(index)
		}
		if bits&(headerWord|cookieWord) != 0 {
			w.headerBehind(index)
		}
		if bits&nameLabel != 0 {
			w.nameBehind(index)
		}
		if bits&(role|asToBy|idLabel) != 0 {
			w.personBehind(index)
		}
		if bits&(bornWord|accountWord|networkWord|keyNumberWord) != 0 {
			w.detailBehind(index)
		}
	}
}

// qualified tells whether the word in front belongs to the label: api_key, sessionId, verification code.
func (w *work) qualified(index int, kinds kind) bool {
	if index == 0 || w.words[index-1].kind&kinds == 0 {
		return false
	}
	gap := w.between(index-1, index)
	return gap == "" || len(gap) == 1 && strings.IndexByte(" _-.", gap[0]) >= 0
}

// binding is what lies between a label and its value.
type binding uint8

const (
	unbound binding = iota
	bySign          // password=x
	byWord          // password is x
	byBlank         // password x
)

// separator is where the value of a label that ends at `at` begins.
func (w *work) separator(at int) (value int, by binding) {
	by = bySign
	n := w.n
	for at < len(n) && strings.IndexByte("\"'`]\\)", n[at]) >= 0 {
		at++
	}
	if at < len(n) && n[at] == '(' { // a remark in brackets
		if end := strings.IndexByte(n[at:min(len(n), at+30)], ')'); end > 0 {
			at += end + 1
		}
	}
	gap := at
	for at < len(n) && isSpace(n[at]) {
		at++
	}
	switch {
	case at >= len(n):
		return 0, unbound
	case n[at] == '=' || n[at] == ':':
		at++
		for at < len(n) && (n[at] == '>' || n[at] == '=' || n[at] == ':') {
			at++
		}
	case strings.HasPrefix(n[at:], "->"):
		at += 2
	case strings.HasPrefix(n[at:], "は"):
		at += len("は")
		by = byWord
	case at > gap && (strings.HasPrefix(n[at:], "is ") || strings.HasPrefix(n[at:], "to ")):
		at += 3
		by = byWord
	case at > gap && strings.HasPrefix(n[at:], "was "):
		at += 4
		by = byWord
	case at > gap && strings.HasPrefix(n[at:], "set to "):
		at += 7
		by = byWord
	case at > gap:
		return at, byBlank
	default:
		return 0, unbound
	}
	for at < len(n) && isSpace(n[at]) {
		at++
	}
	if at >= len(n) {
		return 0, unbound
	}
	return at, by
}

func (w *work) secretBehind(index int) {
	if w.left < 0 {
		return
	}
	n, end := w.n, int(w.words[index].end)
	if end < len(n) && isDigit(n[end]) { // password1=, cvv2=
		end++
	}
	at, by := w.separator(end)
	if by == unbound {
		return
	}
	if strings.IndexByte("\"'`", n[at]) >= 0 {
		if by == byBlank {
			return
		}
		close := strings.IndexByte(n[at+1:], n[at])
		last := len(n)
		if close >= 0 {
			last = at + 1 + close
		}
		value := n[at+1 : last]
		// `': ` closes the value of the label in front, and what follows is another label.
		if value != "" && !keptValue(value) && strings.IndexByte(":,[", value[0]) < 0 {
			w.find(at+1, last, Password)
		}
		return
	}
	lower := strings.ToLower(n[w.words[index].start:w.words[index].end])
	last := secretEnd(n, at)
	w.spend(last - at)
	if lower == "passphrase" || lower == "phrase" {
		if line := strings.IndexAny(n[at:], "\n\"';&,<"); line >= 0 {
			last = max(last, at+line)
		} else {
			last = len(n)
		}
	}
	value := n[at:last]
	if value == "" || keptValue(value) || strings.IndexByte("[{(<>", value[0]) >= 0 {
		return
	}
	if by == byWord && !secretLike(value) || by == byBlank && !(strongLabel(lower) && secretLike(value) && mixed(value)) {
		return
	}
	if short := lower == "pass" || lower == "pin" || lower == "otp" || lower == "credential" || lower == "credentials"; short && onlyDigits(value) && len(value) < 4 {
		return
	}
	w.find(at, last, Password)
}

// secretEnd is where an unquoted secret ends: at a blank or a sign that separates; a comma inside belongs to it.
func secretEnd(n string, at int) int {
	for at < len(n) {
		c := n[at]
		if isSpace(c) || strings.IndexByte("\"'&;<>`", c) >= 0 {
			break
		}
		if (c == ',' || c == ')' || c == '}' || c == ']' || c == '.') && (at+1 >= len(n) || isSpace(n[at+1]) || strings.IndexByte("\"'&;<>`,)}].", n[at+1]) >= 0) {
			break
		}
		if c >= utf8.RuneSelf && strings.HasPrefix(n[at:], "、") || strings.HasPrefix(n[at:], "。") {
			break
		}
		at++
	}
	return at
}

// secretLike tells whether a word behind "password is" may be the password: it has a digit or a sign.
func secretLike(value string) bool {
	return strings.ContainsAny(value, "0123456789!#$%^&*@+=/") && len(value) >= 4 && !onlyDigitsOrTime(value)
}

func strongLabel(label string) bool {
	return label == "password" || label == "passwd" || label == "passphrase" || label == "pwd" || label == "psk"
}

// mixed tells whether a value has letters and something else.
func mixed(value string) bool {
	letters := strings.IndexFunc(value, func(r rune) bool { return r < utf8.RuneSelf && isLetter(byte(r)) }) >= 0
	return letters && len(value) >= 6
}

func onlyDigits(value string) bool {
	for index := range len(value) {
		if !isDigit(value[index]) {
			return false
		}
	}
	return true
}

func onlyDigitsOrTime(value string) bool {
	return len(value) < 6 && strings.Trim(value, "0123456789.,:%/sm") == ""
}

var keptJapanese = []string{
	"必須", "未設定", "不明", "無効", "有効", "自動", "なし", "変更", "期限切れ", "間違", "正しく", "一致", "設定", "入力", "発行", "更新", "失効",
	"確認", "再発行", "取得", "認証", "使用", "利用", "登録", "未入力", "空", "です", "ありません", "見つかり", "必要", "保存", "送信", "削除",
	"非表示", "表示", "生成", "拒否", "受付", "桁", "文字",
}

func keptValue(value string) bool {
	if value[0] >= utf8.RuneSelf {
		for _, kept := range keptJapanese {
			if strings.HasPrefix(value, kept) {
				return true
			}
		}
		return false
	}
	if len(value) > 14 {
		return false
	}
	return keptValues[strings.ToLower(strings.TrimRight(value, ".,;:!?)]}"))] || strings.Trim(value, "*x.-_") == ""
}

func (w *work) schemeBehind(index int) {
	n, at := w.n, int(w.words[index].end)
	start := at
	for at < len(n) && (isSpace(n[at]) || n[at] == '+') {
		at++
	}
	if at == start {
		return
	}
	end := token(n, at, "._~+/-")
	if !w.spend(end - at) {
		return
	}
	value := n[at:end]
	for end < len(n) && n[end] == '=' {
		end++
	}
	if len(value) < 6 {
		return
	}
	if _, known := hashNames[strings.ToLower(value)]; known && strings.EqualFold(n[w.words[index].start:w.words[index].end], "digest") {
		return // the digest sha256:9fce...
	}
	cases := strings.ToLower(value[1:]) != value[1:] && strings.ToUpper(value) != value && len(value) >= 8
	if strings.ContainsAny(value, "0123456789") || end > at+len(value) || cases {
		w.find(at, end, Token)
	}
}

// headerBehind masks the rest of a line behind Authorization: and Cookie:.
func (w *work) headerBehind(index int) {
	n := w.n
	at, by := w.separator(int(w.words[index].end))
	if by != bySign || w.left < 0 {
		return
	}
	if strings.IndexByte("\"'`", n[at]) >= 0 {
		at++
	}
	end := len(n)
	if line := strings.IndexAny(n[at:], "\"'\r"); line >= 0 {
		end = at + line
	}
	if !w.spend(end - at) {
		return
	}
	if w.words[index].kind&cookieWord != 0 {
		if line := strings.IndexByte(n[at:end], '\n'); line >= 0 {
			end = at + line
		}
		if strings.IndexByte(n[at:end], '=') > 0 {
			w.find(at, end, Cookie)
		}
		return
	}
	if line := strings.IndexByte(n[at:end], '\n'); line >= 0 && !strings.HasPrefix(strings.TrimLeft(n[at+line:end], "\n"), " ") {
		end = at + line
	}
	if value := n[at:end]; value != "" && !keptValue(value) {
		w.find(at, end, Token)
	}
}

// hashNames are what a digest may be of, in place of a login's parameters.
var hashNames = map[string]struct{}{"sha224": {}, "sha256": {}, "sha384": {}, "sha512": {}, "sha3-256": {}, "sha3-512": {}}
