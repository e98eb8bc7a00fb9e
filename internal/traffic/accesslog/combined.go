package accesslog

import (
	"strings"
	"time"
)

// maxTail is how many fields behind the combined format are read.
const maxTail = 8

// parseCombined reads the combined log format of nginx and Apache, the common
// format (which ends with the size) and Apache's with the virtual host before
// it, with further fields behind as tail names them:
//
//	ip - user [dd/Mon/yyyy:hh:mm:ss zone] "METHOD target PROTO" status bytes "referer" "agent" …
//
// It goes over the line once and allocates only to undo escapes.
func parseCombined(s string, e *Entry, tail []tailField) error {
	open := timeStart(s)
	if open < 0 {
		return errShape
	}
	if err := e.caller(s[:open-1]); err != nil {
		return err
	}
	const timeLength = len("[02/Jan/2006:15:04:05 -0700]")
	if len(s) < open+timeLength+2 || s[open+timeLength-1] != ']' {
		return errTime
	}
	at, ok := clfTime(s[open+1 : open+timeLength-1])
	if !ok {
		return errTime
	}
	e.At = at
	request, s, err := quoted(s[open+timeLength:])
	if err != nil {
		return err
	}
	status, s := word(s)
	if err := e.status(status); err != nil {
		return err
	}
	noRequest := e.requestLine(request)
	_, s = word(s) // bytes
	if s != "" {
		if s, err = e.refererAndAgent(s); err != nil {
			return err
		}
	}
	if err := e.tail(s, tail); err != nil {
		return err
	}
	return noRequest
}

// timeStart finds the bracket that opens the time. A user name may hold spaces
// and brackets; what follows the bracket tells.
func timeStart(s string) int {
	for from := 0; ; {
		i := strings.IndexByte(s[from:], '[')
		if i < 0 {
			return -1
		}
		i += from
		if i > 1 && s[i-1] == ' ' && len(s) > i+12 && s[i+3] == '/' && s[i+7] == '/' && s[i+12] == ':' {
			return i
		}
		from = i + 1
	}
}

// caller reads what stands before the time: address, identity, user.
func (e *Entry) caller(s string) error {
	address, rest := word(s)
	ident, user := word(rest)
	if user == "" && ident == "" {
		return errShape
	}
	if isVirtualHost(address) && !strings.HasPrefix(rest, "- ") {
		address = ident
		_, user = word(user)
	}
	e.Address = address
	if user == "" {
		user = ident
	}
	if strings.IndexByte(user, '\\') >= 0 {
		user = unescape(user)
	}
	if !isAbsent(user) {
		e.User = user
	}
	return nil
}

// isVirtualHost tells `api.example.com:443` from an address: a name, a colon
// and a port.
func isVirtualHost(s string) bool {
	i := strings.IndexByte(s, ':')
	return i > 0 && i < len(s)-1 && strings.IndexByte(s[i+1:], ':') < 0 && strings.Trim(s[i+1:], "0123456789") == ""
}

func (e *Entry) refererAndAgent(s string) (rest string, err error) {
	if s[0] != '"' {
		return s, nil // the common format, with a tail
	}
	if _, s, err = quoted(s); err != nil || s == "" {
		return "", err
	}
	if s[0] != '"' {
		return s, nil
	}
	agent, s, err := quoted(s)
	if !isAbsent(agent) {
		e.UserAgent = agent
	}
	return s, err
}

// quoted reads `"text" ` with what servers escape in it: nginx writes \x22,
// Apache \".
func quoted(s string) (text, rest string, err error) {
	s = strings.TrimLeft(s, " ")
	if s == "" || s[0] != '"' {
		return "", "", errShape
	}
	s = s[1:]
	escaped := false
	for end := 0; ; end++ {
		i := strings.IndexByte(s[end:], '"')
		if i < 0 {
			return "", "", errQuote
		}
		end += i
		backslashes := 0
		for backslashes < end && s[end-1-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 1 {
			escaped = true
			continue
		}
		text, rest = s[:end], s[end+1:]
		break
	}
	if escaped || strings.IndexByte(text, '\\') >= 0 {
		text = unescape(text)
	}
	return text, strings.TrimLeft(rest, " "), nil
}

// word reads what stands before the next space.
func word(s string) (text, rest string) {
	i := strings.IndexByte(s, ' ')
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimLeft(s[i:], " ")
}

// unescape undoes \" \\ \t and \xHH; other escapes stay as they are.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		switch c := s[i+1]; {
		case c == '"' || c == '\\':
			b.WriteByte(c)
			i++
		case c == 't':
			b.WriteByte('\t')
			i++
		case c == 'x' && i+3 < len(s) && hexDigit(s[i+2]) >= 0 && hexDigit(s[i+3]) >= 0:
			b.WriteByte(byte(hexDigit(s[i+2])<<4 | hexDigit(s[i+3])))
			i += 3
		default:
			b.WriteByte('\\')
		}
	}
	return b.String()
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// clfTime reads `02/Jan/2006:15:04:05 -0700`, all of its length.
func clfTime(s string) (time.Time, bool) {
	day, ok1 := number(s[0:2])
	year, ok2 := number(s[7:11])
	hour, ok3 := number(s[12:14])
	minute, ok4 := number(s[15:17])
	second, ok5 := number(s[18:20])
	zoneHour, ok6 := number(s[22:24])
	zoneMinute, ok7 := number(s[24:26])
	month := monthOf(s[3:6])
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7) || month == 0 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60 ||
		zoneHour > 15 || zoneMinute > 59 || s[14] != ':' || s[17] != ':' || s[20] != ' ' || year < 1970 {
		return time.Time{}, false
	}
	zone := int64(zoneHour*3600 + zoneMinute*60)
	switch s[21] {
	case '-':
		zone = -zone
	case '+':
	default:
		return time.Time{}, false
	}
	return time.Unix(daysTo(year, month, day)*86400+int64(hour*3600+minute*60+second)-zone, 0).UTC(), true
}

func number(s string) (n int, ok bool) {
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + int(d)
	}
	return n, true
}

func monthOf(s string) int {
	switch s {
	case "Jan":
		return 1
	case "Feb":
		return 2
	case "Mar":
		return 3
	case "Apr":
		return 4
	case "May":
		return 5
	case "Jun":
		return 6
	case "Jul":
		return 7
	case "Aug":
		return 8
	case "Sep":
		return 9
	case "Oct":
		return 10
	case "Nov":
		return 11
	case "Dec":
		return 12
	}
	return 0
}

// daysTo is the number of days from 1970-01-01 to a date of the Gregorian
// calendar, whose year is taken to begin in March.
func daysTo(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	return int64(365*year+year/4-year/100+year/400+(153*(month-3)+2)/5+day-1) - 719468
}
