package masking

import (
	"strings"
	"unicode/utf8"
)

// sign is where a value begins behind a label that ends at a place; by particle は the value must begin like one.
func (w *work) sign(at int) (value int, particle, ok bool) {
	n := w.n
	for at < len(n) && strings.IndexByte("\"'`", n[at]) >= 0 {
		at++
	}
	if at < len(n) && n[at] == '(' {
		if end := strings.IndexByte(n[at:min(len(n), at+40)], ')'); end > 0 {
			at += end + 1
		}
	}
	for at < len(n) && isSpace(n[at]) {
		at++
	}
	switch {
	case at >= len(n):
		return 0, false, false
	case n[at] == ':' || n[at] == '=':
		at++
	case strings.HasPrefix(n[at:], "は"):
		at += len("は")
		particle = true
	case strings.HasPrefix(n[at:], "->") || strings.HasPrefix(n[at:], "=>"):
		at += 2
	case strings.HasPrefix(n[at:], "→"):
		at += len("→")
	default:
		return 0, false, false
	}
	for at < len(n) && isSpace(n[at]) {
		at++
	}
	return at, particle, at < len(n)
}

// japaneseLabel finds the name behind 氏名：, 担当者= and 名前は.
func (w *work) japaneseLabel(_, end int) {
	n := w.n
	at, particle, ok := w.sign(end)
	if !ok {
		return
	}
	quoted := byte(0)
	if strings.IndexByte("\"'`", n[at]) >= 0 {
		quoted = n[at]
		at++
	} else if strings.HasPrefix(n[at:], "「") {
		at += len("「")
	}
	if at >= len(n) || keptValue(n[at:]) {
		return
	}
	if n[at] < utf8.RuneSelf {
		if first := w.wordAt(at); first >= 0 {
			last := w.capitals(first, 4)
			if quoted != 0 || !particle || w.words[first].first {
				if value := n[at:last]; !keptValue(value) {
					w.find(at, last, Name)
				}
			}
		}
		return
	}
	row := w.rowAt(at)
	if row == "" {
		return
	}
	r, _ := utf8.DecodeRuneInString(row)
	kind := scriptOf(r)
	count := utf8.RuneCountInString(row)
	switch {
	case kind == hiragana && (particle || count < 2):
		return
	case kind == katakana && particle && !surnameKana[row], kind == katakana && count < 2:
		return
	case kind == han && notPerson(row):
		return
	case kind == han && particle && count > 6:
		return
	}
	last := at + len(row)
	if kind == han && particle { // 名前は勅使河原です, 名前は小鳥遊ひかりです
		if next := w.rowAt(last); next != "" && strings.HasSuffix(next, "です") && len(next) > len("です") && utf8.RuneCountInString(next) <= 7 {
			last += len(next) - len("です")
		}
		w.find(at, last, Name)
		return
	}
	if next := w.rowAt(last); next != "" && kind == han { // 作業者=小鳥遊ひかり
		if follow, _ := utf8.DecodeRuneInString(next); scriptOf(follow) == katakana || scriptOf(follow) == hiragana && !particleRow(next) {
			last += len(next)
		}
	}
	if gap := w.nameGap(last); gap > 0 {
		if next := w.rowAt(last + gap); next != "" && !notPerson(next) {
			if follow, _ := utf8.DecodeRuneInString(next); utf8.RuneCountInString(next) <= 6 && (scriptOf(follow) != hiragana || !particleRow(next)) {
				last += gap + len(next)
			}
		}
	}
	w.find(at, last, Name)
}

// particleRow tells whether kana behind a name are grammar and no part of it.
func particleRow(row string) bool {
	r, size := utf8.DecodeRuneInString(row)
	return len(row) == size || strings.ContainsRune("がはをにのとでへもよやだ", r)
}

var notPersonWords = []string{
	"未", "不", "必須", "数", "全員", "変更", "確認", "設定", "登録", "担当", "管理者", "無", "有", "自動", "空", "名", "利用", "作業", "入力", "選択", "複数", "二名", "三名",
	"端末", "現場", "機器", "部", "課", "削除", "追加", "同上", "別途", "社員", "従業員", "画面", "表示", "人数", "交代", "休憩", "待機", "退室", "入室", "一覧", "情報",
}

func notPerson(row string) bool {
	for _, word := range notPersonWords {
		if strings.HasPrefix(row, word) {
			return true
		}
	}
	return false
}

// saysName finds the name in 私は渋沢と申します.
func (w *work) saysName(start, _ int) {
	begin, kind := w.rowBefore(start)
	if begin == start {
		if last := w.wordBefore(start); last >= 0 && int(w.words[last].end) == start {
			w.find(int(w.words[last].start), start, Name)
		}
		return
	}
	if kind == hiragana { // わたしはさくらと申します: the name begins behind the last は
		if cut := strings.LastIndex(w.n[begin:start], "は"); cut >= 0 {
			begin += cut + len("は")
		}
	}
	w.find(begin, start, Name)
}

