package accesslog

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parseJSON reads a line of JSON: that of Caddy, Traefik, nginx or Envoy with a
// JSON format, an API gateway of a cloud, ECS. What its members mean is told by
// their names, see members.
func parseJSON(s string, e *Entry, _ []tailField) error {
	var line map[string]any
	if json.Unmarshal([]byte(s), &line) != nil {
		return errJSON
	}
	f := fields{found: map[meaning]found{}, e: e}
	f.walk(line, "", 0)
	return f.fill()
}

// meaning is what a member says.
type meaning int

const (
	isTime meaning = iota + 1
	isMethod
	isTarget
	isQuery
	isStatus
	isAgent
	isAddress
	isUser
	isAPIKeyID
	isScheme
	isRequestLine
)

// members are the names under which servers write what is looked for, without
// case, hyphens and underscores, most telling first where several are met.
var members = map[string]meaning{
	"ts": isTime, "timestamp": isTime, "@timestamp": isTime, "time": isTime, "timeiso8601": isTime, "timelocal": isTime, "starttime": isTime,
	"startedat": isTime, "requesttime": isTime, "datetime": isTime, "date": isTime, "startutc": isTime, "msec": isTime, "requesttimeepoch": isTime,
	"method": isMethod, "requestmethod": isMethod, "httpmethod": isMethod, "verb": isMethod,
	"uri": isTarget, "requesturi": isTarget, "requestpath": isTarget, "url.original": isTarget, "requesturl": isTarget, "url": isTarget,
	"path": isTarget, "url.path": isTarget, "target": isTarget, "rawpath": isTarget,
	"query": isQuery, "querystring": isQuery, "args": isQuery, "requestquery": isQuery, "url.query": isQuery,
	"status": isStatus, "statuscode": isStatus, "httpstatus": isStatus, "responsecode": isStatus, "downstreamstatus": isStatus, "responsestatus": isStatus, "code": isStatus,
	"useragent": isAgent, "httpuseragent": isAgent, "useragent.original": isAgent, "agent": isAgent, "ua": isAgent,
	"clientip": isAddress, "remoteip": isAddress, "remoteaddr": isAddress, "clienthost": isAddress, "clientaddr": isAddress, "sourceip": isAddress,
	"ip": isAddress, "client.ip": isAddress, "source.ip": isAddress, "client.address": isAddress, "source.address": isAddress, "downstreamremoteaddress": isAddress,
	"userid": isUser, "remoteuser": isUser, "user": isUser, "username": isUser, "user.name": isUser, "clientusername": isUser, "consumer": isUser,
	"apikeyid": isAPIKeyID, "keyid": isAPIKeyID, "credentialid": isAPIKeyID,
	"scheme": isScheme, "requestscheme": isScheme, "url.scheme": isScheme, "xforwardedproto": isScheme,
	"request": isRequestLine, "requestline": isRequestLine,
}

// fields gathers what a line says, each from the member that says it best.
type fields struct {
	found map[meaning]found
	e     *Entry
}

type found struct {
	depth int
	name  string
	value any
}

const maxJSONDepth = 4

func (f fields) walk(object map[string]any, parent string, depth int) {
	for name, value := range object {
		plain := plainName(name)
		if inner, ok := value.(map[string]any); ok {
			switch {
			case plain == "headers" || plain == "requestheaders":
				f.headers(inner)
			case plain == "respheaders" || plain == "responseheaders" || plain == "tls" || depth >= maxJSONDepth:
			default:
				f.walk(inner, plain, depth+1)
			}
			continue
		}
		if header, ok := strings.CutPrefix(name, "request_"); ok && strings.Contains(header, "-") { // Traefik
			f.headers(map[string]any{header: value})
		}
		m, ok := members[parent+"."+plain]
		if !ok {
			m, ok = members[plain]
		}
		if ok && says(m, value) {
			f.take(m, found{depth, plain, value})
		}
	}
}

// take keeps the member nearer to the top, then the first by its name, so that
// the same line always reads alike.
func (f fields) take(m meaning, n found) {
	old, there := f.found[m]
	if !there || cmp.Or(cmp.Compare(n.depth, old.depth), cmp.Compare(preference(n.name), preference(old.name)), cmp.Compare(n.name, old.name)) < 0 {
		f.found[m] = n
	}
}

