package masking

import (
	"encoding/base64"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

var unitSuffixes = []string{".service", ".socket", ".timer", ".mount", ".target", ".slice", ".scope", ".device", ".path"}

func (w *work) mails() {
	n := w.n
	for from := 0; ; {
		at := strings.IndexByte(n[from:], '@')
		if at < 0 {
			return
		}
		at += from
		from = at + 1
		end := domainEnd(n, at+1)
		if end == 0 {
			continue
		}
		domain := n[at+1 : end]
		start := localStart(n, at)
		local := n[start:at]
		if local == "" || local == "git" || local == " " || isUnit(domain) && !strings.ContainsAny(local, "+%") && systemd(local, domain) {
			continue
		}
		w.find(start, end, Mail)
	}
}

func isUnit(domain string) bool {
	for _, suffix := range unitSuffixes {
		if strings.HasSuffix(domain, suffix) {
			return true
		}
	}
	return false
}

// systemd tells a template's instance (getty@tty1.service) from an address: its name has one dot.
func systemd(local, domain string) bool {
	return !strings.Contains(local, ".") && strings.Count(domain, ".") == 1
}

// domainEnd is the end of a domain with a dot and a last label of letters, or 0.
func domainEnd(n string, at int) int {
	if at < len(n) && n[at] == ' ' {
		at++
	}
	end, labels, last := 0, 0, at
	letters := true
	for {
		r, size := utf8.DecodeRuneInString(n[at:])
		if at < len(n) && (r == '-' || r < utf8.RuneSelf && isAlnum(byte(r)) || r >= utf8.RuneSelf && unicode.IsLetter(r)) {
			letters = letters && (r >= utf8.RuneSelf || isLetter(byte(r)))
			at += size
			continue
		}
		if at == last {
			break
		}
		labels++
		if labels >= 2 && letters && at-last >= 2 {
			end = at
		}
		if at >= len(n) || n[at] != '.' {
			break
		}
		at++
		last, letters = at, true
	}
	return end
}

const localSigns = "._%+-!#$*/=?^|~'&"

func localStart(n string, at int) int {
	start := at
	if start > 0 && n[start-1] == ' ' {
		start--
	}
	begin := start
	if start > 0 && n[start-1] == '"' { // "taro yamada"@example.com
		if quote := strings.LastIndexByte(n[:start-1], '"'); quote >= 0 && start-quote < 66 {
			return quote
		}
	}
	for start > 0 && (isAlnum(n[start-1]) || strings.IndexByte(localSigns, n[start-1]) >= 0) {
		start--
	}
	for start < begin && strings.IndexByte("='!#$*/?^|~&.-%", n[start]) >= 0 {
		start++
	}
	if sign := strings.LastIndexAny(n[start:begin], "=/?&|'"); sign >= 0 && sign < begin-start-1 {
		start += sign + 1
	}
	for start == begin && start > 0 || start < begin && start > 0 && n[start-1] >= utf8.RuneSelf && begin-start < 3 {
		r, size := utf8.DecodeLastRuneInString(n[:start])
		if r < utf8.RuneSelf || !unicode.IsLetter(r) {
			break
		}
		start -= size
		if start < begin-60 {
			break
		}
		begin = start
	}
	if start == at || strings.TrimSpace(n[start:at]) == "" {
		return at
	}
	return start
}

var spelledAt = regexp.MustCompile(`(?i)[a-z0-9._%+-]+\s*(?:\[at\]|\(at\)|\{at\}|<at>|_at_|\sat\s|アットマーク)\s*` +
	`[a-z0-9-]+(?:\s*(?:\[dot\]|\(dot\)|\{dot\}|\sdot\s|_dot_|ドット)\s*[a-z0-9-]+)+|` +
	`[a-z0-9._%+-]+\s*(?:\[at\]|\(at\)|\{at\}|アットマーク)\s*[a-z0-9-]+(?:\.[a-z0-9-]+)+`)

func (w *work) spelledMail() {
	n := w.n
	worth := w.found&hasHigh != 0 && strings.Contains(n, "アットマーク")
	for index := 0; index < len(w.words) && !worth; index++ {
		each := w.words[index]
		if each.end-each.start != 2 || n[each.start]|0x20 != 'a' || n[each.start+1]|0x20 != 't' || each.start == 0 || int(each.end) >= len(n) {
			continue
		}
		switch before := n[each.start-1]; before {
		case '[', '(', '{', '<', '_':
			worth = true
		case ' ':
			worth = strings.Contains(n, " dot ") || strings.Contains(n, " DOT ")
		}
	}
	if !worth {
		return
	}
	for _, match := range spelledAt.FindAllStringIndex(n, -1) {
		w.find(match[0], match[1], Mail)
	}
}

var secretParameters = wordSet(`access_token refresh_token id_token token api_key apikey sig signature code auth key secret
	client_secret x-amz-credential x-amz-signature x-amz-security-token credential session sessionid sid password passwd pwd
	mail e-mail email tel phone mobile address jwt assertion otp ticket samlresponse oauth_token`)

var personParameters = wordSet("name user username q keyword addr address dest destination from to query search person worker")

// urls finds logins in URLs, and parameters of queries that hold secrets or, spelled in Japanese, people and places.
func (w *work) urls() {
	n := w.n
	for from := 0; ; {
		at := strings.Index(n[from:], "://")
		if at < 0 {
			break
		}
		at += from + 3
		from = at
		end := at
		for end < len(n) && !isSpace(n[end]) && strings.IndexByte("/\"'<>?#", n[end]) < 0 {
			end++
		}
		if sign := strings.LastIndexByte(n[at:end], '@'); sign > 0 && strings.IndexByte(n[at:at+sign], ':') >= 0 {
			w.find(at, at+sign, Password)
		}
	}
	for from := 0; ; {
		at := strings.IndexByte(n[from:], '=')
		if at < 0 {
			return
		}
		at += from
		from = at + 1
		start := at
		for start > 0 && (isAlnum(n[start-1]) || n[start-1] == '_' || n[start-1] == '-') {
			start--
		}
		if start == at || start == 0 || strings.IndexByte("?&;#", n[start-1]) < 0 {
			continue
		}
		end := at + 1
		for end < len(n) && !isSpace(n[end]) && strings.IndexByte("&#\"'<>\\;", n[end]) < 0 {
			end++
		}
		if !w.spend(end - at) {
			return
		}
		key := strings.ToLower(n[start:at])
		if secretParameters[key] && end-at > 4 {
			w.find(at+1, end, Token)
		} else if personParameters[key] && strings.IndexFunc(n[at+1:end], func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
			w.find(at+1, end, Name)
		}
	}
}

var base64Encodings = []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding}

const shortestEncoded = 20

// encodedText looks into words that are text in base64.
func (w *work) encodedText() {
	n := w.n
	if len(n) < shortestEncoded || w.depth > 0 {
		return
	}
	for at := 0; at < len(n); {
		if !isAlnum(n[at]) {
			at++
			continue
		}
		end := token(n, at, "+/_-")
		word := n[at:end]
		if len(word) >= shortestEncoded && strings.ToLower(word) != word && strings.ToUpper(word) != word {
			for end < len(n) && n[end] == '=' {
				end++
			}
			for _, encoding := range base64Encodings {
				plain, err := encoding.DecodeString(word)
				if err == nil && readable(plain) && dirty(string(plain)) {
					w.find(at, end, Opaque)
					break
				}
			}
		}
		at = end
	}
}

func dirty(text string) bool {
	inner := works.Get().(*work)
	inner.depth = 1
	_, classes := inner.mask(text)
	inner.depth = 0
	works.Put(inner)
	return classes != 0
}

// readable tells whether bytes are text.
func readable(plain []byte) bool {
	if !utf8.Valid(plain) {
		return false
	}
	for _, c := range plain {
		if c < ' ' && !isSpace(c) {
			return false
		}
	}
	return true
}
