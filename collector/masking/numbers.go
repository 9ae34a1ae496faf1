package masking

import (
	"strings"
	"unicode/utf8"
)

// group is one run of digits of a number that is written in several.
type group struct {
	start, end int
	gap        int // bytes between it and the group in front
}

const mostGroups = 64

// numbers finds phones, cards, My Numbers, IP addresses and the like.
func (w *work) numbers() {
	n := w.n
	for at := 0; at < len(n); {
		if !isDigit(n[at]) {
			if isHexLetter(n[at]) && (at == 0 || !isAlnum(n[at-1])) {
				if end := uuidEnd(n, at); end > 0 {
					at = end
					continue
				}
			}
			at++
			continue
		}
		if end := uuidEnd(n, at); end > 0 {
			at = end
			continue
		}
		at = w.collect(at)
		w.judge()
	}
}

// collect reads groups of digits from a digit on, as long as only the usual signs lie between them.
func (w *work) collect(at int) int {
	n := w.n
	w.groups = w.groups[:0]
	last := at
	for at < len(n) && len(w.groups) < mostGroups {
		begin := at
		for at < len(n) && isDigit(n[at]) {
			at++
		}
		w.groups = append(w.groups, group{start: begin, end: at, gap: begin - last})
		last = at
		next := at
		for next < len(n) && next-at < 4 && strings.IndexByte(" .()/_-\t", n[next]) >= 0 {
			next++
		}
		if next == at || next-at > 3 || next >= len(n) || !isDigit(n[next]) {
			break
		}
		if uuidEnd(n, next) > 0 {
			break
		}
		at = next
	}
	return last
}

// gluedLeft and gluedRight tell whether a letter or a sign of a longer name touches the group.
func (w *work) gluedLeft(g group) bool {
	if g.start == 0 {
		return false
	}
	c := w.n[g.start-1]
	return isLetter(c) || c == '_' && g.start >= 2 && isAlnum(w.n[g.start-2])
}

func (w *work) gluedRight(g group) bool {
	return g.end < len(w.n) && (isLetter(w.n[g.end]) || w.n[g.end] == '_')
}

func (w *work) judge() {
	g := w.groups
	for index := 0; index < len(g); {
		used := 0
		switch {
		case w.gluedLeft(g[index]):
			used = w.dottedAddress(index)
		default:
			if used = w.dottedAddress(index); used == 0 {
				if w.fraction(index) {
					if before := g[index-1]; before.end-before.start < 3 && !w.seconds(before) {
						used = w.phone(index) // an item of a list: 2.09012345678
					}
				} else if used = w.card(index); used == 0 {
					if used = w.myNumber(index); used == 0 {
						if used = w.socialNumber(index); used == 0 {
							used = w.phone(index)
						}
					}
				}
			}
		}
		index += max(used, 1)
	}
}

// fraction tells whether a group is what stands behind the point of a decimal number: 0.25073133667930075.
func (w *work) fraction(index int) bool {
	g, n := w.groups, w.n
	if index == 0 || g[index].gap != 1 || n[g[index].start-1] != '.' {
		return false
	}
	if before := g[index-1]; index > 1 && before.gap == 1 && n[before.start-1] != ' ' && n[before.start-1] != '(' {
		return false // a row of numbers with signs
	}
	return index+1 == len(g) || g[index+1].gap != 1 || n[g[index+1].start-1] == ' '
}

// decimal tells whether two groups are one number with a point in it.
func (w *work) decimal(index, count int) bool {
	return count == 2 && w.fraction(index+1)
}

// seconds tells whether a group is the seconds of a time of day.
func (w *work) seconds(g group) bool {
	n, at := w.n, g.start
	return g.end-at == 2 && at >= 4 && n[at-1] == ':' && isDigit(n[at-2]) && isDigit(n[at-3]) && n[at-4] == ':'
}

func isHexLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'f' }

// digitsOf appends the digits of `count` groups from index on.
func (w *work) digitsOf(index, count int, into []byte) []byte {
	for _, g := range w.groups[index : index+count] {
		into = append(into, w.n[g.start:g.end]...)
	}
	return into
}

func (w *work) card(index int) int {
	g := w.groups
	total := 0
	var buffer [24]byte
	for count := 1; index+count <= len(g); count++ {
		each := g[index+count-1]
		size := each.end - each.start
		if count > 1 && (each.gap > 2 || size < 2 && total < 12) {
			return 0
		}
		total += size
		if total > 19 {
			return 0
		}
		if total < 13 || w.gluedRight(each) || w.decimal(index, count) {
			continue
		}
		digits := w.digitsOf(index, count, buffer[:0])
		if cardPrefix(digits) && luhn(digits) || w.labelledBefore(g[index].start, cardWord, "カード", "クレジット") {
			w.find(g[index].start, each.end, Card)
			return count
		}
	}
	return 0
}

