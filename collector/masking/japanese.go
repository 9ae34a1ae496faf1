package masking

import (
	"strings"
	"unicode/utf8"
)

// run is a row of characters of one script.
type run struct{ start, end int }

type script uint8

const (
	other script = iota
	han
	hiragana
	katakana
)

func scriptOf(r rune) script {
	switch {
	case r >= 0x4e00 && r <= 0x9fff || r == '々' || r == 'ヶ' || r >= 0x3400 && r <= 0x4dbf || r >= 0x20000 && r <= 0x323af:
		return han
	case r >= 0x3041 && r <= 0x3096:
		return hiragana
	case r >= 0x30a1 && r <= 0x30fa || r == 'ー':
		return katakana
	}
	return other
}

// entry is something that a character may begin: an honorific, a label, a prefecture.
type entry struct {
	text string
	act  func(w *work, start, end int)
}

var (
	entries = map[rune][]entry{}
	begins  [0x10000 / 64]uint64
)

func enter(act func(w *work, start, end int), texts string) {
	for _, text := range strings.Fields(texts) {
		r, _ := utf8.DecodeRuneInString(text)
		entries[r] = append(entries[r], entry{text, act})
		begins[r/64] |= 1 << (r % 64)
	}
}

func buildJapanese() {
	enter((*work).honorific, "さん さま 様 氏 殿 君 くん ちゃん 先生 社長 部長 課長 係長 主任 班長 職長 工場長 所長 店長 室長 会長 次長 局長 隊長 組長 棟梁 親方 リーダー 選手 教授 医師")
	enter((*work).japaneseLabel, `氏名 お名前 名前 作業者名 作業者 作業員名 作業員 担当者名 担当者 担当 利用者名 利用者 使用者名 使用者 従業員名 従業員 社員名 顧客名
		お客様名 患者名 患者 運転者 責任者名 責任者 受取人 宛名 フリガナ ふりがな カナ氏名 姓名 ユーザー名 ユーザ名 登録者名 登録者 申請者名 申請者 連絡者 報告者名
		報告者 本人 契約者 発注者 監督者 代表者 差出人 依頼者`)
	enter((*work).japaneseSecret, "パスワード パスコード 暗証番号 合言葉 認証コード 確認コード 秘密鍵 トークン シークレット パスフレーズ アクセスキー APIキー 暗号鍵")
	enter((*work).japaneseDate, "生年月日 誕生日")
	enter((*work).bankAccount, "普通 当座 貯蓄 口座番号")
	enter((*work).postalMark, "〒 郵便番号")
	enter((*work).prefecture, `東京都 北海道 京都府 大阪府 青森県 岩手県 宮城県 秋田県 山形県 福島県 茨城県 栃木県 群馬県 埼玉県 千葉県 神奈川県 新潟県 富山県 石川県
		福井県 山梨県 長野県 岐阜県 静岡県 愛知県 三重県 滋賀県 兵庫県 奈良県 和歌山県 鳥取県 島根県 岡山県 広島県 山口県 徳島県 香川県 愛媛県 高知県 福岡県 佐賀県
		長崎県 熊本県 大分県 宮崎県 鹿児島県 沖縄県`)
	enter((*work).saysName, "と申します と言います といいます と申す と名乗")
	enter((*work).kanjiPhone, "〇 零")
	enter((*work).placeLabel, "住所 現住所 居住地 自宅")
}

// japanese walks once over the characters, knows the row that each belongs to, and tries what may begin there.
func (w *work) japanese() {
	n := w.n
	current, start := other, 0
	for at := 0; at < len(n); {
		if n[at] < utf8.RuneSelf {
			if current != other {
				w.endRun(current, start, at)
				current = other
			}
			at++
			continue
		}
		r, size := utf8.DecodeRuneInString(n[at:])
		kind := scriptOf(r)
		if kind != current {
			if current != other {
				w.endRun(current, start, at)
			}
			current, start = kind, at
		}
		if r < 0x10000 && begins[r/64]&(1<<(r%64)) != 0 {
			for _, each := range entries[r] {
				if strings.HasPrefix(n[at:], each.text) {
					each.act(w, at, at+len(each.text))
				}
			}
		}
		at += size
	}
	if current != other {
		w.endRun(current, start, len(n))
	}
}

func (w *work) endRun(kind script, start, end int) {
	switch kind {
	case han:
		w.hanRun(start, end)
	case katakana:
		w.katakanaRun(start, end)
	}
}

