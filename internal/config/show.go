package config

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"sort"
	"strings"

	"github.com/offkey/offkey/internal/secret"
)

// Value is one setting as it is in force. Secrets show only that they are set.
type Value struct {
	Setting string `json:"setting"`
	Value   string `json:"value"`
	Origin  string `json:"origin"` // "offkey.yaml:12", "OFFKEY_ISSUER", "default"
	Boot    bool   `json:"boot,omitempty"`
}

// Values lists every setting in force.
func (l *Loaded) Values() []Value {
	var out []Value
	l.values(reflect.ValueOf(&l.Config).Elem(), "", false, &out)
	return out
}

func (l *Loaded) values(v reflect.Value, setting string, boot bool, out *[]Value) {
	switch {
	case isSection(v):
		for _, f := range reflect.VisibleFields(v.Type()) {
			if name := f.Tag.Get("yaml"); name != "" {
				l.values(v.FieldByIndex(f.Index), join(setting, name), f.Tag.Get("boot") != "", out)
			}
		}
	case v.Kind() == reflect.Map:
		keys := v.MapKeys()
		sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
		for _, k := range keys {
			element := reflect.New(v.Type().Elem()).Elem()
			element.Set(v.MapIndex(k))
			l.values(element, join(setting, k.String()), boot, out)
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct && v.Len() > 0 && isSection(v.Index(0)):
		for i := range v.Len() {
			l.values(v.Index(i), fmt.Sprintf("%s[%d]", setting, i), boot, out)
		}
	default:
		value := text(v)
		if setting == "storage.dsn" {
			value = withoutPassword(value)
		}
		*out = append(*out, Value{Setting: setting, Value: value, Origin: l.origin(setting), Boot: boot})
	}
}

// withoutPassword leaves out of an address what opens it.
func withoutPassword(address string) string {
	address = passwordParameter.ReplaceAllString(address, "${1}…")
	scheme, rest, ok := strings.Cut(address, "://")
	at := strings.LastIndex(rest, "@")
	if !ok || at < 0 {
		return address
	}
	user, _, has := strings.Cut(rest[:at], ":")
	if !has {
		return address
	}
	return scheme + "://" + user + ":…" + rest[at:]
}

var passwordParameter = regexp.MustCompile(`([?&](?:ssl)?password=)[^&]*`)

func (l *Loaded) origin(setting string) string {
	if o, ok := l.Origins[setting]; ok {
		return o
	}
	return "default"
}

func text(v reflect.Value) string {
	if s, ok := v.Addr().Interface().(*secret.Text); ok {
		if s.IsZero() {
			return ""
		}
		return s.String()
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		b, err := m.MarshalText()
		if err != nil {
			return ""
		}
		return string(b)
	}
	if v.Kind() == reflect.Slice {
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = text(v.Index(i))
		}
		return strings.Join(parts, " ")
	}
	return fmt.Sprint(v.Interface())
}

// Change is a setting that differs between two configurations.
type Change struct {
	Setting string `json:"setting"`
	From    string `json:"from"`
	To      string `json:"to"`
	// Restart says that the change takes effect only at the next start.
	Restart bool `json:"restart"`
}

// Diff lists what differs in l from running. Secrets that differ are listed
// without their values.
func (l *Loaded) Diff(running *Loaded) []Change {
	before := map[string]Value{}
	for _, v := range running.Values() {
		before[v.Setting] = v
	}
	var out []Change
	for _, v := range l.Values() {
		old, had := before[v.Setting]
		delete(before, v.Setting)
		if !had || old.Value != v.Value || l.secretAt(v.Setting) != running.secretAt(v.Setting) {
			out = append(out, Change{v.Setting, old.Value, v.Value, v.Boot})
		}
	}
	for _, v := range before {
		out = append(out, Change{v.Setting, v.Value, "", v.Boot})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Setting < out[j].Setting })
	return out
}

// secretAt is the hash of the secret at setting, zero where there is none.
func (l *Loaded) secretAt(setting string) (h secret.Hash) {
	set := func(path string, s secret.Text) {
		if path == setting && !s.IsZero() {
			h = secret.HashOf(s.Reveal())
		}
	}
	set("secrets.master_key", l.Secrets.MasterKey)
	set("secrets.pepper", l.Secrets.Pepper)
	set("storage.dsn", secret.NewText(l.Storage.DSN))
	set("email.smtp.password", l.Email.SMTP.Password)
	for name, u := range l.Gateway.Upstreams {
		set("gateway.upstreams."+name+".secret.value", u.Secret.Value)
	}
	for i, c := range l.Clients {
		set(fmt.Sprintf("clients[%d].secret", i), c.Secret)
	}
	return h
}
