package config

import (
	"encoding/json"
	"reflect"
	"strings"
)

// Schema is the JSON Schema (2020-12) of the file, made from the struct.
func Schema() ([]byte, error) {
	s := schemaOf(reflect.TypeFor[Config](), "", "")
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "offkey.yaml"
	s["required"] = []string{"issuer", "gateway"}
	return json.MarshalIndent(s, "", "  ")
}

func schemaOf(t reflect.Type, doc, enum string) map[string]any {
	s := map[string]any{}
	if doc != "" {
		s["description"] = doc
	}
	switch {
	case enum != "":
		s["type"], s["enum"] = "string", strings.Split(enum, ",")
	case t == reflect.TypeFor[Claims]():
		s["type"] = "object"
	case t.Kind() == reflect.Struct && isSection(reflect.New(t).Elem()):
		properties := map[string]any{}
		for _, f := range reflect.VisibleFields(t) {
			if name := f.Tag.Get("yaml"); name != "" {
				properties[name] = schemaOf(f.Type, f.Tag.Get("doc"), f.Tag.Get("enum"))
			}
		}
		s["type"], s["properties"], s["additionalProperties"] = "object", properties, false
	case t.Kind() == reflect.Map:
		s["type"], s["additionalProperties"] = "object", schemaOf(t.Elem(), "", "")
	case t.Kind() == reflect.Slice:
		s["type"], s["items"] = "array", schemaOf(t.Elem(), "", "")
	case t.Kind() == reflect.Bool:
		s["type"] = "boolean"
	case t.Kind() == reflect.Int:
		s["type"] = "integer"
	default:
		s["type"] = "string"
	}
	return s
}
