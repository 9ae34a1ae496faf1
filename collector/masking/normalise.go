package masking

import (
	"math"
	"strings"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"golang.org/x/text/unicode/norm"
)

type features uint16

const (
	hasUpper features = 1 << iota
	hasDigit
	hasAt
	hasSign // = or :
	hasEncoded
	hasTag
	hasHigh
	hasControl
	hasDecimal
	hasQuery
	hasQuote
)

var byteFeatures = func() (table [256]features) {
	for c := 'A'; c <= 'Z'; c++ {
		table[c] = hasUpper
	}
	for c := '0'; c <= '9'; c++ {
		table[c] = hasDigit
	}
	table['@'] = hasAt
	table['='], table[':'] = hasSign, hasSign
	table['%'], table['&'], table['\\'] = hasEncoded, hasEncoded|hasQuery, hasEncoded
	table['?'] = hasQuery
	table['<'] = hasTag
	table['"'], table['\''] = hasQuote, hasQuote
	for c := 0x80; c < 0x100; c++ {
		table[c] = hasHigh
	}
	return table
}()

func look(text string) (found features, digits int) {
	for at := 0; at < len(text); at++ {
		f := byteFeatures[text[at]]
		found |= f
		digits += int(f&hasDigit) >> 1
	}
	return found, digits
}

const decodeRounds = 4

// normalise brings text to the form that detectors read. The result may share memory with s or with the scratch.
func (w *work) normalise(s string, found features, keepTags bool) string {
	w.untagged = false
	if found&(hasEncoded|hasTag|hasHigh) == 0 {
		return s
	}
	text := s
	for range decodeRounds {
		if !strings.ContainsAny(text, "%&\\") {
			break
		}
		decoded, changed := decode(w.other[:0], text)
		if !changed {
			break
		}
		w.other, w.text = w.text, decoded
		text = view(w.text)
	}
	if !keepTags && strings.IndexByte(text, '<') >= 0 {
		w.other = withoutTags(w.other[:0], text)
		w.untagged = len(w.other) < len(text)
		w.other, w.text = w.text, w.other
		text = view(w.text)
	}
	for at := 0; at < len(text); at++ {
		if text[at] >= utf8.RuneSelf {
			w.other = w.folded(w.other[:0], text)
			w.other, w.text = w.text, w.other
			return view(w.text)
		}
	}
	return text
}

func view(buffer []byte) string { return unsafe.String(unsafe.SliceData(buffer), len(buffer)) }

var entities = map[string]string{
	"amp": "&", "lt": "<", "gt": ">", "quot": `"`, "apos": "'", "nbsp": " ", "commat": "@", "period": ".", "colon": ":",
	"equals": "=", "comma": ",", "plus": "+", "hyphen": "-", "dash": "-", "ndash": "-", "mdash": "-", "sol": "/",
	"lowbar": "_", "num": "#", "quest": "?", "semi": ";", "lpar": "(", "rpar": ")", "deg": "°", "shy": "", "zwnj": "",
	"zwj": "", "ensp": " ", "emsp": " ", "thinsp": " ", "Tab": " ", "NewLine": "\n", "bsol": `\`, "excl": "!", "dollar": "$",
}

// decode resolves one layer of percent encoding, entities and escapes.
func decode(out []byte, text string) ([]byte, bool) {
	changed := false
	for at := 0; at < len(text); {
		size := 0
		switch text[at] {
		case '%':
			out, size = decodePercent(out, text[at:])
		case '&':
			out, size = decodeEntity(out, text[at:])
		case '\\':
			out, size = decodeEscape(out, text[at:])
		}
		if size == 0 {
			out = append(out, text[at])
			at++
			continue
		}
		changed = true
		at += size
	}
	return out, changed
}

func decodePercent(out []byte, text string) ([]byte, int) {
	if len(text) < 3 {
		return out, 0
	}
	high, low := hexDigit(text[1]), hexDigit(text[2])
	if high < 0 || low < 0 {
		return out, 0
	}
	return append(out, byte(high<<4|low)), 3
}

func decodeEntity(out []byte, text string) ([]byte, int) {
	end := strings.IndexByte(text[:min(len(text), 12)], ';')
	if end < 2 {
		return out, 0
	}
	name := text[1:end]
	if name[0] != '#' {
		plain, ok := entities[name]
		if !ok {
			return out, 0
		}
		return append(out, plain...), end + 1
	}
	base, digits := rune(10), name[1:]
	if len(digits) > 1 && (digits[0] == 'x' || digits[0] == 'X') {
		base, digits = 16, digits[1:]
	}
	value := rune(0)
	if digits == "" {
		return out, 0
	}
	for index := range len(digits) {
		digit := hexDigit(digits[index])
		if digit < 0 || rune(digit) >= base || value > unicode.MaxRune {
			return out, 0
		}
		value = value*base + rune(digit)
	}
	return utf8.AppendRune(out, value), end + 1
}

func decodeEscape(out []byte, text string) ([]byte, int) {
	if len(text) < 2 {
		return out, 0
	}
	switch text[1] {
	case '"', '\'', '\\', '/', '`':
		return append(out, text[1]), 2
	case 'n', 'r':
		return append(out, '\n'), 2
	case 't':
		return append(out, ' '), 2
	case 'x':
		if value, ok := hexNumber(text, 2, 2); ok {
			return append(out, byte(value)), 4
		}
	case 'u':
		value, ok := hexNumber(text, 2, 4)
		if !ok {
			return out, 0
		}
		if value >= 0xd800 && value < 0xdc00 && len(text) >= 12 && text[6] == '\\' && text[7] == 'u' {
			if second, ok := hexNumber(text, 8, 4); ok && second >= 0xdc00 && second < 0xe000 {
				return utf8.AppendRune(out, 0x10000+(value-0xd800)<<10+second-0xdc00), 12
			}
		}
		return utf8.AppendRune(out, value), 6
	}
	return out, 0
}

