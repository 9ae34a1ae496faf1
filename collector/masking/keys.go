package masking

import (
	"strings"
	"unicode/utf8"
)

// KeyUse says what becomes of a value because of its key.
type KeyUse uint8

// Uses of a key.
const (
	Plain    KeyUse = iota // the value is looked at as any other
	Remove                 // the value goes
	Hash                   // the value is a person's or a device's id
	Precise                // the value goes if it is a precise position
	Unwanted               // the key itself holds what must not pass: key and value go
)

var (
	removedLast = classSet(map[Class]string{
		Password: `password passwd passphrase passcode pwd pass secret secrets passwort pincode pin otp cvv cvv2 cvc cvc2 psk credential
			credentials userpassword dbpassword clientsecret passwords`,
		Token: `token accesstoken refreshtoken idtoken authtoken bearer jwt authorization authorisation apikey accesskey privatekey
			secretkey sessionkey signingkey encryptionkey apitoken`,
		Cookie: "cookie cookies jsessionid phpsessid sessid",
		Name:   `username surname nickname fullname firstname lastname displayname realname user loginname familyname givenname maidenname ownername usernames fullnames surnames`,
		Mail:   "mail email emailaddress mailaddress emails",
		Phone: `phone phonenumber telephone tel mobile mobilephone cellphone fax msisdn mobilenumber phoneno phones phonenumbers telephones
			mobiles`,
		Address:   "street streetaddress postalcode zipcode postcode zip homeaddress postaladdress birthplace residence",
		BirthDate: "birthday birthdate dob dateofbirth",
		MyNumber:  "mynumber kojinbango individualnumber ssn",
		Card:      "cardnumber creditcard pan creditcardnumber cardno",
		Account:   "iban passport passportnumber passportno licensenumber bankaccount accountnumber bic",
		ID:        "imei imsi iccid meid",
		Network:   "ssid bssid",
		Position:  "geohash mgrs pluscode olc geojson wkt what3words",
		Speech:    "transcript transcription utterance speechtext recognizedtext",
	})
	removedPairs = classSet(map[Class]string{
		Token: `api.key access.key private.key secret.key encryption.key signing.key session.key account.key shared.key master.key
			license.key host.key ssh.key auth.key`,
		Password: "pin.code one.time.code auth.code verification.code security.code access.code",
		Name: `user.name enduser.name employee.name worker.name operator.name customer.name patient.name driver.name staff.name member.name
			contact.name person.name owner.name wearer.name account.name login.name display.name full.name first.name last.name given.name
			family.name middle.name sur.name nick.name maiden.name real.name author.name recipient.name sender.name people.name`,
		Mail:  "mail.address email.address e.mail",
		Phone: "phone.number phone.no mobile.number mobile.no tel.no contact.number telephone.number",
		Address: `home.address postal.address street.address mailing.address billing.address shipping.address delivery.address
			residential.address user.address customer.address worker.address home.addr postal.code zip.code post.code place.birth`,
		BirthDate: "birth.day birth.date of.birth birth.place",
		MyNumber:  "my.number individual.number kojin.bango social.security",
		Card:      "card.number card.no card.num",
		Account:   "passport.number passport.no license.number license.no licence.number bank.account account.number",
		Position:  "geo.hash plus.code mgrs.grid",
		Speech:    "speech.transcript speech.text recognized.text spoken.text",
	})
	positionLast = wordSet("lat latitude lon lng long longitude alt altitude coordinates coordinate latlng latlon latitudes longitudes")
	scaleLast    = wordSet("e deg degree degrees micro raw") // latE7, longitude_deg
	personWords  = wordSet(`worker user enduser employee operator staff driver member customer person wearer patient account login subject
		device session face badge rfid nfc finger fingerprint biometric contact owner visitor guest people client iris voice voiceprint palm`)
	idWords    = wordSet("id ids uid uuid guid no code number hash template")
	joinedIDs  = wordSet("workerid userid enduserid employeeid operatorid staffid driverid memberid customerid personid wearerid patientid accountid loginid deviceid sessionid uuiduser faceid badgeid")
	removedJa  = []string{"パスワード", "暗証番号", "合言葉", "トークン", "秘密鍵", "氏名", "名前", "フリガナ", "ふりがな", "作業者名", "作業者", "担当者名", "担当者", "社員名", "従業員名", "利用者名", "ユーザー名", "ユーザ名", "患者名", "顧客名", "姓", "苗字", "名字", "メールアドレス", "メール", "電話番号", "電話", "携帯番号", "携帯電話", "携帯", "住所", "郵便番号", "現住所", "生年月日", "マイナンバー", "個人番号", "カード番号", "免許証番号", "口座番号"}
	hashedJa   = []string{"作業者ID", "社員番号", "従業員番号", "利用者ID", "ユーザーID", "作業員番号", "顧客番号"}
	positionJa = []string{"緯度", "経度"}
)

