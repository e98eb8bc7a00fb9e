package accesslog

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/offkey/offkey/internal/apikey"
)

// tailField is what one field behind the combined format means.
type tailField struct {
	kind    tailKind
	carrier string // of an apikey, as observations name it
}

type tailKind int

const (
	tailIgnored tailKind = iota
	tailAPIKey
	tailName    // names the caller, as a user name does
	tailAddress // of the caller, where a proxy stands before the server
	tailAgent
	tailScheme // http or https
	tailOrigin // header that only browsers send
)

const tailForms = "a place of apikeys (header:X-API-Key, query:api_key, cookie:apikey), name, address, agent, scheme, origin, or - for a field to skip"

// parseTail reads what the fields behind the combined format are, in order,
// separated by commas. nginx's names of variables are understood too:
// `$http_x_api_key` is header:X-Api-Key.
func parseTail(text string) ([]tailField, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var fields []tailField
	for _, name := range strings.Split(text, ",") {
		f, err := parseTailField(strings.Trim(strings.TrimSpace(name), `"`))
		if err != nil {
			return nil, err
		}
		if fields = append(fields, f); len(fields) > maxTail {
			return nil, fmt.Errorf("--tail names more than %d fields", maxTail)
		}
	}
	return fields, nil
}

func parseTailField(name string) (tailField, error) {
	switch strings.ToLower(name) {
	case "-", "":
		return tailField{}, nil
	case "name", "$remote_user":
		return tailField{kind: tailName}, nil
	case "address", "$http_x_forwarded_for", "$http_x_real_ip", "$remote_addr", "$realip_remote_addr":
		return tailField{kind: tailAddress}, nil
	case "agent", "$http_user_agent":
		return tailField{kind: tailAgent}, nil
	case "scheme", "$scheme", "$http_x_forwarded_proto":
		return tailField{kind: tailScheme}, nil
	case "origin", "$http_origin", "$http_sec_fetch_mode", "$http_sec_fetch_site":
		return tailField{kind: tailOrigin}, nil
	}
	for prefix, kind := range map[string]string{"$http_": "header:", "$cookie_": "cookie:", "$arg_": "query:"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			if kind == "header:" {
				rest = http.CanonicalHeaderKey(strings.ReplaceAll(rest, "_", "-"))
			}
			name = kind + rest
		}
	}
	if strings.HasPrefix(name, "$") {
		return tailField{}, nil // another variable of the server
	}
	c, err := apikey.ParseCarrier(name)
	if err != nil {
		return tailField{}, fmt.Errorf("--tail: %q is no field that is understood: write %s", name, tailForms)
	}
	return tailField{kind: tailAPIKey, carrier: c.String()}, nil
}

// tail reads the fields behind the format.
func (e *Entry) tail(s string, fields []tailField) error {
	for _, f := range fields {
		if s == "" {
			return errTail
		}
		var text string
		var err error
		if s[0] == '"' {
			if text, s, err = quoted(s); err != nil {
				return err
			}
		} else {
			text, s = word(s)
		}
		if isAbsent(text) {
			continue
		}
		switch f.kind {
		case tailAPIKey:
			e.addValue(f.carrier, text)
		case tailName:
			e.addName(text)
		case tailAddress: // the first of a list is the caller
			text, _, _ = strings.Cut(text, ",")
			e.Address = strings.TrimSpace(text)
		case tailAgent:
			e.UserAgent = text
		case tailScheme:
			e.Plain = text == "http"
		case tailOrigin:
			e.Script = true
		}
	}
	return nil
}
