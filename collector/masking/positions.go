package masking

import (
	"math"
	"regexp"
	"strings"
	"unicode/utf8"
)

// decimal is a number with three or more places behind the point.
type decimal struct {
	start, end int // with its sign
	whole      int
	places     int
}

// positions finds coordinates: labelled, in pairs, with a direction, in degrees, and as codes.
func (w *work) positions() {
	w.collectDecimals()
	for index := range w.decimals {
		w.position(index)
	}
	w.degrees()
	w.codes()
}

func (w *work) collectDecimals() {
	n := w.n
	w.decimals = w.decimals[:0]
	for from := 0; ; {
		point := strings.IndexByte(n[from:], '.')
		if point < 0 {
			return
		}
		point += from
		from = point + 1
		start := point
		for start > 0 && isDigit(n[start-1]) {
			start--
		}
		end := point + 1
		for end < len(n) && isDigit(n[end]) {
			end++
		}
		if size := point - start; size == 0 || size > 3 || end-point <= 3 || end < len(n) && n[end] == '.' && end+1 < len(n) && isDigit(n[end+1]) {
			continue
		}
		if start > 0 && (n[start-1] == '.' || isLetter(n[start-1]) && strings.IndexByte("NSEWnsew", n[start-1]) < 0) {
			continue
		}
		whole := 0
		for _, c := range []byte(n[start:point]) {
			whole = whole*10 + int(c-'0')
		}
		if whole > 180 {
			continue
		}
		if start > 0 && (n[start-1] == '-' || n[start-1] == '+') {
			start--
		}
		w.decimals = append(w.decimals, decimal{start: start, end: end, whole: whole, places: end - point - 1})
		from = end
	}
}

func (w *work) position(index int) {
	n, d := w.n, w.decimals[index]
	beside := index+1 < len(w.decimals) && pairGap(n[d.end:w.decimals[index+1].start])
	if w.directed(d) || w.labelledBefore(d.start, positionWord, "緯度", "経度", "北緯", "南緯", "東経", "西経", "座標", "位置", "現在地") && w.closeLabel(d.start) {
		end := d.end
		if beside {
			end = w.decimals[index+1].end
		}
		w.find(d.start, end, Position)
		return
	}
	if !beside {
		return
	}
	next := w.decimals[index+1]
	gap := n[d.end:next.start]
	far := d.whole >= 100 || next.whole >= 100
	near := d.whole <= 90 || next.whole <= 90
	comma := strings.ContainsAny(gap, ",;/|")
	shares := d.whole == 0 && next.whole == 0 // fractions of something, as statistics list them
	if near && !shares && (far || comma && d.places >= 4 && next.places >= 4) {
		w.find(d.start, next.end, Position)
	}
}

func pairGap(gap string) bool {
	return gap != "" && len(gap) <= 4 && strings.Trim(gap, " ,;/\"'[]()|") == ""
}

// closeLabel tells whether at most a few signs lie between a label and the number.
func (w *work) closeLabel(start int) bool {
	front := w.n[max(0, start-14):start]
	if before := w.wordBefore(start); before >= 0 && w.words[before].kind&positionWord != 0 {
		return start-int(w.words[before].end) <= 12
	}
	return strings.ContainsAny(front, "緯経標置地")
}

// directed tells whether a compass direction stands at a number: 35.68° N, N35.68, 35.68N.
func (w *work) directed(d decimal) bool {
	n := w.n
	rest := strings.TrimLeft(n[d.end:min(len(n), d.end+8)], " ")
	degree := strings.HasPrefix(rest, "°") || strings.HasPrefix(rest, "度") || strings.HasPrefix(rest, "º")
	if degree {
		return true
	}
	if rest != "" && strings.IndexByte("NSEW", rest[0]) >= 0 && (len(rest) == 1 || !isAlnum(rest[1])) {
		return true
	}
	front := strings.TrimRight(n[max(0, d.start-3):d.start], " ")
	if size := len(front); size > 0 && strings.IndexByte("NSEW", front[size-1]) >= 0 && (size == 1 || !isAlnum(front[size-2])) {
		return true
	}
	return false
}

var degreesAndMinutes = regexp.MustCompile(`\d{1,3}(?:\.\d+)?\s?[°度º]\s?\d{1,2}(?:\.\d+)?\s?['′’分](?:\s?\d{1,2}(?:\.\d+)?\s?(?:["″”秒]|''|′′)?)?\s?[NSEW]?`)