// hanRun looks for surnames with a given name behind them, and for well-known given names with something in front.
func (w *work) hanRun(start, end int) {
	n := w.n
	row := n[start:end]
	for at := 0; at < len(row); {
		_, size := utf8.DecodeRuneInString(row[at:])
		if last := w.surnameAt(row, at, end); last > 0 {
			w.find(start+at, start+last, Name)
			at = last
			continue
		}
		at += size
	}
	w.givenAtEnd(row, start)
	w.town(start, end)
	w.plate(start, end)
}

// surnameAt is the end of a full name whose surname begins at a place of a row, or 0; the given name may follow a blank.
func (w *work) surnameAt(row string, at, end int) int {
	cut := at
	for count := 0; count < longestSurname && cut < len(row); count++ {
		_, size := utf8.DecodeRuneInString(row[cut:])
		cut += size
		if !surnamesJa[row[at:cut]] {
			continue
		}
		if cut == len(row) {
			if gap := w.nameGap(end); gap > 0 {
				if last := w.givenBehind(end + gap); last > 0 {
					return cut + last - end
				}
			}
			continue
		}
		if size := givenSize(row[cut:]); size > 0 {
			return cut + size
		}
	}
	return 0
}

// nameGap is the size of what may part a surname from a given name.
func (w *work) nameGap(at int) int {
	for _, gap := range []string{" ", "・", ","} {
		if strings.HasPrefix(w.n[at:], gap) {
			return len(gap)
		}
	}
	return 0
}

// givenBehind is the end of a given name in characters or kana that begins at a place of the text, or 0.
func (w *work) givenBehind(at int) int {
	row := w.rowAt(at)
	if row == "" {
		return 0
	}
	r, _ := utf8.DecodeRuneInString(row)
	count := utf8.RuneCountInString(row)
	switch scriptOf(r) {
	case han:
		if size := givenSize(row); size > 0 {
			return at + size
		}
		if count <= 3 && givenLike(row) {
			return at + len(row)
		}
	case hiragana:
		if count >= 2 {
			return at + min(len(row), 4*3)
		}
	case katakana:
		if count >= 2 && count <= 6 {
			return at + len(row)
		}
	}
	return 0
}

const longestRow = 120 // bytes that are read of one row

// rowAt is the row of one script that begins at a place.
func (w *work) rowAt(at int) string {
	n := w.n
	if at >= len(n) {
		return ""
	}
	r, size := utf8.DecodeRuneInString(n[at:])
	kind := scriptOf(r)
	if kind == other {
		return ""
	}
	end := at + size
	for end < len(n) && end-at < longestRow {
		next, size := utf8.DecodeRuneInString(n[end:])
		if scriptOf(next) != kind {
			break
		}
		end += size
	}
	return n[at:end]
}

// givenSize is the length of the given name with which text begins, or 0.
func givenSize(text string) int {
	longest, cut := 0, 0
	for count := 0; count < longestGiven && cut < len(text); count++ {
		r, size := utf8.DecodeRuneInString(text[cut:])
		cut += size
		if givenJa[text[:cut]] || count == 0 && cut == len(text) && givenSingle[r] {
			longest = cut
		}
	}
	if longest > 0 {
		return longest
	}
	if cut := sizeOf(text, 3); cut > 0 && cut == len(text) && givenLike(text) {
		return cut
	}
	if cut := sizeOf(text, 2); cut > 0 && givenLike(text[:cut]) {
		return cut
	}
	return 0
}

func sizeOf(text string, characters int) int {
	cut := 0
	for range characters {
		if cut >= len(text) {
			return 0
		}
		_, size := utf8.DecodeRuneInString(text[cut:])
		cut += size
	}
	return cut
}

const (
	givenFront = "健太郎次朗翔輔介樹斗哉雄夫男彦美恵香奈菜花結愛葵莉咲一二三真優陽悠直智裕由誠浩博幸和正義昭弘洋志孝貴茂勝進稔豊実綾彩紗千春夏秋佳麻絵里沙梨理友亜早沙紀希未瑠璃凛琴音朱杏萌楓遥心瑞慎晋康泰良涼純潤俊敏雅仁信伸啓敬賢憲英秀明章修隆芳静京節典久礼玲桃桜百七"
	givenBack  = "太郎朗翔輔介樹斗哉也雄夫男彦美子恵香奈菜花愛莉咲一二三司志治人希衣乃紀代江枝穂音織央羽帆平吾史之己巳造蔵吉助也登菜"
)

var notGiven = wordSet("一人 二人 三人 一二 二三 一代 二代 三代 一平 美人 花代 和紀 正一 夫人 英国人 明治 正史 正二 一太 直人 友人 千代 千人 百人 心音 音声 未央 実音 理也 正平 秋花 春花 明之 千一 百一 百二 百三 七一 七二 七三 千二 千三 一美 良一 一江 七人")

