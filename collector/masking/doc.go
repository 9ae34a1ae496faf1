// Package masking finds personal data and secrets in free text and puts a marker in their place.
//
// Text is normalised first (percent, entities, escapes, tags, invisible characters, NFKC, variants of characters).
// Detectors then work on the normalised text. Text in which none finds anything is returned as it came; any other is
// returned normalised, with a marker such as [mail] in place of each finding. When in doubt it masks.
package masking

// Class is a set of kinds of data.
type Class uint32

// Kinds of data that are found.
const (
	Name Class = 1 << iota
	Mail
	Phone
	Address
	IP
	Position
	MyNumber
	Card
	Token
	Password
	PrivateKey
	Cookie
	ID
	Account
	BirthDate
	Plate
	Network
	Speech
	Opaque
)

var classNames = []string{
	"name", "mail", "phone", "address", "ip", "position", "my-number", "card", "token", "secret",
	"private-key", "cookie", "id", "account", "birth-date", "plate", "network", "speech", "bytes",
}

// Classes is the number of kinds of data.
const Classes = 19

// ClassName names the kind with the given index, as metrics and markers spell it.
func ClassName(index int) string { return classNames[index] }

var markers = func() map[Class]string {
	named := make(map[Class]string, len(classNames))
	for index, name := range classNames {
		named[1<<index] = "[" + name + "]"
	}
	return named
}()

// Marker is what takes the place of data of one kind.
func Marker(class Class) string { return markers[class] }