func (w *work) japaneseSecret(_, end int) {
	n := w.n
	for strings.HasPrefix(n[end:], "番号") || strings.HasPrefix(n[end:], "情報") {
		end += len("番号")
	}
	at, particle, ok := w.sign(end)
	if !ok {
		return
	}
	if strings.HasPrefix(n[at:], "「") || strings.HasPrefix(n[at:], "『") {
		if close := strings.IndexAny(n[at+3:], "」』"); close > 0 {
			w.find(at+3, at+3+close, Password)
		}
		return
	}
	if strings.IndexByte("\"'`", n[at]) >= 0 {
		if close := strings.IndexByte(n[at+1:], n[at]); close > 0 {
			w.find(at+1, at+1+close, Password)
		}
		return
	}
	last := secretEnd(n, at)
	if last == at || keptValue(n[at:last]) || strings.IndexByte("[{(", n[at]) >= 0 {
		return
	}
	if particle && n[at] >= utf8.RuneSelf {
		return
	}
	if particle {
		for cut := at; cut < last; cut++ { // Sakura#123です
			if n[cut] >= utf8.RuneSelf {
				last = cut
				break
			}
		}
		if onlyDigits(n[at:last]) && counted(n[last:]) {
			return
		}
	}
	w.find(at, last, Password)
}

// counted tells whether a number in front of text counts something: 8文字以上, 4桁.
func counted(text string) bool {
	for _, unit := range []string{"文字", "桁", "回", "日", "分", "時間", "個", "種類", "年", "か月", "ヶ月"} {
		if strings.HasPrefix(text, unit) {
			return true
		}
	}
	return false
}

func (w *work) japaneseDate(_, end int) {
	at, _, ok := w.sign(end)
	if !ok {
		for at = end; at < len(w.n) && isSpace(w.n[at]); at++ {
		}
	}
	if last := dateEnd(w.n, at); last > 0 {
		w.find(at, last, BirthDate)
	}
}

// bankAccount finds 普通 1234567 and 口座番号：1234567.
func (w *work) bankAccount(start, end int) {
	n := w.n
	at := end
	for _, skip := range []string{"預金", "口座", "番号"} {
		at += len(n[at:]) - len(strings.TrimPrefix(n[at:], skip))
	}
	for at < len(n) && strings.IndexByte(" :=", n[at]) >= 0 {
		at++
	}
	last := at
	for last < len(n) && isDigit(n[last]) {
		last++
	}
	if size := last - at; size >= 6 && size <= 8 && (last == len(n) || !isLetter(n[last])) {
		w.find(start, last, Account)
	}
}

// postalMark finds 〒105-0011 and what follows of the address.
func (w *work) postalMark(start, end int) {
	n := w.n
	at := end
	for at < len(n) && (isSpace(n[at]) || strings.IndexByte(":=", n[at]) >= 0) {
		at++
	}
	if strings.HasPrefix(n[at:], "は") {
		at += len("は")
	}
	digits := at
	for digits < len(n) && (isDigit(n[digits]) || n[digits] == '-' || n[digits] == ' ' && digits-at == 3) {
		digits++
	}
	if strings.Count(n[at:digits], "-")+strings.Count(n[at:digits], " ") > 1 || digits-at < 7 || digits-at > 8 {
		return
	}
	last := digits
	for last < len(n) && n[last] == ' ' {
		last++
	}
	w.find(start, max(digits, w.addressEnd(last)), Address)
}

// prefecture finds an address from its prefecture on: with a city, a ward, a town or a village it is one.
func (w *work) prefecture(start, end int) {
	n := w.n
	at := end
	if at < len(n) && n[at] == ' ' {
		at++
	}
	row := w.rowAt(at)
	if row == "" {
		return
	}
	town := municipality(row)
	if town == 0 {
		if second := w.rowAt(at + len(row)); second != "" && len(row) <= 4*3 {
			if more := municipality(second); more > 0 && more <= 3*3 {
				town = len(row) + more
			}
		}
	}
	if town == 0 {
		return
	}
	w.find(start, max(at+town, w.addressEnd(at+town)), Address)
}

// municipality is the length of a row of characters up to 市, 区, 郡, 町 or 村, or 0.
func municipality(row string) int {
	count := 0
	for at, r := range row {
		if strings.ContainsRune("市区郡町村", r) && count > 0 {
			if rest := row[at:]; strings.HasPrefix(rest, "市場") || strings.HasPrefix(rest, "区域") || strings.HasPrefix(rest, "区間") || strings.HasPrefix(rest, "区分") || strings.HasPrefix(rest, "市区町村") || strings.HasPrefix(rest, "町村") {
				return 0
			}
			return at + utf8.RuneLen(r)
		}
		if count++; count > 8 {
			return 0
		}
	}
	return 0
}

const addressSigns = "0123456789-,#. "

