package main

import (
	"encoding"
	"fmt"
	"net/netip"
	"reflect"
	"strings"

	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/secret"
)

// setting is one line of the page.
type setting struct {
	path    string // "gateway.upstreams.NAME.url"
	kind    string // "duration"
	initial string // what holds if it is left out, as it would be written
	doc     string
	boot    bool // takes effect at the next start
	inList  bool // below a list or a map: has no variable
}

// section is the part of the path that the page has a heading for.
func (s setting) section() string {
	section, _, _ := strings.Cut(s.path, ".")
	section, _, _ = strings.Cut(section, "[")
	return section
}

// settings are all of them, in the order of the struct.
func settings() []setting {
	defaults := config.Default()
	w := walker{}
	w.walk(reflect.ValueOf(&defaults).Elem(), "", "", false, false)
	return w.found
}

type walker struct{ found []setting }

func (w *walker) walk(v reflect.Value, path, doc string, boot, inList bool) {
	switch {
	case isSection(v):
		for _, f := range reflect.VisibleFields(v.Type()) {
			name := f.Tag.Get("yaml")
			if name == "" {
				continue
			}
			below := name
			if path != "" {
				below = path + "." + name
			}
			field := v.FieldByIndex(f.Index)
			if enum := f.Tag.Get("enum"); enum != "" {
				w.add(below, "one of "+strings.ReplaceAll(enum, ",", ", "), field, f.Tag.Get("doc"), f.Tag.Get("boot") != "", inList)
				continue
			}
			w.walk(field, below, f.Tag.Get("doc"), f.Tag.Get("boot") != "", inList)
		}
	case v.Kind() == reflect.Map:
		w.list(v, path+".NAME", doc)
	case v.Kind() == reflect.Slice && isSection(reflect.New(v.Type().Elem()).Elem()):
		w.add(path, "list of sections", v, doc, boot, inList)
		w.list(v, path+"[]", "")
	default:
		w.add(path, kindOf(v.Type()), v, doc, boot, inList)
	}
}

// list goes on with what one element of a list or map holds.
func (w *walker) list(v reflect.Value, path, doc string) {
	w.walk(reflect.New(v.Type().Elem()).Elem(), path, doc, false, true)
}

func (w *walker) add(path, kind string, v reflect.Value, doc string, boot, inList bool) {
	w.found = append(w.found, setting{path: path, kind: kind, initial: written(v), doc: doc, boot: boot, inList: inList})
}

// isSection reports whether v has settings of its own; values that are read from
// text have none.
func isSection(v reflect.Value) bool {
	_, text := v.Addr().Interface().(encoding.TextUnmarshaler)
	return v.Kind() == reflect.Struct && !text
}

// kinds are the types that are read from text, as a person would call them.
var kinds = map[reflect.Type]string{
	reflect.TypeFor[config.Duration](): "duration",
	reflect.TypeFor[config.Date]():     "date",
	reflect.TypeFor[config.Rate]():     "rate",
	reflect.TypeFor[secret.Text]():     "secret",
	reflect.TypeFor[netip.Prefix]():    "network",
	reflect.TypeFor[config.Claims]():   "map",
}

func kindOf(t reflect.Type) string {
	if kind, ok := kinds[t]; ok {
		return kind
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "number"
	case reflect.Slice:
		if kind := kindOf(t.Elem()); kind != "text" {
			return "list of " + kind + "s"
		}
		return "list"
	case reflect.String:
		return "text"
	}
	panic("settingsdoc: what is a " + t.String() + " to a person? Add it to kinds")
}

// written is a value as it would stand in the file, "" for one that is not set.
func written(v reflect.Value) string {
	switch {
	case v.IsZero() && v.Kind() != reflect.Bool:
		return ""
	case v.Kind() == reflect.Slice && v.Len() == 0:
		return ""
	case v.Kind() == reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = written(v.Index(i))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	if text, ok := v.Interface().(encoding.TextMarshaler); ok {
		raw, err := text.MarshalText()
		if err != nil {
			panic(err) // a default that cannot be written is a mistake in the code
		}
		return string(raw)
	}
	if v.Kind() == reflect.Struct {
		var parts []string
		for _, f := range reflect.VisibleFields(v.Type()) {
			if value := written(v.FieldByIndex(f.Index)); value != "" {
				parts = append(parts, f.Tag.Get("yaml")+": "+value)
			}
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return fmt.Sprint(v.Interface())
}
