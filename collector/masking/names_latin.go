package masking

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const pairGaps = " ._-,/+\t"

// latinNames finds names in Latin letters by titles, honorifics and word lists.
func (w *work) latinNames() {
	const any = romajiSurname | romajiGiven | firstEn | title | honorLatin
	if w.seen&any == 0 {
		return
	}
	for index := range w.words {
		bits := w.words[index].kind
		if bits&any == 0 {
			continue
		}
		if bits&title != 0 {
			w.titled(index)
		}
		if bits&honorLatin != 0 && index > 0 {
			w.honoured(index)
		}
		if index+1 < len(w.words) {
			w.pair(index)
		}
	}
}

func (w *work) titled(index int) {
	each := w.words[index]
	if !each.first || each.upper || each.glued || index+1 >= len(w.words) {
		return
	}
	gap := w.between(index, index+1)
	if gap != ". " && gap != "." && gap != " " || !w.capital(index+1) {
		return
	}
	end := w.capitals(index+1, 3)
	w.find(int(w.words[index+1].start), end, Name)
}

func (w *work) honoured(index int) {
	n, each, before := w.n, w.words[index], w.words[index-1]
	if each.first && !each.upper || int(each.end) < len(n) && (isAlnum(n[each.end]) || n[each.end] == '_') {
		return
	}
	gap := w.between(index-1, index)
	if gap != "-" && !(gap == " " && before.kind&(romajiSurname|romajiGiven) != 0) || !w.capital(index-1) && before.kind&(romajiSurname|romajiGiven) == 0 {
		return
	}
	start := before.start
	if index >= 2 && w.between(index-2, index-1) == " " && w.capital(index-2) {
		start = w.words[index-2].start
	}
	w.find(int(start), int(each.end), Name)
}

// pair looks at a word and its neighbour: a given name and a surname in either order, in any spelling.
func (w *work) pair(index int) {
	left, right := w.words[index], w.words[index+1]
	if left.glued && index > 0 && w.words[index-1].kind&(romajiSurname|romajiGiven|firstEn) == 0 {
		return
	}
	gap := w.between(index, index+1)
	if gap != "" && (len(gap) > 2 || strings.IndexByte(pairGaps, gap[0]) < 0 || len(gap) == 2 && gap[1] != ' ') {
		return
	}
	lk, rk := left.kind, right.kind
	japanese := lk&romajiSurname != 0 && rk&romajiGiven != 0 || lk&romajiGiven != 0 && rk&romajiSurname != 0
	english := lk&firstEn != 0 && rk&lastEn != 0
	plain := lk&ordinary == 0 && rk&ordinary == 0
	capitals := w.capital(index) && w.capital(index+1)
	end, _ := w.full(index + 1)
	if right.glued && gap != "" {
		return
	}
	boundary := end >= len(w.n) || !isDigit(w.n[end])
	switch {
	case (japanese || english) && (plain || capitals && gap != "" && lk&rk&ordinary == 0) && (boundary || plain):
	case gap == "" || !boundary:
		return
	case lk&firstEn != 0 && lk&ambiguousFirst == 0 && capitals && !left.upper && !right.upper && spaced(gap):
	case lk&romajiSurname != 0 && lk&ordinary == 0 && w.capital(index+1) && w.capital(index) && spaced(gap) && right.end-right.start >= 3 && !right.upper:
	case rk&romajiSurname != 0 && rk&ordinary == 0 && capitals && spaced(gap) && left.end-left.start >= 3 && !left.upper && lk == 0:
	default:
		return
	}
	w.find(int(left.start), w.afterHyphen(end), Name)
}

func spaced(gap string) bool {
	return gap == " " || gap == "_" || gap == ", " || gap == "," || gap == "  "
}

// afterHyphen extends a name over Jones-Miller and O'Brien.
func (w *work) afterHyphen(end int) int {
	n := w.n
	for end+1 < len(n) && (n[end] == '-' || n[end] == '\'') && isUpper(n[end+1]) {
		end++
		for end < len(n) && isLetter(n[end]) {
			end++
		}
	}
	return end
}

var particles = wordSet("van de von der la di da del den bin al el le du ten ter")