// addressEnd is where the rest of an address ends: names of places, numbers of blocks, a building.
func (w *work) addressEnd(at int) int {
	n := w.n
	last, digits := at, false
	for at < len(n) && at-last <= 60 && w.spend(1) {
		r, size := utf8.DecodeRuneInString(n[at:])
		switch kind := scriptOf(r); {
		case kind == han:
			if digits && endsAddress(n[at:]) {
				return last
			}
			at += size
			last = at
		case kind == katakana:
			at += size
			last = at
		case kind == hiragana:
			row := w.rowAt(at)
			if utf8.RuneCountInString(row) <= 1 && r != 'の' && r != 'が' || particleRow(row) && r != 'の' || strings.HasPrefix(row, "です") || strings.HasPrefix(row, "から") || strings.HasPrefix(row, "まで") || strings.HasPrefix(row, "より") {
				if r != 'の' || !numberBehind(n[at+size:]) {
					return last
				}
			}
			if digits && r != 'の' {
				return last
			}
			at += len(row)
			last = at
		case r < utf8.RuneSelf && isDigit(byte(r)):
			digits = true
			at += size
			last = at
		case r < utf8.RuneSelf && strings.IndexByte(addressSigns, byte(r)) >= 0:
			if r == '.' || r == ',' {
				return last
			}
			at += size
		case r < utf8.RuneSelf && isLetter(byte(r)) && digits && w.n[at-1] != ' ':
			at += size
			last = at
		default:
			return last
		}
	}
	return last
}

func numberBehind(text string) bool { return text != "" && isDigit(text[0]) }

var addressStops = []string{"配送", "居住", "在住", "到着", "出発", "訪問", "移動", "付近", "方面", "発", "着", "宛", "向", "行", "停止", "接続", "登録"}

func endsAddress(text string) bool {
	for _, stop := range addressStops {
		if strings.HasPrefix(text, stop) {
			return true
		}
	}
	return false
}

// town finds addresses without a prefecture: 渋谷区神南2-2-1.
func (w *work) town(start, end int) {
	n := w.n
	row := n[start:end]
	cut := municipality(row)
	if cut == 0 || cut > 8*3 {
		return
	}
	last := w.addressEnd(start + cut)
	rest := n[start+cut : last]
	if rest == "" || isDigit(rest[0]) || rest[0] == ' ' {
		return
	}
	number := strings.IndexAny(rest, "0123456789")
	block := strings.Contains(rest, "丁目") || strings.Contains(rest, "番地") || number >= 0 && strings.Count(rest[number:], "-") >= 2
	if block && (number >= 0 || strings.ContainsAny(rest, "一二三四五六七八九十")) {
		w.find(start, last, Address)
	}
}

// placeLabel finds what stands behind 住所：.
func (w *work) placeLabel(_, end int) {
	at, particle, ok := w.sign(end)
	if !ok || keptValue(w.n[at:]) {
		return
	}
	last := w.addressEnd(at)
	if particle && !strings.ContainsAny(w.n[at:last], "0123456789") && !strings.ContainsAny(w.n[at:last], "市区町村県都府") {
		return
	}
	w.find(at, last, Address)
}

// plate finds licence plates: 品川 300 あ 12-34.
func (w *work) plate(start, end int) {
	n := w.n
	if count := utf8.RuneCountInString(n[start:end]); count > 12 {
		return
	}
	at := end
	skip := func() {
		for at < len(n) && n[at] == ' ' {
			at++
		}
	}
	number := func(least, most int) bool {
		begin := at
		for at < len(n) && isDigit(n[at]) {
			at++
		}
		return at-begin >= least && at-begin <= most
	}
	skip()
	if !number(2, 3) {
		return
	}
	skip()
	r, size := utf8.DecodeRuneInString(n[at:])
	if scriptOf(r) != hiragana && !(size == 1 && isUpper(byte(r))) {
		return
	}
	at += size
	skip()
	for strings.HasPrefix(n[at:], "・") {
		at += len("・")
	}
	begin := at
	if !number(1, 4) {
		return
	}
	if at < len(n) && n[at] == '-' {
		at++
		if !number(2, 2) {
			return
		}
	} else if at-begin < 4 && !strings.HasSuffix(n[:begin], "・") {
		return
	}
	w.find(start, at, Plate)
}

const kanjiDigits = "〇一二三四五六七八九"

// kanjiPhone finds phone numbers in kanji digits: 〇九〇ー一二三四ー五六七八.
func (w *work) kanjiPhone(start, _ int) {
	n := w.n
	if start > 0 {
		if before, _ := utf8.DecodeLastRuneInString(n[:start]); strings.ContainsRune(kanjiDigits, before) {
			return
		}
	}
	digits, at, last := 0, start, start
	for at < len(n) && w.spend(1) {
		r, size := utf8.DecodeRuneInString(n[at:])
		switch {
		case strings.ContainsRune(kanjiDigits, r) || r == '零' || r < utf8.RuneSelf && isDigit(byte(r)):
			digits++
			last = at + size
		case r == '-' || r == 'ー' || r == '・' || r == ' ' || r == 'の' || r == '(' || r == ')':
		default:
			size = 0
		}
		if size == 0 {
			break
		}
		at += size
	}
	if digits == 10 || digits == 11 {
		w.find(start, last, Phone)
	}
}
