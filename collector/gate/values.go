package gate

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strings"
	"sync"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"obs-platform/collector/masking"
)

// pseudonyms computes what stands for an id: HMAC-SHA-256 in hexadecimal digits, the same in every signal.
type pseudonyms struct {
	pool  sync.Pool
	known *cache[string]
}

func newPseudonyms(key []byte, entries int) *pseudonyms {
	return &pseudonyms{
		pool:  sync.Pool{New: func() any { return hmac.New(sha256.New, key) }},
		known: newCache[string](entries),
	}
}

func (p *pseudonyms) of(id string) string {
	short := len(id) <= longestText
	if short {
		if made, ok := p.known.get(id); ok {
			return made
		}
	}
	digest := p.pool.Get().(hash.Hash)
	digest.Reset()
	digest.Write([]byte(id))
	made := hex.EncodeToString(digest.Sum(nil))
	p.pool.Put(digest)
	if short {
		p.known.put(id, made)
	}
	return made
}

type maskedText struct {
	text    string
	classes masking.Class
}

type keyVerdict struct {
	use   masking.KeyUse
	class masking.Class
}

// texts masks free text and remembers what became of short ones.
type texts struct {
	known *cache[maskedText]
	keys  *cache[keyVerdict]
}

func newTexts(entries int) *texts {
	return &texts{known: newCache[maskedText](entries), keys: newCache[keyVerdict](entries)}
}

// fixed masks a text that is likely to come again: a name, a route, a key's value.
func (t *texts) fixed(text string) (string, masking.Class) {
	if len(text) > longestText {
		return masking.Text(text)
	}
	if len(text) < 3 {
		return text, 0
	}
	if made, ok := t.known.get(text); ok {
		if made.classes == 0 {
			return text, 0
		}
		return made.text, made.classes
	}
	masked, classes := masking.Text(text)
	t.known.put(text, maskedText{text: strings.Clone(masked), classes: classes})
	return masked, classes
}

func (t *texts) key(key string) (masking.KeyUse, masking.Class) {
	if len(key) > longestText {
		return masking.Key(key)
	}
	if made, ok := t.keys.get(key); ok {
		return made.use, made.class
	}
	use, class := masking.Key(key)
	t.keys.put(key, keyVerdict{use, class})
	return use, class
}

// fits tells whether a value is of the key's type. Free text always is.
func (a *typedKey) fits(value pcommon.Value) bool {
	switch a.kind {
	case numberType:
		return a.number(value)
	case booleanType:
		return value.Type() == pcommon.ValueTypeBool || value.Type() == pcommon.ValueTypeStr && (value.Str() == "true" || value.Str() == "false")
	case idType, textType:
		return true
	}
	if value.Type() != pcommon.ValueTypeStr {
		return a.kind == enumType && value.Type() == pcommon.ValueTypeInt && a.allowed(value.AsString()) ||
			a.kind == enumType && value.Type() == pcommon.ValueTypeBool && a.allowed(value.AsString()) ||
			a.kind == codeType && value.Type() == pcommon.ValueTypeInt
	}
	text := value.Str()
	switch a.kind {
	case enumType:
		return a.allowed(text)
	case versionType:
		return isVersion(text)
	case routeType:
		return isRoute(text)
	default:
		return isCode(text)
	}
}

func (a *typedKey) allowed(text string) bool {
	_, ok := a.values[text]
	return ok
}

func (a *typedKey) number(value pcommon.Value) bool {
	var number float64
	switch value.Type() {
	case pcommon.ValueTypeInt:
		number = float64(value.Int())
	case pcommon.ValueTypeDouble:
		number = value.Double()
	case pcommon.ValueTypeStr: // some SDKs send ports and codes as text
		text := value.Str()
		if text == "" || len(text) > 9 {
			return false
		}
		whole := 0
		for index := range len(text) {
			if !digit(text[index]) {
				return false
			}
			whole = whole*10 + int(text[index]-'0')
		}
		number = float64(whole)
	default:
		return false
	}
	return number >= a.minimum && number <= a.maximum
}

const (
	longestVersion = 64
	longestCode    = 128
	longestRoute   = 256
)

// isVersion allows 1.39.1, v2.0.0-rc.1, 1.2.3.4, 17.0.9+9-LTS: numbers with dots, then a short suffix.
func isVersion(text string) bool {
	if text == "" || len(text) > longestVersion {
		return false
	}
	at := 0
	if text[0]|0x20 == 'v' {
		at++
	}
	for parts := 0; ; parts++ {
		begin := at
		for at < len(text) && digit(text[at]) {
			at++
		}
		if at == begin || at-begin > 8 || parts > 5 {
			return false
		}
		if at < len(text) && text[at] == '.' && at+1 < len(text) && digit(text[at+1]) {
			at++
			continue
		}
		break
	}
	if at == len(text) {
		return true
	}
	if c := text[at]; c != '-' && c != '+' && c != '~' && c != '_' && c != '.' && !letter(c) || len(text)-at > 24 {
		return false
	}
	row := 0
	for ; at < len(text); at++ {
		c := text[at]
		if digit(c) {
			if row++; row > 8 {
				return false // a number of somebody
			}
			continue
		}
		if row = 0; !letter(c) && c != '.' && c != '-' && c != '+' && c != '~' {
			return false
		}
	}
	return true
}

// isRoute allows templates: words, placeholders and versions between slashes, behind a method; never a query.
func isRoute(text string) bool {
	if text == "" || len(text) > longestRoute {
		return false
	}
	row := 0
	for index := range len(text) {
		c := text[index]
		if digit(c) {
			if row++; row > 3 {
				return false
			}
			continue
		}
		if row = 0; !letter(c) && strings.IndexByte("/_-.{}:*<>[]()$^+| ", c) < 0 {
			return false
		}
	}
	return true
}

// isCode allows opaque names of things: letters, digits and a few signs. A star may begin it: Go's SDKs send the type of
// an error, *net.OpError.
func isCode(text string) bool {
	if text == "" || len(text) > longestCode {
		return false
	}
	for index := range len(text) {
		if c := text[index]; !letter(c) && !digit(c) && strings.IndexByte("._:/-+#", c) < 0 && (c != '*' || index > 0) {
			return false
		}
	}
	return true
}

// cut shortens a text to a number of bytes, at the end of a character.
func cut(text string, most int) string {
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}