func hexNumber(text string, from, count int) (rune, bool) {
	if len(text) < from+count {
		return 0, false
	}
	value := rune(0)
	for index := from; index < from+count; index++ {
		digit := hexDigit(text[index])
		if digit < 0 {
			return 0, false
		}
		value = value<<4 | rune(digit)
	}
	return value, true
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

const longestTag = 220

// withoutTags leaves out tags and comments, which split words.
func withoutTags(out []byte, text string) []byte {
	for at := 0; at < len(text); {
		if text[at] == '<' {
			if size := tag(text[at:]); size > 0 {
				at += size
				continue
			}
		}
		out = append(out, text[at])
		at++
	}
	return out
}

func tag(text string) int {
	if strings.HasPrefix(text, "<!--") {
		if end := strings.Index(text[:min(len(text), longestTag)], "-->"); end >= 0 {
			return end + 3
		}
		return 0
	}
	at := 1
	if at < len(text) && text[at] == '/' {
		at++
	}
	begin := at
	for at < len(text) && isAlnum(text[at]) {
		at++
	}
	if at == begin || at-begin > 16 || !isLetter(text[begin]) || at >= len(text) {
		return 0
	}
	if text[at] != '>' && text[at] != '/' && !isSpace(text[at]) {
		return 0
	}
	for ; at < len(text) && at < longestTag; at++ {
		switch text[at] {
		case '>':
			return at + 1
		case '<':
			return 0
		}
	}
	return 0
}

// variants maps characters that NFKC leaves apart to the one that word lists use; and look-alikes of Latin letters.
var variants = func() map[rune]rune {
	table := map[rune]rune{}
	for _, pair := range strings.Fields(`﨑崎 嵜崎 邊辺 邉辺 髙高 𠮷吉 齋斎 齊斎 斉斎 濵浜 濱浜 嶋島 嶌島 澤沢 德徳 廣広 國国 眞真 條条 櫻桜
		龍竜 藏蔵 曾曽 惠恵 榮栄 萬万 壽寿 實実 槇槙 瀨瀬 淵渕 圓円 來来 學学 豐豊 禮礼 晉晋 靜静 兒児 鐵鉄 會会 與与
		縣県 區区 瀧滝 彌弥 緖緒 應応 佛仏 當当 增増 黑黒 靑青 淸清 晴晴 髮髪 栁柳 冨富 舘館 峯峰 嶽岳 劍剣 顯顕 藪薮
		аa еe оo рp сc хx уy іi ѕs јj һh ԁd ԛq ԝw АA ВB ЕE КK МM НH ОO РP СC ТT ХX ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY
		ΧX οo αa ɑa ɡg ıi`) {
		from, size := utf8.DecodeRuneInString(pair)
		to, _ := utf8.DecodeRuneInString(pair[size:])
		table[from] = to
	}
	return table
}()

func foldHan(text string) string {
	return strings.Map(func(r rune) rune {
		if other, ok := variants[r]; ok {
			return other
		}
		return r
	}, text)
}

var variantPages = func() (pages [0x300]bool) {
	for from := range variants {
		pages[from>>8] = true
	}
	return pages
}()

// simpleJapanese are characters that NFKC leaves alone and that carry no variant by themselves.
func simpleJapanese(r rune) bool {
	return r >= 0x3041 && r <= 0x3096 || r >= 0x30a1 && r <= 0x30fa || r >= 0x4e00 && r <= 0x9fff || r == '々' || r == '、' || r == '。' ||
		r == '「' || r == '」'
}

func (w *work) folded(out []byte, text string) []byte {
	if needsNFKC(text) {
		w.nfkc = norm.NFKC.AppendString(w.nfkc[:0], dropInvisible(text))
		text = view(w.nfkc)
	}
	for at := 0; at < len(text); {
		if text[at] < utf8.RuneSelf {
			out = append(out, text[at])
			at++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[at:])
		at += size
		switch {
		case r >= 0xff01 && r <= 0xff5e:
			r -= 0xfee0
		case r == 0x3000:
			r = ' '
		case isDash(r) && afterDigit(out):
			r = '-'
		case r == 'ー' || isDash(r):
		case r < 0x30000 && variantPages[r>>8]:
			if other, ok := variants[r]; ok {
				r = other
			}
		}
		out = utf8.AppendRune(out, r)
	}
	return out
}

// needsNFKC tells whether text has more than ASCII, everyday Japanese and full-width forms.
func needsNFKC(text string) bool {
	for at := 0; at < len(text); {
		if text[at] < utf8.RuneSelf {
			at++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[at:])
		at += size
		if !simpleJapanese(r) && r != 'ー' && r != 0x3000 && r != '・' && (r < 0xff01 || r > 0xff5e) {
			return true
		}
	}
	return false
}

func dropInvisible(text string) string {
	return strings.Map(func(r rune) rune {
		if invisible(r) {
			return -1
		}
		return r
	}, text)
}

func invisible(r rune) bool {
	if r < 0xad {
		return false
	}
	return unicode.Is(unicode.Cf, r) || r >= 0xfe00 && r <= 0xfe0f || r == 0x34f || r == 0x115f || r == 0x1160 || r == 0x3164 ||
		r == 0xffa0 || r >= 0x17b4 && r <= 0x17b5 || r >= 0xe0100 && r <= 0xe01ef || r == utf8.RuneError
}

func isDash(r rune) bool {
	switch r {
	case '-', 0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2015, 0x2212, 0x2500, 0x2501, 'ー', 0xfe63, 0xff0d, 0xff70, '~', 0x301c:
		return true
	}
	return false
}

func afterDigit(out []byte) bool {
	if len(out) == 0 {
		return false
	}
	last := out[len(out)-1]
	if isDigit(last) || last == ')' {
		return true
	}
	r, _ := utf8.DecodeLastRune(out)
	return strings.ContainsRune("丁目番地〇一二三四五六七八九零", r)
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isUpper(c byte) bool  { return c >= 'A' && c <= 'Z' }
func isLower(c byte) bool  { return c >= 'a' && c <= 'z' }
func isLetter(c byte) bool { return isUpper(c) || isLower(c) }
func isAlnum(c byte) bool  { return isLetter(c) || isDigit(c) }
func isSpace(c byte) bool  { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// Fold brings text to the form in which it is compared: without invisible characters, variants and full-width forms.
func Fold(text string) string {
	w := works.Get().(*work)
	defer works.Put(w)
	found, _ := look(text)
	return strings.Clone(w.normalise(text, found, false))
}

// PreciseNumber tells whether a number under the key of a position has more than two places behind the point, or is one
// that was scaled up: no place on earth has so many degrees, or metres.
func PreciseNumber(value float64) bool { return finer(value, 100) || math.Abs(value) >= 1e5 }