// givenLike tells whether two or three characters read as a given name though no list has it.
func givenLike(text string) bool {
	first, size := utf8.DecodeRuneInString(text)
	last, _ := utf8.DecodeLastRuneInString(text)
	if size == len(text) {
		return givenSingle[first]
	}
	return strings.ContainsRune(givenFront, first) && strings.ContainsRune(givenBack, last) && !notGiven[text]
}

// givenAtEnd finds names whose surname no list has: one to three characters in front of a well-known given name.
func (w *work) givenAtEnd(row string, start int) {
	total := utf8.RuneCountInString(row)
	if total < 3 || total > 6 {
		return
	}
	for count := 2; count <= 3 && count < total; count++ {
		skip := sizeOf(row, total-count)
		if givenJa[row[skip:]] && total-count <= 3 && !commonTail[row[skip:]] {
			w.find(start, start+len(row), Name)
			return
		}
	}
}

// commonTail are given names that end other words, too.
var commonTail = wordSet("一平 公平 勝利 未来 大地 勇気 進一 正一 統一 信一 準一 純一 直人 正人 大樹 大輝 一男 一也 四郎 五郎 典子 光子 原子 電子 陽子 玲子 格子 良子 利子 分子 素子 調子 拍子 様子 弥生 有紀 明美 年男 七海 蒼空 明里 幸一 単一 均一 画一 唯一 七瀬 金子 早苗")

func (w *work) katakanaRun(start, end int) {
	n := w.n
	row := n[start:end]
	if cut := strings.Index(row, "・"); cut > 0 {
		row = row[:cut]
	}
	if !surnameKana[row] {
		return
	}
	if gap := w.nameGap(start + len(row)); gap > 0 {
		at := start + len(row) + gap
		next := w.rowAt(at)
		if r, _ := utf8.DecodeRuneInString(next); next != "" && scriptOf(r) == katakana {
			if count := utf8.RuneCountInString(next); count >= 2 && count <= 6 {
				w.find(start, at+len(next), Name)
			}
		}
	}
}

var (
	keptBefore = map[string]string{
		"様":   "仕 同 模 多 一 異 左 客 皆 王 神 貴 殿 若 文 外 別 奥 旦那 子 各 各位 均一 画一 多種多 各種各 千差万別同 両 有 今 図 紋 御客 公 上 仏 世 ユーザ ユーザー メーカー オーナー お客 ゲスト お取引先 取引先 顧客 業者",
		"氏":   "摂 華 彼 両 同 諸 某 源 平 徳川 足利",
		"殿":   "御 神 宮 拝 本 沈 貴 湯 社 仏",
		"君":   "諸 暴 主 名 細 四 明 郎 夫 父 姫",
		"さん":  "たく みな 皆 お客 客 おかあ おとう おじ おば 母 父 兄 姉 おじい おばあ 嬢 奥 業者 メーカー ユーザー ユーザ 娘 息子 お隣 隣 子 店員 患者 職人 大家 看護師 屋 お医者 医者 おまわり なん かあ とう じい ばあ",
		"さま":  "みな お客 皆 おかげ お互い さかさ あから さかあ かみ",
		"くん":  "",
		"ちゃん": "赤 お 坊 嬢 おばあ おじい じい ばあ おに",
		"先生":  "担任の 担任 主治医 学校 小学校 中学校 高校 大学",
	}
	keptRuns  = map[string]map[string]bool{}
	roleWords = wordSet(`担当 販売 製造 通信 営業 運用 開発 総務 人事 経理 技術 品質 保守 設備 安全 現場 工事 生産 管理 企画 広報 法務 財務 情報 資材 購買 物流
		配送 検査 施工 電気 機械 建築 土木 設計 第一 第二 第三 第四 副 代表 前 新 元 現 全 各 副工 支 本 分 営業所 研究 研究所 事務 事務所 支店 出張 工場 警備 救急 消防 保安
		名誉 自治 町内 委員 議 協 総括 統括 主任 専門 上席 最高 執行 常務 専務 主席 一 二 三 店舗 派遣 契約 作業 組立 塗装 溶接 夜勤 日勤 救護 責任 常駐 当番 医 学 科 外科 内科 次期
		同 当 両 諸 歴代 大 副社 社 子会社 親会社 課 部 室 局 係 区 市 地区 地域 エリア`)
	roleHonorifics = wordSet("社長 部長 課長 係長 主任 班長 職長 工場長 所長 店長 室長 会長 次長 局長 隊長 組長 リーダー 選手 教授 医師 棟梁 親方")
	notBehind      = map[string]string{"様": "々子式態相", "氏": "名族神", "殿": "堂下場", "君": "主臨", "ちゃん": "と", "さん": "ご"}
)