func classSet(byClass map[Class]string) map[string]Class {
	set := map[string]Class{}
	for class, words := range byClass {
		for _, word := range strings.Fields(words) {
			set[word] = class
		}
	}
	return set
}

// Key tells what becomes of a value because of its key, and what kind of data the key announces.
func Key(key string) (KeyUse, Class) {
	if key == "" || len(key) > 256 {
		return Plain, 0
	}
	w := works.Get().(*work)
	defer works.Put(w)
	found, digits := look(key)
	w.n = w.normalise(key, found, false)
	if found&hasHigh != 0 {
		if use, class := japaneseKey(w.n); use != Plain {
			return use, class
		}
	}
	if use, class := w.latinKey(); use != Plain {
		return use, class
	}
	if found&(hasAt|hasHigh|hasEncoded) == 0 && digits < 4 && found&hasUpper == 0 && !strings.ContainsAny(key, " -:") && digits == 0 {
		return Plain, 0
	}
	if _, classes := Text(key); classes != 0 {
		return Unwanted, classes
	}
	if found&hasUpper != 0 && strings.IndexByte(key, ' ') > 0 && twoCapitals(key) {
		return Unwanted, Name
	}
	return Plain, 0
}

// twoCapitals tells whether a key is two or three capitalised words and nothing else: Grace Hopper.
func twoCapitals(key string) bool {
	parts := strings.Split(key, " ")
	if len(parts) < 2 || len(parts) > 3 {
		return false
	}
	for _, part := range parts {
		if len(part) < 2 || !isUpper(part[0]) || strings.IndexFunc(part[1:], func(r rune) bool { return r < utf8.RuneSelf && !isLetter(byte(r)) && r != '\'' && r != '-' }) >= 0 || strings.ToUpper(part) == part {
			return false
		}
	}
	return true
}

func japaneseKey(key string) (KeyUse, Class) {
	key = strings.TrimRight(key, "0123456789._[]")
	for _, end := range hashedJa {
		if strings.HasSuffix(key, end) {
			return Hash, ID
		}
	}
	for _, end := range removedJa {
		if strings.HasSuffix(key, end) {
			return Remove, Name
		}
	}
	for _, end := range positionJa {
		if strings.HasSuffix(key, end) {
			return Precise, Position
		}
	}
	return Plain, 0
}

func (w *work) latinKey() (KeyUse, Class) {
	if !w.splitWords() {
		return Plain, 0
	}
	var parts [3]string // the last words, in small letters
	count := 0
	for index := len(w.words) - 1; index >= 0 && count < 3; index-- {
		parts[count] = strings.ToLower(w.n[w.words[index].start:w.words[index].end])
		count++
	}
	tail := strings.Trim(w.n[w.words[len(w.words)-1].end:], "0123456789._-[] ")
	if tail != "" {
		return Plain, 0
	}
	last, pair := parts[0], parts[1]+"."+parts[0]
	if count > 1 && personWords[parts[1]] && idWords[last] || joinedIDs[last] || count > 1 && idWords[last] && len(parts[1]) > 2 && personWords[strings.TrimSuffix(parts[1], "s")] {
		return Hash, ID
	}
	if count > 2 && idWords[last] && idWords[parts[1]] && personWords[parts[2]] {
		return Hash, ID
	}
	if class, ok := removedPairs[pair]; ok && count > 1 {
		return Remove, class
	}
	if class, ok := removedLast[last]; ok {
		return Remove, class
	}
	if count > 1 { // db_client_secret in one word with the one in front: accessToken is two words already
		if class, ok := removedLast[parts[1]+last]; ok {
			return Remove, class
		}
	}
	if count == 1 && (last == "address" || last == "addr") {
		return Remove, Address
	}
	if strings.HasSuffix(last, "password") || strings.HasSuffix(last, "passwd") || strings.HasSuffix(last, "secret") || strings.HasSuffix(last, "apikey") {
		return Remove, Password
	}
	if positionLast[last] || count > 1 && scaleLast[last] && positionLast[parts[1]] {
		return Precise, Position
	}
	return Plain, 0
}