// preference puts the names that say most first.
func preference(name string) int {
	order := []string{"uri", "requesturi", "requestpath", "path", "ts", "timestamp", "@timestamp", "clientip", "downstreamstatus", "status"}
	if i := slices.Index(order, name); i >= 0 {
		return i
	}
	return len(order)
}

// says reports whether a value can mean that: `request_time` is a time in one
// log and a duration in another.
func says(m meaning, value any) bool {
	switch m {
	case isTime:
		_, ok := timeOf(value)
		return ok
	case isStatus:
		return statusOf(value) != 0
	case isRequestLine:
		return strings.Contains(textOf(value), " ")
	}
	text := textOf(value)
	return text != "" && !(m == isTarget && !strings.HasPrefix(text, "/") && !strings.Contains(text, "://"))
}

// plainName is a name without case and separators.
func plainName(name string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '_' || c == '-' || c == ' ' || c == '$':
			return -1
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		}
		return c
	}, name)
}

func (f fields) headers(object map[string]any) {
	for name, value := range object {
		switch v := value.(type) {
		case string:
			f.e.addHeader(name, v)
		case []any:
			for _, each := range v {
				if text, ok := each.(string); ok {
					f.e.addHeader(name, text)
				}
			}
		}
	}
}

// maxHeaders bounds the lines of headers that are kept while a line is read.
const maxHeaders = 200

func (e *Entry) addHeader(name, value string) {
	if isAbsent(value) || len(e.Header) >= maxHeaders {
		return
	}
	if e.Header == nil {
		e.Header = http.Header{}
	}
	name = http.CanonicalHeaderKey(name)
	e.Header[name] = append(e.Header[name], value)
}

// fromHeader takes over what headers say about the caller.
func (e *Entry) fromHeader() {
	if e.UserAgent == "" {
		e.UserAgent = e.Header.Get("User-Agent")
	}
	e.Script = e.Script || len(e.Header["Origin"]) > 0 || len(e.Header["Sec-Fetch-Mode"]) > 0 || len(e.Header["Sec-Fetch-Site"]) > 0
	e.Plain = e.Plain || e.Header.Get("X-Forwarded-Proto") == "http"
}

func (f fields) fill() error {
	e := f.e
	e.At, _ = timeOf(f.found[isTime].value)
	e.Method = textOf(f.found[isMethod].value)
	e.Target = textOf(f.found[isTarget].value)
	if line := textOf(f.found[isRequestLine].value); line != "" && (e.Method == "" || e.Target == "") {
		if err := e.requestLine(line); err != nil {
			return err
		}
	}
	if query := textOf(f.found[isQuery].value); query != "" && !strings.Contains(e.Target, "?") {
		e.Target += "?" + strings.TrimPrefix(query, "?")
	}
	e.Status = statusOf(f.found[isStatus].value)
	e.UserAgent = textOf(f.found[isAgent].value)
	e.Address, _, _ = strings.Cut(textOf(f.found[isAddress].value), ",")
	e.addName(textOf(f.found[isAPIKeyID].value))
	e.User = textOf(f.found[isUser].value)
	e.Plain = textOf(f.found[isScheme].value) == "http"
	e.fromHeader()
	return e.complete()
}

// complete reports whether the line says what every observation says.
func (e *Entry) complete() error {
	if e.At.IsZero() || !isMethodName(e.Method) || e.Target == "" || e.Status == 0 {
		return errMissing
	}
	return nil
}

func textOf(v any) string {
	if s, ok := v.(string); ok && s != "-" {
		return s
	}
	return ""
}

func statusOf(v any) int {
	n, ok := v.(float64)
	if s, isText := v.(string); isText {
		i, err := strconv.Atoi(s)
		n, ok = float64(i), err == nil
	}
	if !ok || n < 100 || n > 599 || n != float64(int(n)) {
		return 0
	}
	return int(n)
}