func cardPrefix(d []byte) bool {
	two := int(d[0]-'0')*10 + int(d[1]-'0')
	four := two*100 + int(d[2]-'0')*10 + int(d[3]-'0')
	switch {
	case d[0] == '4', two >= 51 && two <= 55, four >= 2221 && four <= 2720, two == 34, two == 37, two == 30, two == 36, two == 38,
		two == 35, two == 62, two == 65, two == 60, two == 64, two == 67:
		return true
	}
	return false
}

func luhn(digits []byte) bool {
	sum, double := 0, false
	for at := len(digits) - 1; at >= 0; at-- {
		digit := int(digits[at] - '0')
		if double {
			if digit *= 2; digit > 9 {
				digit -= 9
			}
		}
		sum += digit
		double = !double
	}
	return sum%10 == 0
}

func (w *work) myNumber(index int) int {
	g := w.groups
	count := 1
	if first := g[index]; first.end-first.start == 4 && index+3 <= len(g) {
		if g[index+1].gap > 2 || g[index+2].gap > 2 || g[index+1].end-g[index+1].start != 4 || g[index+2].end-g[index+2].start != 4 {
			return 0
		}
		if next := index + 3; next < len(g) && g[next].gap == 1 && g[next].end-g[next].start == 4 && w.n[g[next].start-1] == w.n[g[index+1].start-1] {
			return 0 // sixteen digits
		}
		count = 3
	} else if first.end-first.start != 12 {
		return 0
	}
	last := g[index+count-1]
	if w.gluedRight(last) {
		return 0
	}
	var buffer [12]byte
	digits := w.digitsOf(index, count, buffer[:0])
	if isMyNumber(digits) || w.labelledBefore(g[index].start, keyNumberWord, "マイナンバー", "個人番号", "カード番号") {
		w.find(g[index].start, last.end, MyNumber)
		return count
	}
	return 0
}

// isMyNumber checks the check digit; what reads as a date with a time, or begins with four zeros, is none.
func isMyNumber(d []byte) bool {
	if len(d) != 12 || string(d[:4]) == "0000" || timestamp(d) {
		return false
	}
	sum := 0
	for index, weight := range [11]int{6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2} {
		sum += int(d[index]-'0') * weight
	}
	check := 11 - sum%11
	if check > 9 {
		check = 0
	}
	return int(d[11]-'0') == check
}

func timestamp(d []byte) bool {
	pair := func(at int) int { return int(d[at]-'0')*10 + int(d[at+1]-'0') }
	century, month, day, hour, minute := pair(0), pair(4), pair(6), pair(8), pair(10)
	return (century == 19 || century == 20) && month >= 1 && month <= 12 && day >= 1 && day <= 31 && hour < 24 && minute < 60
}

func (w *work) socialNumber(index int) int {
	g := w.groups
	if index+3 > len(g) || index+3 < len(g) && g[index+3].gap == 1 && w.n[g[index+3].start-1] == '-' {
		return 0
	}
	a, b, c := g[index], g[index+1], g[index+2]
	if a.end-a.start != 3 || b.end-b.start != 2 || c.end-c.start != 4 || b.gap != 1 || c.gap != 1 || w.n[b.start-1] != '-' || w.n[c.start-1] != '-' || w.gluedRight(c) {
		return 0
	}
	if area := w.n[a.start:a.end]; area == "000" || area == "666" || area[0] == '9' || a.start > 0 && w.n[a.start-1] == '-' {
		return 0
	}
	w.find(a.start, c.end, Account)
	return 3
}

