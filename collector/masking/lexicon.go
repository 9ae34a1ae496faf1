package masking

import (
	_ "embed"
	"strings"
	"unicode/utf8"
)

//go:embed words/surnames_ja.txt
var surnamesJaText string

//go:embed words/given_ja.txt
var givenJaText string

//go:embed words/given_single_ja.txt
var givenSingleText string

//go:embed words/given_latin.txt
var givenLatinText string

//go:embed words/first_en.txt
var firstEnText string

//go:embed words/last_en.txt
var lastEnText string

type kind uint32

const (
	romajiSurname kind = 1 << iota
	romajiGiven
	firstEn
	lastEn
	ordinary       // also a word of everyday texts: no name in small letters
	ambiguousFirst // a first name only in front of a known last name
	title
	role
	secretLabel
	secretSuffix // a label when a qualifier is in front: api key, session id, auth code
	qualifier
	nameLabel
	nameQualifier
	schemeWord
	headerWord
	cookieWord
	streetWord
	foreignStreet
	wardWord
	privateWord
	positionWord
	phoneWord
	cardWord
	bornWord
	versionWord
	asToBy
	honorLatin
	sqlWord
	idLabel
	accountWord
	keyNumberWord
	networkWord
)

var lexicon = map[string]kind{}

func mark(bits kind, words string) {
	for _, word := range strings.Fields(words) {
		lexicon[word] |= bits
	}
}

var (
	surnamesJa  = map[string]bool{}
	givenJa     = map[string]bool{}
	givenSingle = map[rune]bool{}
	surnameKana = map[string]bool{}
	givenKana   = map[string]bool{}
	// longest surname and given name in characters
	longestSurname, longestGiven int
)

func init() {
	for _, line := range strings.Split(strings.TrimSpace(surnamesJaText), "\n") {
		written, reading, _ := strings.Cut(line, " ")
		written = foldHan(written)
		surnamesJa[written] = true
		longestSurname = max(longestSurname, utf8.RuneCountInString(written))
		surnameKana[toKatakana(reading)] = true
		for _, latin := range romanise(reading) {
			lexicon[latin] |= romajiSurname
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(givenJaText), "\n") {
		written, reading, _ := strings.Cut(line, " ")
		written = foldHan(written)
		givenJa[written] = true
		longestGiven = max(longestGiven, utf8.RuneCountInString(written))
		givenKana[toKatakana(reading)] = true
		for _, latin := range romanise(reading) {
			lexicon[latin] |= romajiGiven
		}
	}
	for _, character := range strings.TrimSpace(givenSingleText) {
		givenSingle[character] = true
	}
	mark(romajiGiven, givenLatinText)
	mark(firstEn, firstEnText)
	mark(lastEn, lastEnText)
	mark(ordinary, `long young king brown white green black gray stone rice wood woods hall ward price west cole bell
		mills lane fox rose cook baker fisher hunter porter mason parker walker carter turner cooper taylor page
		marshall ford hart hunt hill reed wells webb knight pierce warren berry payne perry may day cross
		grant dale amber crystal ruby grace june april logan jack frank ray lee earl gene art bill will mark dean drew
		pat sue guy hope joy dawn eve holly ivy summer case stella florence charlotte victoria virginia jordan
		goto kai rei ran rin ren sho mei jun ken dai mao hana mai ami sora riku ai yui go main east north south
		miller cox shaw wolf freeman kelly carpenter weaver gardner powers banks bishop fields major
		minami higashi seki hara oka mori ota doi abe hori kishi hoshi tsuji kita soma kay ali joel`)
	mark(ambiguousFirst, `april june may august amber crystal ruby rose dale grace mason logan hunter jordan virginia
		georgia charlotte florence victoria stella sofia iris pearl grant earl jack ray art gene jean lee lily holly
		heather hazel olive ivy joy hope faith mark will bill frank dean guy noah carol martin alexander adam allen
		kelly tracy dawn eve eva ada ali ming wei raj marina jose don ella gloria leo oscar max clara arthur chase
		miles cole parker austin dallas carter taylor page norma summer autumn case cookie sandy`)
	mark(title, "mr mrs ms miss mx dr prof sir madam")
	mark(role, `user worker employee operator patient customer driver wearer visitor contact dear hello hi regards staff
		member foreman supervisor engineer technician guard owner author recipient sender person client`)
	mark(secretLabel, `password passwd passphrase passcode pwd passwort secret token apikey sessionid sessid jsessionid
		phpsessid accesskey secretkey privatekey accountkey signingkey encryptionkey credential credentials pincode otp
		cvv cvv2 cvc cvc2 psk pass pin sessionkey authcode xsrf csrf`)
	mark(secretSuffix, "key id code signature sid password phrase pin")
	mark(qualifier, `api access private secret encryption signing session account shared master auth verification
		security confirmation time amz connect asp client license webhook deploy recovery backup wpa unlock pass pin`)
	mark(nameLabel, "name username fullname firstname lastname surname nickname displayname realname loginname")
	mark(nameQualifier, `full first last given family display user customer employee worker patient operator driver
		contact owner author recipient sender real nick sur maiden middle login account person member staff wearer`)
	mark(schemeWord, "bearer basic apikey digest negotiate")
	mark(headerWord, "authorization authorisation")
	mark(cookieWord, "cookie cookies")
	mark(streetWord, `street st avenue ave road rd boulevard blvd lane ln drive dr court ct place pl square sq terrace way
		highway hwy parkway pkwy close crescent box`)
	mark(foreignStreet, "rue avenue boulevard via viale piazza calle avenida plaza strasse platz weg allee rua praça")
	mark(wardWord, "ku shi cho machi gun son mura")
	mark(privateWord, "private")
	mark(positionWord, `lat latitude lon lng longitude ll latlng latlon coordinates coordinate gps geo position point
		location alt altitude geohash`)
	mark(phoneWord, "tel telephone phone mobile fax cell msisdn call dial whatsapp")
	mark(cardWord, "card credit pan amex visa mastercard jcb")
	mark(bornWord, "dob birth birthday birthdate born")
	mark(versionWord, "version ver firmware release")
	mark(asToBy, "as to by")
	mark(honorLatin, "san sama kun chan sensei")
	mark(sqlWord, "select insert update delete values where")
	mark(idLabel, "worker user employee operator staff driver member customer patient badge wearer person account")
	mark(accountWord, "iban account passport licence license imei imsi iccid")
	mark(keyNumberWord, "my individual kojin mynumber ssn social")
	mark(networkWord, "ssid bssid wifi")
	buildJapanese()
}

// keptValues follow a label without being a secret or a name.
var keptValues = wordSet(`required missing invalid expired null none nil true false ok unknown empty changed reset rejected
	accepted valid incorrect wrong undefined unset n/a yes no not the a an is was has are must should cannot could
	provided set redacted masked hidden disabled enabled off on optional mandatory default too weak strong fail failed
	failure passed skip skipped error denied mismatch refreshed rotated revoked created generated updated removed deleted
	admin root system guest anonymous nobody`)

func wordSet(words string) map[string]bool {
	set := map[string]bool{}
	for _, word := range strings.Fields(words) {
		set[word] = true
	}
	return set
}

func toKatakana(hiragana string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'ぁ' && r <= 'ゖ' {
			return r + 0x60
		}
		return r
	}, hiragana)
}