// capitals is the end of at most `most` capitalised words from index on, particles between them included.
func (w *work) capitals(index, most int) int {
	end, next := w.full(index)
	end = w.letters(w.afterHyphen(end))
	for count := 1; count < most; count++ {
		for next < len(w.words) && int(w.words[next].start) < end {
			next++
		}
		at := next
		for at < len(w.words) && particles[w.n[w.words[at].start:w.words[at].end]] {
			at++
		}
		if at >= len(w.words) {
			break
		}
		gap := w.n[end:w.words[at].start]
		if !w.capital(at) && !w.initialAt(at) || len(gap) > 20 || strings.Trim(gap, " .abdeilnrtuv-") != "" || !strings.Contains(gap, " ") {
			break
		}
		if at > next && !strings.HasPrefix(w.n[end:], " ") {
			break
		}
		end, next = w.full(at)
		end = w.letters(w.afterHyphen(end))
	}
	return end
}

func (w *work) initialAt(index int) bool {
	each := w.words[index]
	return each.first && each.end-each.start == 1
}

// letters moves over letters beyond ASCII that belong to a word: Müller.
func (w *work) letters(end int) int {
	for end < len(w.n) {
		r, size := utf8.DecodeRuneInString(w.n[end:])
		if r < utf8.RuneSelf && !isLetter(byte(r)) || !unicode.Is(unicode.Latin, r) && r != '\'' {
			return end
		}
		end += size
	}
	return end
}

// nameBehind finds a name behind user_name=, full name: and the like.
func (w *work) nameBehind(index int) {
	n, each := w.n, w.words[index]
	lower := strings.ToLower(n[each.start:each.end])
	known := lower != "name" || w.qualified(index, nameQualifier)
	if !known && w.qualified(index, role) {
		known = true
	}
	at, by := w.separator(int(each.end))
	if by == unbound || by == byBlank {
		return
	}
	quote := byte(0)
	if strings.IndexByte("\"'`", n[at]) >= 0 {
		quote = n[at]
		at++
	}
	first := w.wordAt(at)
	if at >= len(n) {
		return
	}
	if !known { // "name": "Grace Hopper"
		if quote == 0 || first < 0 || !w.capital(first) {
			return
		}
		if end := w.capitals(first, 4); strings.ContainsAny(n[at:end], " ") {
			w.find(at, end, Name)
		}
		return
	}
	if quote != 0 {
		if end := strings.IndexByte(n[at:], quote); end > 0 && !keptValue(n[at:at+end]) && n[at] != '[' {
			w.find(at, at+end, Name)
		}
		return
	}
	if first < 0 {
		if r, _ := utf8.DecodeRuneInString(n[at:]); unicode.IsLetter(r) {
			end := secretEnd(n, at)
			if !keptValue(n[at:end]) {
				w.find(at, end, Name)
			}
		}
		return
	}
	end := secretEnd(n, at)
	if keptValue(n[at:end]) {
		return
	}
	w.find(at, max(end, w.capitals(first, 4)), Name)
}