func (w *work) phone(index int) int {
	g, n := w.groups, w.n
	start := g[index].start
	if w.seconds(g[index]) {
		return 0
	}
	plus := start > 0 && n[start-1] == '+' && (start < 2 || !isAlnum(n[start-2]))
	first := n[g[index].start:g[index].end]
	label := false
	if first[0] != '0' && !plus {
		if count := w.american(index); count > 0 {
			return count
		}
		if label = w.labelledBefore(start, phoneWord, "電話", "携帯", "連絡先", "ファックス", "FAX"); !label {
			return 0
		}
	}
	total := 0
	var buffer [24]byte
	for count := 1; index+count <= len(g); count++ {
		each := g[index+count-1]
		total += each.end - each.start
		if total > 16 {
			break
		}
		if total < 9 || w.gluedRight(each) {
			continue
		}
		digits := w.digitsOf(index, count, buffer[:0])
		more := index+count < len(g) && g[index+count].gap == 1 && total < 10
		complete := false
		switch {
		case plus:
			complete = first[0] != '0' && total <= 15 && (index+count == len(g) || total >= 11 || g[index+count].gap > 1)
		case label:
			complete = total <= 15 && !more
		case digits[0] == '0' && digits[1] == '0':
			complete = count > 1 && total >= 11 && len(first) <= 5 && digits[2] != '0' && !w.decimal(index, count) && (index+count == len(g) || total >= 13)
		case total == 11:
			complete = digits[1] >= '5' && digits[1] <= '9' && digits[2] == '0' || string(digits[:4]) == "0800"
		case total == 10:
			complete = w.landline(index, count, digits)
		default:
			label = label || w.labelledBefore(start, phoneWord, "電話", "携帯", "連絡先")
			complete = label && total <= 15 && !more
		}
		if complete {
			if plus {
				start--
			}
			if start > 0 && n[start-1] == '(' {
				start--
			}
			w.find(start, each.end, Phone)
			return count
		}
	}
	return 0
}

// landline tells whether ten digits from 0 are a number of the fixed network: bare, or grouped as they are written.
func (w *work) landline(index, count int, digits []byte) bool {
	if digits[1] == '0' {
		return false
	}
	if count == 1 {
		return true
	}
	g := w.groups
	first, last := g[index], g[index+count-1]
	size := first.end - first.start
	if count > 3 || size < 2 || size > 5 {
		return w.labelledBefore(first.start, phoneWord, "電話", "携帯", "連絡先")
	}
	free := string(digits[:4]) == "0120" || string(digits[:4]) == "0570"
	return last.end-last.start == 4 || free
}

func (w *work) american(index int) int {
	g, n := w.groups, w.n
	if index+3 > len(g) {
		return 0
	}
	a, b, c := g[index], g[index+1], g[index+2]
	if a.end-a.start != 3 || b.end-b.start != 3 || c.end-c.start != 4 || n[a.start] < '2' || n[b.start] < '2' || w.gluedRight(c) {
		return 0
	}
	bracket := a.start > 0 && n[a.start-1] == '(' && n[a.end] == ')'
	sign := n[b.start-1]
	if !bracket && (b.gap != 1 || c.gap != 1 || sign != '-' && sign != '.') || index+3 < len(g) && g[index+3].gap == 1 && n[g[index+3].start-1] == sign {
		if !w.labelledBefore(a.start, phoneWord, "電話") {
			return 0
		}
	}
	start := a.start
	if bracket {
		start--
	}
	w.find(start, c.end, Phone)
	return 3
}

// labelledBefore tells whether a word of some kind, or one of some Japanese words, stands a few signs in front.
func (w *work) labelledBefore(start int, kinds kind, japanese ...string) bool {
	const reach = 24
	n := w.n
	if w.seen&kinds != 0 {
		low := w.wordBefore(start)
		for back := 0; back < 2 && low-back >= 0; back++ {
			each := w.words[low-back]
			if start-int(each.end) > reach {
				break
			}
			if each.kind&kinds != 0 && strings.IndexFunc(n[each.end:start], func(r rune) bool { return r >= '0' && r <= '9' || r == '\n' && back > 0 || r == '[' }) < 0 {
				return true
			}
		}
	}
	if w.found&hasHigh != 0 {
		front := n[max(0, start-2*reach):start]
		for _, word := range japanese {
			if at := strings.LastIndex(front, word); at >= 0 && strings.IndexFunc(front[at+len(word):], func(r rune) bool { return r >= '0' && r <= '9' }) < 0 &&
				utf8.RuneCountInString(front[at+len(word):]) <= 8 {
				return true
			}
		}
	}
	return false
}