var spacedDegrees = regexp.MustCompile(`\b(?:[NSEW] ?\d{1,3}[ :-]\d{2}[ :-]\d{2}(?:\.\d+)?|\d{1,3}[ :-]\d{2}[ :-]\d{2}(?:\.\d+)? ?[NSEW])\b`)

func (w *work) degrees() {
	n := w.n
	if w.found&hasHigh != 0 && (strings.Contains(n, "°") || strings.Contains(n, "度") || strings.Contains(n, "º")) {
		for _, match := range degreesAndMinutes.FindAllStringIndex(n, -1) {
			w.find(match[0], match[1], Position)
		}
	}
	if w.found&hasUpper == 0 {
		return
	}
	for _, each := range w.words {
		if each.end-each.start == 1 && strings.IndexByte("NSEW", n[each.start]) >= 0 {
			for _, match := range spacedDegrees.FindAllStringIndex(n, -1) {
				w.find(match[0], match[1], Position)
			}
			return
		}
	}
}

const (
	plusDigits = "23456789CFGHJMPQRVWX"
	gridLetter = "CDEFGHJKLMNPQRSTUVWX"
)

// codes finds plus codes, military grid references, UTM coordinates and sentences of a GPS receiver.
func (w *work) codes() {
	n := w.n
	if w.found&hasUpper == 0 {
		return
	}
	for from := 0; ; {
		at := strings.IndexByte(n[from:], '+')
		if at < 0 {
			break
		}
		at += from
		from = at + 1
		start, end := at, at+1
		for start > 0 && at-start < 9 && strings.IndexByte(plusDigits, n[start-1]) >= 0 {
			start--
		}
		for end < len(n) && strings.IndexByte(plusDigits, n[end]) >= 0 {
			end++
		}
		if at-start == 8 && end-at >= 3 && end-at <= 4 && (start == 0 || !isAlnum(n[start-1])) && (end == len(n) || !isAlnum(n[end])) {
			w.find(start, end, Position)
		}
	}
	for index := range w.words {
		start, end := int(w.words[index].start), int(w.words[index].end)
		if !w.words[index].upper || start == 0 {
			continue
		}
		if size := end - start; size == 3 && isDigit(n[start-1]) && strings.IndexByte(gridLetter, n[start]) >= 0 {
			last := end
			for last < len(n) && isDigit(n[last]) {
				last++
			}
			first := start - 1
			if first > 0 && isDigit(n[first-1]) {
				first--
			}
			if digits := last - end; digits >= 4 && digits <= 10 && digits%2 == 0 && (first == 0 || !isAlnum(n[first-1])) && (last == len(n) || !isAlnum(n[last])) {
				w.find(first, last, Position)
			}
		}
		if strings.HasPrefix(n[start:], "GP") || strings.HasPrefix(n[start:], "GN") || strings.HasPrefix(n[start:], "GL") {
			if n[start-1] == '$' && end < len(n) && n[end] == ',' {
				last := end
				for last < len(n) && !isSpace(n[last]) && n[last] != '"' {
					last++
				}
				w.find(start-1, last, Position)
			}
		}
		if size := end - start; size == 1 && isDigit(n[start-1]) && strings.IndexByte(gridLetter, n[start]) >= 0 {
			if match := utm.FindStringIndex(n[max(0, start-2):]); match != nil {
				w.find(max(0, start-2)+match[0], max(0, start-2)+match[1], Position)
			}
		}
	}
}

var utm = regexp.MustCompile(`^\D?\d{1,2}[C-X],? \d{6}(?:\.\d+)?(?:m?E)?,? \d{6,7}(?:\.\d+)?(?:m?N)?\b`)

// Numbers of a list that are a place when they stand beside each other.
func coordinates(first, second float64) bool {
	return precise(first) && precise(second) && (within(first, 90) && within(second, 180) || within(first, 180) && within(second, 90))
}

func within(value, bound float64) bool { return value >= -bound && value <= bound }

// precise tells whether a number has more than three places behind the point.
func precise(value float64) bool { return finer(value, 1000) }

// finer tells whether a number is no whole number of parts.
func finer(value, parts float64) bool {
	scaled := value * parts
	return math.Abs(scaled-math.Round(scaled)) > 1e-6
}

