package masking

import "strings"

// Pair is what an object says of itself that holds a key and its value as two members: {"key": "password", "value": "x"}.
type Pair struct {
	use   KeyUse
	class Class
}

// Named takes the key that a member of the object names; it tells whether the value has to be masked for it.
func (p *Pair) Named(key string) bool {
	if use, class := Key(key); use != Plain && use != Unwanted {
		p.use, p.class = use, class
		return true
	}
	return false
}

// Value is what becomes of the object's value.
func (p *Pair) Value() (KeyUse, Class) { return p.use, p.class }

var (
	pairKeys   = wordSet("key name field label param parameter property attribute header id k 項目 項目名 キー")
	pairValues = wordSet("value values val v 値")
	nameParts  = wordSet("first last given family middle sei mei kana full 名 せい めい")
)

const longestPairWord = 12

// IsPairKey tells whether a member may name the key of a pair.
func IsPairKey(key string) bool { return len(key) <= longestPairWord && pairKeys[strings.ToLower(key)] }

// IsPairValue tells whether a member may hold the value of a pair.
func IsPairValue(key string) bool {
	return len(key) <= longestPairWord && pairValues[strings.ToLower(key)]
}

// PartOfName tells whether a member of an object that is a name holds a part of it: {"name": {"first": "Grace"}}.
func PartOfName(key string) bool { return len(key) <= longestPairWord && nameParts[key] }

// PartOfPosition tells whether a member of an object that is a position is a number of it, or wraps it.
func PartOfPosition(key string) bool {
	return len(key) <= 2 || strings.HasSuffix(key, "Value") || IsPairValue(key)
}

const longestMemberKey = 128

// members finds what keys announce in JSON that is not the whole of a text: behind a prefix, in one of several lines,
// cut off, or nested more deeply than jsonText walks. It needs no more than a key in quotes and a colon.
func (w *work) members() {
	n := w.n
	var pair Pair
	var from, to int // value of a pair whose key may come
	last := 0        // up to where braces have been looked for
	named := false   // within an object that is a name
	for at := 0; at < len(n); {
		colon := strings.IndexByte(n[at:], ':')
		if colon < 0 {
			return
		}
		colon += at
		at = colon + 1
		key, start := memberKey(n, colon)
		if key == "" {
			continue
		}
		if start > last && strings.ContainsAny(n[last:start], "{}") {
			pair, from, to, named = Pair{}, 0, 0, false
		}
		last = at
		value := at
		for value < len(n) && isSpace(n[value]) {
			value++
		}
		use, class := Key(key)
		if use == Plain && key == "name" && value < len(n) && n[value] == '{' {
			named, last = true, value+1
			continue
		}
		if use == Plain && named && PartOfName(key) {
			use, class = Remove, Name
		} else if use == Plain && IsPairValue(key) {
			if use, class = pair.use, pair.class; use == Plain {
				from, to = value, memberEnd(n, value)
				if !w.spend(to - from) {
					return
				}
			}
		}
		if use != Plain {
			if end := w.member(value, use, class); end > value {
				at, last = end, end
			}
			continue
		}
		if value < len(n) && isQuote(n[value]) && IsPairKey(key) {
			end := quoteEnd(n, value)
			if !w.spend(end - value) {
				return
			}
			if end-value <= longestMemberKey {
				text := strings.Trim(n[value:end], "\"'\\")
				if key == "name" && strings.IndexByte(text, ' ') > 0 && twoCapitals(text) {
					w.find(value+1, end-1, Name)
				}
				if pair.Named(text) && from < to {
					w.member(from, pair.use, pair.class)
					from, to = 0, 0
				}
			}
		}
	}
}

// memberKey is the text in quotes in front of a colon, and where it begins; empty where none is.
func memberKey(n string, colon int) (key string, start int) {
	end := colon
	for end > 0 && colon-end < 8 && isSpace(n[end-1]) {
		end--
	}
	if end < 2 || !isQuote(n[end-1]) {
		return "", 0
	}
	start = strings.LastIndexByte(n[max(0, end-1-longestMemberKey):end-1], n[end-1])
	if start < 0 {
		return "", 0
	}
	start += max(0, end-1-longestMemberKey)
	return strings.Trim(n[start+1:end-1], "\\"), start
}

// member masks one value because of its key, and tells where it ends; `at` where there is none.
func (w *work) member(at int, use KeyUse, class Class) int {
	n := w.n
	if at >= len(n) || w.left < 0 {
		return at
	}
	end := memberEnd(n, at)
	w.spend(end - at)
	if use == Precise {
		w.preciseNumbers(at, end)
		return end
	}
	if isQuote(n[at]) {
		if inner := strings.Trim(n[at:end], "\"'\\"); inner != "" {
			w.find(at+1, max(at+1, at+1+strings.LastIndex(n[at+1:end], inner)+len(inner)), lowest(class))
		}
		return end
	}
	if isDigit(n[at]) || n[at] == '-' || n[at] == '{' || n[at] == '[' {
		if end-at > 2 || isDigit(n[at]) {
			w.find(at, end, lowest(class))
		}
	}
	return end
}

// preciseNumbers masks the numbers within a value of a position.
func (w *work) preciseNumbers(at, end int) {
	n := w.n
	for at < end {
		if !isDigit(n[at]) {
			at++
			continue
		}
		begin := at
		for at < end && (isDigit(n[at]) || n[at] == '.') {
			at++
		}
		if preciseText(n[begin:at]) {
			w.find(begin, at, Position)
		}
	}
}

// memberEnd is where a value ends: a text behind its closing quote, a list or an object behind its closing bracket.
func memberEnd(n string, at int) int {
	if at >= len(n) {
		return at
	}
	switch c := n[at]; {
	case isQuote(c):
		return quoteEnd(n, at)
	case c == '{' || c == '[':
		depth := 0
		for ; at < len(n); at++ {
			switch n[at] {
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return at + 1
				}
			}
		}
		return at
	case isDigit(c) || c == '-':
		for at < len(n) && (isAlnum(n[at]) || n[at] == '.' || n[at] == '-' || n[at] == '+') {
			at++
		}
	}
	return at
}

// quoteEnd is behind the quote that closes a text: the next one that a separator or the end follows, since those that
// were escaped look the same by now.
func quoteEnd(n string, at int) int {
	quote := n[at]
	for end := at + 1; end < len(n); {
		close := strings.IndexByte(n[end:], quote)
		if close < 0 {
			break
		}
		end += close + 1
		next := end
		for next < len(n) && (isSpace(n[next]) && n[next] != '\n' || n[next] == '\\') {
			next++
		}
		if next == len(n) || strings.IndexByte(",}]:;)\n\"'", n[next]) >= 0 {
			return end
		}
	}
	return len(n)
}

func isQuote(c byte) bool { return c == '"' || c == '\'' }