// wordBefore is the index of the last word that ends at or before a place, or -1.
func (w *work) wordBefore(at int) int {
	low, high := 0, len(w.words)
	for low < high {
		middle := (low + high) / 2
		if int(w.words[middle].end) <= at {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low - 1
}

// dottedAddress finds IPv4 addresses, with dots or as parts of host names with dashes.
func (w *work) dottedAddress(index int) int {
	g, n := w.groups, w.n
	if index+4 > len(g) {
		return 0
	}
	sign := n[g[index].end]
	if sign != '.' && sign != '-' {
		return 0
	}
	for count := range 4 {
		each := g[index+count]
		if count > 0 && (each.gap != 1 || n[each.start-1] != sign) || !octet(n[each.start:each.end]) {
			return 0
		}
	}
	start, end := g[index].start, g[index+3].end
	if index+4 < len(g) && g[index+4].gap == 1 && n[g[index+4].start-1] == sign {
		if sign == '-' {
			return 0
		}
		return w.chain(index, sign)
	}
	if index > 0 && g[index].gap == 1 && n[start-1] == sign {
		return 0
	}
	text := n[start:end]
	if sign == '-' {
		if start == 0 || n[start-1] != '-' && n[start-1] != '.' && !isLetter(n[start-1]) || end >= len(n) || n[end] != '.' && n[end] != '-' && !w.ipWord(start) {
			if !w.ipWord(start) {
				return 0
			}
		}
		w.find(start, end, IP)
		return 4
	}
	if text == "127.0.0.1" || text == "0.0.0.0" || strings.HasPrefix(text, "255.255.255.") {
		return 4
	}
	if w.gluedLeft(g[index]) && !w.longWordBefore(start) || end < len(n) && (isLetter(n[end]) || n[end] == '_' || n[end] == '-' && end+1 < len(n) && isLetter(n[end+1])) && w.gluedLeft(g[index]) {
		return 4 // v10.20.30.40
	}
	if before := w.wordBefore(start); before >= 0 && w.words[before].kind&versionWord != 0 && strings.Trim(n[w.words[before].end:start], " :=/v-_") == "" {
		return 4
	}
	if strings.HasSuffix(strings.TrimRight(n[:start], " :="), "バージョン") {
		return 4
	}
	w.find(start, end, IP)
	return 4
}

// chain skips a longer row of numbers with dots: an object identifier.
func (w *work) chain(index int, sign byte) int {
	count := 4
	for index+count < len(w.groups) && w.groups[index+count].gap == 1 && w.n[w.groups[index+count].start-1] == sign {
		count++
	}
	return count
}

func (w *work) ipWord(start int) bool {
	low := strings.ToLower(w.n[max(0, start-6):start])
	return strings.HasSuffix(low, "ip-") || strings.HasSuffix(low, "host-") || strings.HasSuffix(low, "ip") || strings.HasSuffix(low, "ip_")
}

func (w *work) longWordBefore(start int) bool {
	begin := start
	for begin > 0 && isLetter(w.n[begin-1]) {
		begin--
	}
	return start-begin > 1
}

func octet(text string) bool {
	if len(text) > 3 {
		return false
	}
	value := 0
	for index := range len(text) {
		value = value*10 + int(text[index]-'0')
	}
	return value <= 255
}

// uuidEnd is the end of a UUID that begins at a place, or 0.
func uuidEnd(n string, at int) int {
	const size = 36
	if len(n)-at < size || n[at+8] != '-' || n[at+13] != '-' || n[at+18] != '-' || n[at+23] != '-' {
		return 0
	}
	for index := range size {
		if index == 8 || index == 13 || index == 18 || index == 23 {
			continue
		}
		if hexDigit(n[at+index]) < 0 {
			return 0
		}
	}
	return at + size
}

// ipv6 finds addresses with eight groups or with a double colon and a digit in front of or behind it.
func (w *work) ipv6() {
	n := w.n
	for at := 0; at < len(n); {
		if hexDigit(n[at]) < 0 && n[at] != ':' || at > 0 && (isAlnum(n[at-1]) || n[at-1] == ':' || n[at-1] == '_') {
			at++
			continue
		}
		end, colons, double, digits, longest := at, 0, false, false, 0
		for size := 0; end < len(n); end++ {
			c := n[end]
			if c == ':' {
				colons++
				double = double || end+1 < len(n) && n[end+1] == ':'
				size = 0
				continue
			}
			if hexDigit(c) < 0 && !(c == '.' && double) {
				break
			}
			digits = digits || isDigit(c)
			if c == '.' {
				size = 0
				continue
			}
			size++
			longest = max(longest, size)
		}
		for end > at && (n[end-1] == ':' && !(end-at >= 2 && n[end-2] == ':') || n[end-1] == '.') {
			end--
		}
		good := longest <= 4 && colons <= 8 && (end >= len(n) || !isLetter(n[end]) || n[end] == '%')
		if good && (double && digits && end-at >= 4 || colons == 7 && !double && digits) {
			w.find(at, end, IP)
		}
		at = max(end, at+1)
	}
}