var (
	houseAddress = regexp.MustCompile(`\b\d{1,5}[A-Za-z]? (?:[NSEW]\.? |North |South |East |West )?(?:[A-Z][a-z][A-Za-z'.]* |\d{1,3}(?:st|nd|rd|th) ){1,4}` +
		`(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Terrace|Way|Highway|` +
		`Hwy|Parkway|Pkwy|Close|Crescent)\b\.?(?:,? (?:Apt|Apartment|Suite|Ste|Unit|Flat|#)\.? ?[A-Za-z0-9-]+)?` +
		`(?:,? [A-Z][A-Za-z]+(?: [A-Z][A-Za-z]+)*)?(?:,? [A-Z]{2}\b)?(?:,? \d{5}(?:-\d{4})?)?(?:,? [A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}\b)?`)
	foreignAddress = regexp.MustCompile(`(?i)\b\d{1,4}(?: ?(?:bis|ter))?,? (?:rue|avenue|boulevard|place|allée|chemin|via|viale|piazza|calle|avenida|plaza)(?: [\p{L}'’-]+){1,5}(?:,? \d{4,5}(?: \p{Lu}[\p{L}-]+)*)?|` +
		`\b\p{Lu}[\p{L}-]*(?:straße|strasse|weg|platz|allee|gasse) \d{1,4}[a-z]?(?:,? \d{5}(?: \p{Lu}[\p{L}-]+)?)?`)
	romajiAddress = regexp.MustCompile(`\b\d{1,4}(?:-\d{1,4}){1,3},? [A-Z][a-z]+(?:-[a-z]+)?(?: [A-Z][a-z]+)?,? [A-Z][a-z]+-(?i:ku|shi|cho|machi|gun|son|mura)\b` +
		`(?:,? [A-Z][a-z]+(?:-[a-z]+)?)*(?:,? \d{3}-\d{4})?`)
	postBox      = regexp.MustCompile(`(?i)\bP\.? ?O\.? ?Box \d+`)
	postcodeText = regexp.MustCompile(`\b[A-Z]{1,2}\d[A-Z\d]? \d[ABD-HJLNP-UW-Z]{2}\b`)
)

func (w *work) latinAddresses() {
	rules := []*regexp.Regexp{}
	if w.seen&streetWord != 0 {
		rules = append(rules, houseAddress, postBox)
	}
	if w.seen&foreignStreet != 0 {
		rules = append(rules, foreignAddress)
	}
	if w.seen&wardWord != 0 {
		rules = append(rules, romajiAddress)
	}
	for _, rule := range rules {
		for _, match := range rule.FindAllStringIndex(w.n, -1) {
			w.find(match[0], match[1], Address)
		}
	}
}

// postcodes finds British post codes: SW1A 1AA.
func (w *work) postcodes() {
	n := w.n
	for index := range w.words {
		each := w.words[index]
		size := each.end - each.start
		if !each.upper || size > 2 || each.glued || int(each.end) >= len(n) || !isDigit(n[each.end]) || each.start > 0 && isAlnum(n[each.start-1]) {
			continue
		}
		if match := postcodeText.FindStringIndex(n[each.start:min(len(n), int(each.start)+9)]); match != nil && match[0] == 0 {
			end := int(each.start) + match[1]
			if end == len(n) || !isAlnum(n[end]) {
				w.find(int(each.start), end, Address)
			}
		}
	}
}

// sqlLiterals masks the literals of statements: they are data of somebody.
func (w *work) sqlLiterals() {
	n := w.n
	verbs := 0
	for _, each := range w.words {
		if each.kind&sqlWord != 0 {
			verbs++
		}
	}
	upper := strings.ToUpper(n)
	if verbs == 0 || !strings.Contains(upper, "SELECT ") && !strings.Contains(upper, "INSERT INTO") && !strings.Contains(upper, "UPDATE ") && !strings.Contains(upper, "DELETE FROM") && !strings.Contains(upper, "VALUES") {
		return
	}
	for at := 0; at < len(n); {
		open := strings.IndexByte(n[at:], '\'')
		if open < 0 {
			return
		}
		open += at
		close := strings.IndexByte(n[open+1:], '\'')
		if close < 0 {
			w.find(open+1, len(n), Opaque)
			return
		}
		close += open + 1
		if value := n[open+1 : close]; value != "" && utf8.RuneCountInString(value) > 1 {
			w.find(open+1, close, Opaque)
		}
		at = close + 1
	}
}
