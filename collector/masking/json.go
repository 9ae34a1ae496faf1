package masking

import (
	"bytes"
	"encoding/json"
	"strings"
)

const (
	deepest  = 16
	mostJSON = 4096 // parts of one text
)

// jsonText masks a text that is JSON from its first to its last sign, and returns s itself where nothing is found. It
// is not ok where the text is no JSON, or is nested too deeply or has too many parts: members looks at those.
func jsonText(s string) (string, Class, bool) {
	decoder := json.NewDecoder(strings.NewReader(s))
	decoder.UseNumber()
	walk := jsonWalk{}
	var out bytes.Buffer
	if !walk.value(decoder, &out, 0, Plain, 0) || decoder.More() {
		return "", 0, false
	}
	if decoder.InputOffset() != int64(len(strings.TrimRight(s, " \n\r\t"))) {
		return "", 0, false
	}
	if walk.classes == 0 {
		return s, 0, true
	}
	return out.String(), walk.classes, true
}

type jsonWalk struct {
	classes Class
	parts   int
}

// value copies one value, masked; false ends the walk: no JSON, too deep, too much.
func (j *jsonWalk) value(decoder *json.Decoder, out *bytes.Buffer, depth int, use KeyUse, class Class) bool {
	token, err := decoder.Token()
	if j.parts++; err != nil || j.parts > mostJSON {
		return false
	}
	switch token := token.(type) {
	case json.Delim:
		if depth >= deepest {
			return false
		}
		if token == '[' {
			return j.list(decoder, out, depth, use, class)
		}
		return token == '{' && j.object(decoder, out, depth, use, class)
	case string:
		writeJSON(out, j.text(token, use, class))
	case json.Number:
		j.number(out, token, use, class)
	case bool:
		if token {
			out.WriteString("true")
		} else {
			out.WriteString("false")
		}
	case nil:
		out.WriteString("null")
	}
	return true
}

func (j *jsonWalk) list(decoder *json.Decoder, out *bytes.Buffer, depth int, use KeyUse, class Class) bool {
	out.WriteByte('[')
	for index := 0; decoder.More(); index++ {
		if index > 0 {
			out.WriteByte(',')
		}
		if !j.value(decoder, out, depth+1, use, class) {
			return false
		}
	}
	out.WriteByte(']')
	_, err := decoder.Token()
	return err == nil
}

func (j *jsonWalk) object(decoder *json.Decoder, out *bytes.Buffer, depth int, use KeyUse, class Class) bool {
	out.WriteByte('{')
	var pair Pair
	from, to := 0, 0 // where the value of a pair has been written
	for index := 0; decoder.More(); index++ {
		token, err := decoder.Token()
		key, ok := token.(string)
		if err != nil || !ok {
			return false
		}
		if index > 0 {
			out.WriteByte(',')
		}
		inner, announced := Key(key)
		if inner == Plain && (use == Remove || use == Hash || use == Precise && PartOfPosition(key)) {
			inner, announced = use, class
		}
		switch {
		case inner == Unwanted:
			j.classes |= announced
			key, inner = Marker(lowest(announced)), Remove
		case inner == Plain && key == "name":
			announced = Name
		case inner == Plain && class == Name && PartOfName(key):
			inner, announced = Remove, Name
		case inner == Plain && IsPairValue(key):
			inner, announced = pair.use, pair.class
		}
		writeJSON(out, key)
		out.WriteByte(':')
		begin := out.Len()
		if !j.value(decoder, out, depth+1, inner, announced) {
			return false
		}
		if IsPairValue(key) && inner == Plain {
			from, to = begin, out.Len()
		} else if IsPairKey(key) && inner == Plain && pair.Named(jsonString(out.Bytes()[begin:])) && from < to {
			j.replace(out, from, to, pair)
			from, to = 0, 0
		}
	}
	out.WriteByte('}')
	_, err := decoder.Token()
	return err == nil
}

// replace masks what has been written of a pair whose value stands in front of its key.
func (j *jsonWalk) replace(out *bytes.Buffer, from, to int, pair Pair) {
	written := string(out.Bytes()[from:to])
	if pair.use == Precise && (written[0] == '{' || written[0] == '[' || !preciseText(strings.Trim(written, `"`))) {
		return
	}
	j.classes |= pair.class
	rest := string(out.Bytes()[to:])
	out.Truncate(from)
	writeJSON(out, Marker(lowest(pair.class)))
	out.WriteString(rest)
}

// jsonString is the string that a JSON text is; empty where it is anything else.
func jsonString(text []byte) (plain string) {
	if len(text) < 3 || len(text) > longestMemberKey || text[0] != '"' || json.Unmarshal(text, &plain) != nil {
		return ""
	}
	return plain
}

func (j *jsonWalk) text(text string, use KeyUse, class Class) string {
	if masked, found := Valued(text, use, class); found != 0 {
		j.classes |= found
		return masked
	}
	return text
}

// Valued masks a text under a key with a use; a name may stand in it if its class says so.
func Valued(text string, use KeyUse, class Class) (string, Class) {
	switch use {
	case Remove, Hash, Unwanted:
		if text == "" {
			return text, 0
		}
		return Marker(lowest(class)), class
	case Precise:
		if preciseText(text) {
			return Marker(Position), Position
		}
	case Plain:
		if class == Name && strings.IndexByte(text, ' ') > 0 && twoCapitals(text) {
			return Marker(Name), Name
		}
	}
	return Text(text)
}

func (j *jsonWalk) number(out *bytes.Buffer, number json.Number, use KeyUse, class Class) {
	text := number.String()
	switch {
	case use == Remove || use == Hash || use == Unwanted:
	case use == Precise && preciseText(text):
		class = Position
	default:
		if class = Number(text); class == 0 {
			out.WriteString(text)
			return
		}
	}
	j.classes |= class
	writeJSON(out, Marker(lowest(class)))
}

// Number tells what a number under a key that nobody knows may be: a card or a My Number, by their check digits.
func Number(text string) Class {
	if len(text) < 12 || len(text) > 19 || !onlyDigits(text) {
		return 0
	}
	digits := []byte(text)
	if len(digits) >= 13 && cardPrefix(digits) && luhn(digits) {
		return Card
	}
	if isMyNumber(digits) {
		return MyNumber
	}
	return 0
}

// Place tells whether two numbers beside each other in a list are a precise position.
func Place(first, second float64) bool { return coordinates(first, second) }

// preciseText tells whether a number in a text has more than two places behind its point, or is one that was scaled up.
func preciseText(text string) bool {
	point := strings.IndexByte(text, '.')
	if point < 0 {
		digits := 0
		for index := range len(text) {
			digits += int(byteFeatures[text[index]]&hasDigit) / int(hasDigit)
		}
		return digits > 5
	}
	end := point + 1
	for end < len(text) && isDigit(text[end]) {
		end++
	}
	return end-point > 3
}

func lowest(class Class) Class { return class & -class }

func writeJSON(out *bytes.Buffer, text string) {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string always encodes
	out.Truncate(out.Len() - 1)
}