// timeOf reads a time as servers write it: RFC 3339, as in the combined format,
// or since 1970 in seconds, milli-, micro- or nanoseconds.
func timeOf(v any) (time.Time, bool) {
	n, isNumber := v.(float64)
	if s, ok := v.(string); ok {
		if at, ok := isoTime(s); ok {
			return at, true
		}
		if len(s) == len("02/Jan/2006:15:04:05 -0700") && s[2] == '/' {
			return clfTime(s)
		}
		if at, err := time.Parse("2006/01/02 15:04:05", s); err == nil {
			return at.UTC(), true
		}
		parsed, err := strconv.ParseFloat(s, 64)
		n, isNumber = parsed, err == nil
	}
	if !isNumber || n < 1e9 {
		return time.Time{}, false
	}
	for n > 1e11 {
		n /= 1000
	}
	seconds := int64(n)
	at := time.Unix(seconds, int64((n-float64(seconds))*1e9)).UTC()
	return at, at.Year() >= 1970 && at.Year() < 2200
}

// kongLine is a line of Kong's file-log and http-log.
type kongLine struct {
	Request struct {
		Method  string         `json:"method"`
		URI     string         `json:"uri"`
		URL     string         `json:"url"`
		Query   map[string]any `json:"querystring"`
		Headers map[string]any `json:"headers"`
	} `json:"request"`
	Response struct {
		Status any `json:"status"`
	} `json:"response"`
	Consumer struct {
		ID       string `json:"id"`
		Username string `json:"username"`
		CustomID string `json:"custom_id"`
	} `json:"consumer"`
	Authenticated struct {
		ID string `json:"id"`
	} `json:"authenticated_entity"`
	ClientIP  string `json:"client_ip"`
	StartedAt any    `json:"started_at"`
}

// parseKong reads a line of Kong, which names the credential of a call and its
// consumer.
func parseKong(s string, e *Entry, _ []tailField) error {
	var line kongLine
	if json.Unmarshal([]byte(s), &line) != nil {
		return errJSON
	}
	e.At, _ = timeOf(line.StartedAt)
	e.Method, e.Target, e.Status, e.Address = line.Request.Method, cmp.Or(line.Request.URI, line.Request.URL), statusOf(line.Response.Status), line.ClientIP
	if !strings.Contains(e.Target, "?") && len(line.Request.Query) > 0 {
		e.Target += "?" + queryOf(line.Request.Query)
	}
	fields{e: e}.headers(line.Request.Headers)
	e.fromHeader()
	e.Plain = e.Plain || strings.HasPrefix(line.Request.URL, "http://")
	for _, name := range []string{line.Authenticated.ID, line.Consumer.Username, line.Consumer.CustomID, line.Consumer.ID} {
		e.addName(name)
	}
	return e.complete()
}

// queryOf writes a query that was logged by name.
func queryOf(object map[string]any) string {
	values := url.Values{}
	for name, value := range object {
		if text, ok := value.(string); ok {
			values.Set(name, text)
		} else {
			values.Set(name, "")
		}
	}
	return values.Encode()
}

// harEntry is a call in an HTTP archive (HAR 1.2).
type harEntry struct {
	Started string `json:"startedDateTime"`
	Request struct {
		Method  string `json:"method"`
		URL     string `json:"url"`
		Headers []struct {
			Name  string `json:"name"`
			Value string `json:"value"`
		} `json:"headers"`
	} `json:"request"`
	Response struct {
		Status any `json:"status"`
	} `json:"response"`
}

// parseHAR reads one entry of an archive.
func parseHAR(s string, e *Entry, _ []tailField) error {
	var entry harEntry
	if json.Unmarshal([]byte(s), &entry) != nil {
		return errJSON
	}
	e.At, _ = timeOf(entry.Started)
	e.Method, e.Target, e.Status = entry.Request.Method, entry.Request.URL, statusOf(entry.Response.Status)
	for _, h := range entry.Request.Headers {
		if !strings.HasPrefix(h.Name, ":") {
			e.addHeader(h.Name, h.Value)
		}
	}
	e.fromHeader()
	e.Plain = strings.HasPrefix(e.Target, "http://")
	return e.complete()
}