var romanKana = func() map[string]string {
	table := map[string]string{}
	rows := `あa いi うu えe おo かka きki くku けke こko さsa しshi すsu せse そso たta ちchi つtsu てte とto なna にni
	ぬnu ねne のno はha ひhi ふfu へhe ほho まma みmi むmu めme もmo やya ゆyu よyo らra りri るru れre ろro わwa をo んn
	がga ぎgi ぐgu げge ごgo ざza じji ずzu ぜze ぞzo だda ぢji づzu でde どdo ばba びbi ぶbu べbe ぼbo ぱpa ぴpi ぷpu
	ぺpe ぽpo きゃkya きゅkyu きょkyo しゃsha しゅshu しょsho ちゃcha ちゅchu ちょcho にゃnya にゅnyu にょnyo ひゃhya
	ひゅhyu ひょhyo みゃmya みゅmyu みょmyo りゃrya りゅryu りょryo ぎゃgya ぎゅgyu ぎょgyo じゃja じゅju じょjo`
	for _, entry := range strings.Fields(rows) {
		cut := strings.IndexFunc(entry, func(r rune) bool { return r < 0x80 })
		table[entry[:cut]] = entry[cut:]
	}
	return table
}()

// romanise spells a reading in Latin letters: with long vowels written out, shortened, and with h.
func romanise(reading string) []string {
	var plain strings.Builder
	runes := []rune(reading)
	double := false
	for at := 0; at < len(runes); {
		if runes[at] == 'っ' {
			double = true
			at++
			continue
		}
		size := 2
		latin, ok := "", false
		if at+1 < len(runes) {
			latin, ok = romanKana[string(runes[at:at+2])]
		}
		if !ok {
			size = 1
			latin, ok = romanKana[string(runes[at:at+1])]
		}
		if !ok {
			return nil
		}
		if double {
			plain.WriteByte(latin[0])
			double = false
		}
		plain.WriteString(latin)
		at += size
	}
	long := plain.String()
	short := strings.NewReplacer("ou", "o", "oo", "o", "uu", "u").Replace(long)
	if short == long {
		return []string{long}
	}
	return []string{long, short, strings.NewReplacer("ou", "oh", "oo", "oh").Replace(long)}
}
