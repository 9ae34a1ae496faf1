package masking

import (
	"cmp"
	"slices"
	"strings"
	"sync"
)

// Longest is the most bytes of one text that are looked at; callers cut or refuse what is longer.
const Longest = 64 << 10

type finding struct {
	start, end int
	class      Class
}

// work is the memory of one look at one text; it is used again.
type work struct {
	text, other, nfkc []byte
	n                 string // normalised text
	found             features
	words             []word
	seen              kind // kinds of all words
	groups            []group
	decimals          []decimal
	kana              [3]run
	findings          []finding
	depth             int
	left              int // bytes that scans may still read
	untagged          bool
	walked            bool // as JSON: what its keys announce is masked
}

var works = sync.Pool{New: func() any { return new(work) }}

// Text masks one text. It returns s itself and no class where nothing is found.
func Text(s string) (string, Class) {
	if len(s) < 3 {
		return s, 0
	}
	w := works.Get().(*work)
	masked, classes := w.mask(s)
	if cap(w.text) <= 2*Longest && cap(w.other) <= 2*Longest {
		w.n = ""
		works.Put(w)
	}
	return masked, classes
}

func (w *work) mask(s string) (string, Class) {
	w.walked = false
	begin := 0
	for begin < len(s) && isSpace(s[begin]) {
		begin++
	}
	if begin < len(s) && (s[begin] == '{' || s[begin] == '[' || s[begin] == '"') {
		if masked, classes, ok := jsonText(s); ok {
			w.walked = true
			again, more := w.plain(masked) // what only neighbours tell
			return again, classes | more
		}
	}
	return w.plain(s)
}

func (w *work) plain(s string) (string, Class) {
	w.left = 16*len(s) + 1<<12
	w.search(s, false)
	if len(w.findings) == 0 && w.untagged {
		w.search(s, true) // what stands inside of a tag
	}
	if len(w.findings) == 0 {
		return s, 0
	}
	return w.marked()
}

// search normalises and runs the detectors.
func (w *work) search(s string, keepTags bool) {
	found, digits := look(s)
	w.findings = w.findings[:0]
	w.n = w.normalise(s, found, keepTags)
	if found&(hasEncoded|hasTag|hasHigh) != 0 {
		found, digits = look(w.n)
	}
	if w.found = found; len(w.n) > 0 {
		w.detect(digits)
	}
	if w.left < 0 { // made to be slow: nobody looks any closer
		w.find(0, len(w.n), Opaque)
	}
}

// detect runs every detector whose signs the text has.
func (w *work) detect(digits int) {
	if w.splitWords() {
		w.secrets()
		w.latinNames()
		w.labels()
	}
	if w.found&hasAt != 0 {
		w.mails()
	}
	w.spelledMail()
	if w.found&hasSign != 0 {
		w.urls()
		if w.found&hasQuote != 0 && !w.walked {
			w.members()
		}
	}
	if w.found&hasHigh != 0 {
		w.japanese()
	}
	if digits >= 4 {
		w.numbers()
	}
	if digits >= 1 {
		w.positions()
	}
	if strings.Contains(w.n, "::") || digits >= 4 && strings.Count(w.n, ":") >= 5 {
		w.ipv6()
	}
	if digits >= 2 && w.found&hasUpper != 0 {
		w.postcodes()
	}
	if w.seen&(streetWord|foreignStreet|wardWord) != 0 && digits > 0 {
		w.latinAddresses()
	}
	if w.seen&sqlWord != 0 && strings.IndexByte(w.n, '\'') >= 0 {
		w.sqlLiterals()
	}
	w.encodedText()
}

// spend takes what a scan reads from the budget, which keeps the work for any text linear; false: it is used up.
func (w *work) spend(bytes int) bool {
	w.left -= bytes
	return w.left >= 0
}

func (w *work) find(start, end int, class Class) {
	if start < end {
		w.findings = append(w.findings, finding{start, end, class})
	}
}

// marked puts the markers in; findings that overlap become one, named for the first.
func (w *work) marked() (string, Class) {
	slices.SortFunc(w.findings, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end))
	})
	var classes Class
	var out strings.Builder
	out.Grow(len(w.n))
	written := 0
	for _, f := range w.findings {
		classes |= f.class
		if f.start < written {
			written = max(written, f.end)
			continue
		}
		out.WriteString(w.n[written:f.start])
		out.WriteString(markers[f.class])
		written = f.end
	}
	out.WriteString(w.n[written:])
	return out.String(), classes
}

// word is a run of ASCII letters; a word in camel case is several.
type word struct {
	start, end int32
	kind       kind
	first      bool // begins with a capital letter
	upper      bool // has capital letters only
	glued      bool // begins inside a longer run of letters
}

const longestWord = 20

// splitWords finds the words and tells whether there are any.
func (w *work) splitWords() bool {
	w.words = w.words[:0]
	w.seen = 0
	n := w.n
	var lower [longestWord]byte
	for at := 0; at < len(n); {
		if !isLetter(n[at]) {
			at++
			continue
		}
		begin := at
		first := isUpper(n[at])
		uppers := 0
		for at < len(n) && isLetter(n[at]) {
			if isUpper(n[at]) {
				if at > begin && isLower(n[at-1]) {
					break // camel case
				}
				uppers++
			}
			if at-begin < longestWord {
				lower[at-begin] = n[at] | 0x20
			}
			at++
		}
		var bits kind
		if at-begin <= longestWord {
			bits = lexicon[string(lower[:at-begin])]
		}
		w.seen |= bits
		w.words = append(w.words, word{
			start: int32(begin), end: int32(at), kind: bits, first: first, upper: uppers == at-begin,
			glued: begin > 0 && isLetter(n[begin-1]),
		})
	}
	return len(w.words) > 0
}

// full is the end of the whole run of letters that word index begins, over changes of case.
func (w *work) full(index int) (end, next int) {
	end, next = int(w.words[index].end), index+1
	for next < len(w.words) && int(w.words[next].start) == end {
		end = int(w.words[next].end)
		next++
	}
	return end, next
}

func (w *work) between(left, right int) string {
	return w.n[w.words[left].end:w.words[right].start]
}

// capital tells whether a word is written as names are: Grace, or GRACE with two letters and more.
func (w *work) capital(index int) bool {
	each := w.words[index]
	return each.first && each.end-each.start >= 2
}