func init() {
	for honorific, words := range keptBefore {
		keptRuns[honorific] = wordSet(words)
	}
}

// honorific finds the name in front of さん, 様, 部長 and the like; the whole row in front is what decides.
func (w *work) honorific(start, end int) {
	n := w.n
	text := n[start:end]
	if after, size := utf8.DecodeRuneInString(n[end:]); size > 0 && strings.ContainsRune(notBehind[text], after) {
		if text != "君" || start > 0 && !w.surnameEnds(start) {
			return
		}
	}
	front := start
	if front > 0 && n[front-1] == ' ' {
		front--
	}
	name, kind := w.rowBefore(front)
	if name == front {
		w.latinHonorific(front, end)
		return
	}
	row := n[name:front]
	count := utf8.RuneCountInString(row)
	if keptRuns[text][row] || keptCompound(text, row) || roleHonorifics[text] && (roleWords[row] || endsInRole(row)) {
		return
	}
	switch kind {
	case hiragana:
		if count < 2 || count > 12 || strings.HasSuffix(row, "たく") || strings.HasSuffix(row, "みな") || roleHonorifics[text] || text == "氏" || text == "殿" || text == "君" || text == "先生" {
			return
		}
		if text == "様" || text == "さま" { // the end of a sentence in front of 様 is no name
			if len(row) > 5*3 {
				return
			}
		}
	case katakana:
		if roleHonorifics[text] && !surnameKana[row] || strings.HasSuffix(row, "メーカー") || strings.HasSuffix(row, "ユーザー") || count < 2 {
			return
		}
	case han:
		if text == "くん" && count == 1 && strings.HasPrefix(n[end:], "で") || text == "リーダー" && count == 1 {
			return
		}
		if space := front < start && front > 0; space && roleHonorifics[text] && !w.surnameEnds(front) {
			return
		}
		if before := name; before > 0 { // 山田 太郎さん, 山田・太郎さん
			gap := 0
			if n[before-1] == ' ' {
				gap = 1
			} else if strings.HasSuffix(n[:before], "・") {
				gap = len("・")
			}
			if gap > 0 {
				if first, script := w.rowBefore(before - gap); script == han && first < before-gap && utf8.RuneCountInString(n[first:before-gap]) <= 4 {
					name = first
				}
			}
		}
	}
	w.find(name, end, Name)
}

// surnameEnds tells whether a known surname ends at a place.
func (w *work) surnameEnds(at int) bool {
	begin, _ := w.rowBefore(at)
	for begin < at {
		if surnamesJa[w.n[begin:at]] {
			return true
		}
		_, size := utf8.DecodeRuneInString(w.n[begin:])
		begin += size
	}
	return false
}

// keptCompound knows words that end in an honorific's character whatever stands in front: 詳細仕様, 前回同様.
func keptCompound(honorific, row string) bool {
	last, _ := utf8.DecodeLastRuneInString(row)
	switch honorific {
	case "様":
		return strings.ContainsRune("仕同模異客皆", last)
	case "氏":
		return strings.ContainsRune("摂華彼", last)
	case "君":
		return strings.ContainsRune("諸暴", last)
	case "さん":
		return strings.HasSuffix(row, "お客") || strings.HasSuffix(row, "業者")
	}
	return false
}

func endsInRole(row string) bool {
	if utf8.RuneCountInString(row) < 3 {
		return false
	}
	for cut := range row {
		if cut > 0 && roleWords[row[cut:]] && cut >= 6 && utf8.RuneCountInString(row[cut:]) >= 2 {
			return true
		}
	}
	return false
}

// rowBefore is where the row of one script that ends at a place begins.
func (w *work) rowBefore(at int) (int, script) {
	start, kind := at, other
	for start > 0 {
		r, size := utf8.DecodeLastRuneInString(w.n[:start])
		each := scriptOf(r)
		if r == '・' && kind == katakana {
			each = katakana
		}
		if each == other || kind != other && each != kind || at-start > 36 {
			break
		}
		kind = each
		start -= size
	}
	return start, kind
}

// latinHonorific finds the name in Johnさん and John Smith様.
func (w *work) latinHonorific(front, end int) {
	last := w.wordBefore(front)
	if last < 0 || int(w.words[last].end) != front || !w.words[last].first && w.words[last].kind&(romajiGiven|romajiSurname|firstEn) == 0 {
		return
	}
	start := w.words[last].start
	if last > 0 && w.between(last-1, last) == " " && w.capital(last-1) {
		start = w.words[last-1].start
	}
	w.find(int(start), end, Name)
}
