package notify

import (
	"bytes"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"
)

// message is a mail before it has bytes. Texts of strangers come into subject
// and text through oneLine only.
type message struct {
	from    mail.Address
	to      *mail.Address // nil: nobody has an address
	at      time.Time
	id      string // unique in our domain
	subject string
	text    string // lines end in \n
}

// nobody is the recipient of a message that has none: an empty group
// (RFC 5322 §3.4).
const nobody = "undisclosed-recipients:;"

// bytes writes the message as RFC 5322 §2.1 wants it: lines end in CRLF, none is
// longer than 78 characters unless a single word is, and all is ASCII.
func (m message) bytes() []byte {
	to := nobody
	if m.to != nil {
		to = m.to.String()
	}
	var b bytes.Buffer
	writeField(&b, "From", m.from.String())
	writeField(&b, "To", to)
	writeField(&b, "Subject", encodedText(m.subject))
	writeField(&b, "Date", m.at.UTC().Format(time.RFC1123Z))
	writeField(&b, "Message-ID", "<"+atomOf(m.id)+"@"+domainOf(m.from)+">")
	writeField(&b, "Auto-Submitted", "auto-generated") // RFC 3834 §5
	writeField(&b, "MIME-Version", "1.0")
	writeField(&b, "Content-Type", "text/plain; charset=utf-8")
	encoding, body := encoded(m.text)
	writeField(&b, "Content-Transfer-Encoding", encoding)
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// encoded is a text as it stands in a message: as it is where that is plain ASCII
// in lines that may be so long (RFC 5322 §2.1.1), so that a link in a file can be
// copied out of it; else as quoted-printable.
func encoded(text string) (encoding string, body []byte) {
	for line := range strings.SplitSeq(text, "\n") {
		if len(line) > 990 || strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c > '~' }) || strings.HasSuffix(line, " ") {
			return "quoted-printable", quoted(text)
		}
	}
	return plainEncoding, []byte(strings.ReplaceAll(text, "\n", "\r\n"))
}

const plainEncoding = "7bit"

// quoted is a text as quoted-printable (RFC 2045 §6.7), ended by CRLF.
func quoted(text string) []byte {
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(text)) // to a bytes.Buffer
	_ = w.Close()
	return b.Bytes()
}

// writeField writes a header field, folded at its spaces (RFC 5322 §2.2.3).
func writeField(b *bytes.Buffer, name, value string) {
	b.WriteString(name + ":")
	column := len(name) + 1
	for i, word := range strings.Fields(value) {
		if i > 0 && column+1+len(word) > 78 {
			b.WriteString("\r\n")
			column = 0
		}
		b.WriteString(" " + word)
		column += 1 + len(word)
	}
	b.WriteString("\r\n")
}

// encodedText is a text for a header, as encoded-words where it is not plain
// ASCII (RFC 2047 §5). Text that only looks like an encoded-word is taken apart,
// or readers would decode it.
func encodedText(s string) string {
	return mime.QEncoding.Encode("utf-8", strings.ReplaceAll(s, "=?", "= ?"))
}

// atomOf keeps of an id what needs no quoting (RFC 5322 §3.2.3).
func atomOf(id string) string {
	return strings.Map(func(c rune) rune {
		if c < 0x80 && (unicode.IsLetter(c) || unicode.IsDigit(c) || c == '_' || c == '-') {
			return c
		}
		return '-'
	}, id)
}

// longestName bounds a name that somebody else chose, in characters.
const longestName = 80

// oneLine is what is shown of somebody else's text: one line of at most that
// many characters, without any that do not print or change how others read.
func oneLine(s string, most int) string {
	var b strings.Builder
	n := 0
	for _, c := range s {
		if n++; n > most {
			b.WriteString("...")
			break
		}
		if !unicode.IsPrint(c) {
			c = '?'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// withField is a message with the value of one of its fields replaced.
func withField(raw []byte, name, value string) []byte {
	var b bytes.Buffer
	rest, ours := raw, false
	for len(rest) > 0 && !bytes.HasPrefix(rest, []byte("\r\n")) {
		line := rest
		if end := bytes.IndexByte(rest, '\n'); end >= 0 {
			line = rest[:end+1]
		}
		rest = rest[len(line):]
		if folded := line[0] == ' ' || line[0] == '\t'; !folded {
			before, _, _ := bytes.Cut(line, []byte(":"))
			if ours = bytes.EqualFold(before, []byte(name)); ours {
				writeField(&b, name, value)
			}
		}
		if !ours {
			b.Write(line)
		}
	}
	b.Write(rest)
	return b.Bytes()
}

// withNote is a message with a text put before its own.
func withNote(raw []byte, note string) []byte {
	head, body, ok := bytes.Cut(raw, []byte("\r\n\r\n"))
	if !ok {
		return raw
	}
	noted := slices.Concat(quoted(note), body)
	if bytes.Contains(head, []byte("\r\nContent-Transfer-Encoding: "+plainEncoding)) {
		var encoding string
		encoding, noted = encoded(note + strings.ReplaceAll(string(body), "\r\n", "\n"))
		head, _, _ = bytes.Cut(withField(raw, "Content-Transfer-Encoding", encoding), []byte("\r\n\r\n"))
	}
	return slices.Concat(head, []byte("\r\n\r\n"), noted)
}