// wordAt is the index of the word that begins at a place, or -1.
func (w *work) wordAt(at int) int {
	low, high := 0, len(w.words)
	for low < high {
		middle := (low + high) / 2
		if int(w.words[middle].start) < at {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low < len(w.words) && int(w.words[low].start) == at {
		return low
	}
	return -1
}

var saidOf = wordSet("signed logged assigned reported approved created picked reviewed checked written sent owned requested updated")

// personBehind finds a name or an id of a person behind worker:, assigned to and the like.
func (w *work) personBehind(index int) {
	n, each := w.n, w.words[index]
	lower := strings.ToLower(n[each.start:each.end])
	if each.glued {
		return
	}
	if each.kind&asToBy != 0 {
		if index == 0 {
			return
		}
		before := w.words[index-1]
		verb := strings.ToLower(n[before.start:before.end])
		if verb == "in" && index > 1 {
			verb = strings.ToLower(n[w.words[index-2].start:w.words[index-2].end])
		}
		if !saidOf[verb] {
			return
		}
	}
	at := int(each.end)
	for at < len(n) && strings.IndexByte("\"'\\", n[at]) >= 0 {
		at++
	}
	signed := false
	for at < len(n) && (n[at] == ' ' || !signed && strings.IndexByte(":=,", n[at]) >= 0 || signed && strings.IndexByte("\"'", n[at]) >= 0) {
		signed = signed || n[at] != ' '
		at++
	}
	if at == int(each.end) || at >= len(n) {
		return
	}
	if each.kind&idLabel != 0 {
		if end := personID(n, at); end > 0 {
			w.find(at, end, ID)
			return
		}
	}
	if each.kind&(role|asToBy) == 0 {
		return
	}
	first := w.wordAt(at)
	if first < 0 || !w.capital(first) || first+1 >= len(w.words) {
		return
	}
	end := w.capitals(first, 4)
	if space := strings.IndexByte(n[at:end], ' '); space > 0 && (lower != "hello" || space > 2) {
		w.find(at, end, Name)
	}
}

// personID is the end of something like W-004711, u-778899, S20034, or 0.
func personID(n string, at int) int {
	begin := at
	for at < len(n) && isLetter(n[at]) && at-begin < 4 {
		at++
	}
	if at == begin || at < len(n) && isLetter(n[at]) {
		return 0
	}
	if at < len(n) && (n[at] == '-' || n[at] == '_') {
		at++
	}
	digits := at
	for at < len(n) && isDigit(n[at]) {
		at++
	}
	if at-digits < 3 || at < len(n) && (isAlnum(n[at]) || n[at] == '.' && at+1 < len(n) && isDigit(n[at+1])) {
		return 0
	}
	return at
}

// detailBehind finds dates of birth, numbers of documents and accounts, names of networks behind their labels.
func (w *work) detailBehind(index int) {
	n, each := w.n, w.words[index]
	lower := strings.ToLower(n[each.start:each.end])
	at, by := w.separator(int(each.end))
	if by == unbound {
		if next := index + 1; next < len(w.words) && each.kind&(accountWord|bornWord|keyNumberWord) != 0 {
			// passport no: X, date of birth: X, my_number=X, birth date X
			if at, by = w.separator(int(w.words[next].end)); by == unbound {
				return
			}
		} else {
			return
		}
	}
	switch {
	case each.kind&networkWord != 0:
		if by == bySign && lower != "wifi" {
			end := len(n)
			if stop := strings.IndexAny(n[at:], "\n,;&\"'"); stop > 0 {
				end = at + stop
			}
			w.find(at, end, Network)
		}
	case each.kind&bornWord != 0:
		if end := dateEnd(n, at); end > 0 {
			w.find(at, end, BirthDate)
		} else if strings.HasPrefix(n[at:], "date") || strings.HasPrefix(n[at:], "on ") {
			skip := at + strings.IndexAny(n[at:], " :=") + 1
			if end := dateEnd(n, skip+len(n[skip:])-len(strings.TrimLeft(n[skip:], " :="))); end > 0 {
				w.find(at, end, BirthDate)
			}
		}
	case each.kind&accountWord != 0:
		w.account(index, at, lower)
	}
}

// account finds the number behind passport no, IBAN, IMEI: at least six letters and digits, most of them digits.
func (w *work) account(index, at int, lower string) {
	n := w.n
	for range 3 { // over no, number, #, : behind the first label
		next := w.wordAt(at)
		if next < 0 || !isNumberWord(strings.ToLower(n[w.words[next].start:w.words[next].end])) {
			break
		}
		var by binding
		if at, by = w.separator(int(w.words[next].end)); by == unbound {
			return
		}
	}
	end, digits := at, 0
	for end < len(n) && (isAlnum(n[end]) || (n[end] == ' ' || n[end] == '-') && end+1 < len(n) && (isDigit(n[end+1]) || lower == "iban" && isUpper(n[end+1]))) {
		if isDigit(n[end]) {
			digits++
		}
		end++
	}
	if digits < 5 {
		return
	}
	class := Account
	if strings.HasPrefix(lower, "im") || lower == "iccid" {
		class = ID
	}
	w.find(at, end, class)
}

func isNumberWord(lower string) bool {
	return lower == "no" || lower == "number" || lower == "num" || lower == "nr" || lower == "id" || lower == "is"
}

// dateEnd is the end of a date: 1980-04-01, 1980/4/1, 1980年4月1日, 昭和55年4月1日, 1 April 1980, 19800401; or 0.
func dateEnd(n string, at int) int {
	begin, digits := at, 0
	for at < len(n) && at-begin < 40 {
		r, size := utf8.DecodeRuneInString(n[at:])
		switch {
		case r < utf8.RuneSelf && isDigit(byte(r)):
			digits++
		case strings.ContainsRune("-/. ,年月日昭和平成令大正生まれ", r):
		case r < utf8.RuneSelf && isLetter(byte(r)) && monthAt(n[at:]) > 0:
			size = monthAt(n[at:])
		default:
			if digits >= 4 {
				return at
			}
			return 0
		}
		at += size
	}
	if digits < 4 {
		return 0
	}
	return at
}

func monthAt(text string) int {
	for _, month := range []string{"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"} {
		for _, size := range []int{len(month), 3} {
			if len(text) >= size && strings.EqualFold(text[:size], month[:size]) && (len(text) == size || !isLetter(text[size])) {
				return size
			}
		}
	}
	return 0
}
