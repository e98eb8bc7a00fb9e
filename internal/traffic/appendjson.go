package traffic

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// AppendJSON appends the observation as a line of a traffic file, without its
// end. Segments of the path that look like secrets are written as `{id}`.
func (o *Observation) AppendJSON(b []byte) []byte {
	b = append(b, `{"at":"`...)
	b = o.At.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","credential":{"kind":`...)
	b = appendText(b, o.Credential.Kind)
	if o.Credential.ID != "" {
		b = append(b, `,"id":`...)
		b = appendText(b, o.Credential.ID)
	}
	b = append(b, `},"method":`...)
	b = appendText(b, clip(o.Method))
	b = append(b, `,"path":`...)
	b = appendText(b, withoutDrawn(o.Path))
	if len(o.QueryNames) > 0 {
		b = append(b, `,"query_names":[`...)
		for i, name := range o.QueryNames {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendText(b, name)
		}
		b = append(b, ']')
	}
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(o.Status), 10)
	for _, field := range []struct{ name, value string }{{"user_agent", clip(o.UserAgent)}, {"carrier", o.Carrier}, {"outcome", o.Outcome}} {
		if field.value != "" {
			b = append(append(append(b, `,"`...), field.name...), `":`...)
			b = appendText(b, field.value)
		}
	}
	if o.Source.IsValid() {
		b = append(b, `,"source":"`...)
		b = append(o.Source.AppendTo(b), '"')
	}
	if o.Browser {
		b = append(b, `,"browser":true`...)
	}
	if o.Plain {
		b = append(b, `,"no_tls":true`...)
	}
	return append(b, '}')
}

// appendText appends a JSON string. Most texts need nothing escaped.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			raw, err := json.Marshal(s)
			if err != nil {
				return append(b, `""`...)
			}
			return append(b, raw...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// withoutDrawn is a path in which segments that look drawn at random, and are no
// UUIDs, stand as `{id}`: they may be secrets, as tokens in links are.
func withoutDrawn(path string) string {
	const long, most = 16, 2048
	path = path[:min(len(path), most)]
	for from := 0; from < len(path); {
		end := strings.IndexByte(path[from+1:], '/')
		if end < 0 {
			end = len(path)
		} else {
			end += from + 1
		}
		segment := path[from+1 : end]
		if len(segment) >= long && !isUUID(segment) && strings.Trim(segment, "0123456789-") != "" && (isDrawn(segment, digitsIn(segment)) || len(segment) > 40) {
			path = path[:from+1] + "{id}" + path[end:]
			end = from + len("/{id}")
		}
		from = end
	}
	return path
}

func digitsIn(s string) (n int) {
	for i := range len(s) {
		if kindOf(s[i]) == 2 {
			n++
		}
	}
	return n
}

func isUUID(s string) bool {
	return len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' && strings.Trim(strings.ToLower(s), "0123456789abcdef-") == ""
}
