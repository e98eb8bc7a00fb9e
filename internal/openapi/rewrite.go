package openapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Rewriting is what to write into a document.
type Rewriting struct {
	// Mode is add (OAuth beside what is there), deprecate (the same, and apikeys
	// are said to end) or remove (OAuth in place of apikeys).
	Mode   string
	Issuer string // its token endpoint goes into the document
	// Scopes are all scopes with what they are for.
	Scopes []Scope
	// AnyOf are the alternatives of scopes of an operation, by method and
	// template as Read returns them. An operation that is left out stays as it is.
	AnyOf map[string][][]string
}

// Scope is a scope and what it is for.
type Scope struct{ Name, Description string }

// scheme is the name of the security scheme that is written.
const scheme = "oauth2"

// Rewrite returns a document with OAuth written into it. Everything else stays:
// the order of members, and comments in YAML. JSON comes back as JSON.
func Rewrite(raw []byte, r Rewriting) ([]byte, error) {
	if !slices.Contains([]string{"add", "deprecate", "remove"}, r.Mode) {
		return nil, fmt.Errorf("mode is %q: it is add, deprecate or remove", r.Mode)
	}
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	if len(raw) > maxDocument {
		return nil, fmt.Errorf("longer than %d MiB", maxDocument>>20)
	}
	doc, err := Read(raw)
	if err != nil {
		return nil, err
	}
	var root yaml.Node
	if err := yaml.Unmarshal(raw, &root); err != nil {
		return nil, err
	}
	if len(root.Content) != 1 || root.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("it is no mapping")
	}
	w := rewriter{Rewriting: r, root: root.Content[0], old: strings.HasPrefix(doc.Version, "2"), prefix: prefixOf(doc, root.Content[0])}
	w.rewrite()
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		return writeJSON(w.root)
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&root); err != nil {
		return nil, err
	}
	return out.Bytes(), encoder.Close()
}

type rewriter struct {
	Rewriting
	root   *yaml.Node
	old    bool // Swagger 2
	prefix string
	keys   map[string]bool // schemes of apikeys
}

// prefixOf is what Read puts before the paths of a document.
func prefixOf(doc Document, root *yaml.Node) string {
	paths := child(root, "paths")
	for i := 0; paths != nil && i+1 < len(paths.Content); i += 2 {
		path := "/" + strings.TrimPrefix(paths.Content[i].Value, "/")
		for _, op := range doc.Operations {
			if prefix, found := strings.CutSuffix(op.Template, path); found && (len(paths.Content) == 2 || everyHasPrefix(doc, prefix)) {
				return prefix
			}
		}
	}
	return ""
}

func everyHasPrefix(doc Document, prefix string) bool {
	return !slices.ContainsFunc(doc.Operations, func(op Operation) bool { return !strings.HasPrefix(op.Template, prefix) })
}

func (w *rewriter) rewrite() {
	schemes := w.root
	if w.old {
		schemes = childOrNew(schemes, "securityDefinitions")
	} else {
		schemes = childOrNew(childOrNew(schemes, "components"), "securitySchemes")
	}
	w.keys = map[string]bool{}
	for i := 0; i+1 < len(schemes.Content); i += 2 {
		kind, how := child(schemes.Content[i+1], "type"), child(schemes.Content[i+1], "scheme")
		if kind == nil {
			continue
		}
		basic := kind.Value == "basic" || kind.Value == "http" && how != nil && strings.EqualFold(how.Value, "basic")
		if kind.Value == "apiKey" || basic {
			w.keys[schemes.Content[i].Value] = true
			w.endKey(schemes.Content[i+1])
		}
	}
	if w.Mode == "remove" {
		without(schemes, w.keys)
	}
	set(schemes, scheme, w.scheme())
	paths := child(w.root, "paths")
	for i := 0; paths != nil && i+1 < len(paths.Content); i += 2 {
		item := paths.Content[i+1]
		for k := 0; item.Kind == yaml.MappingNode && k+1 < len(item.Content); k += 2 {
			method := strings.ToUpper(item.Content[k].Value)
			if anyOf, named := w.AnyOf[method+" "+join(w.prefix, paths.Content[i].Value)]; named && slices.Contains(usual, method) {
				w.operation(item.Content[k+1], anyOf)
			}
		}
	}
	if all := child(w.root, "security"); all != nil && w.Mode == "remove" {
		w.dropKeys(all)
		if len(all.Content) == 0 {
			all.Content = append(all.Content, mapping(scheme, sequence()))
		}
	}
}

// endKey says in the scheme of an apikey that it ends.
func (w *rewriter) endKey(node *yaml.Node) {
	if w.Mode != "deprecate" || node.Kind != yaml.MappingNode {
		return
	}
	const end = "Deprecated: use OAuth 2.0."
	if d := child(node, "description"); d == nil {
		set(node, "description", scalar(end))
	} else if !strings.Contains(d.Value, end) {
		d.Value, d.Style = end+" "+d.Value, 0
	}
	if !w.old {
		set(node, "deprecated", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"})
	}
}

// scheme is the security scheme with all scopes.
func (w *rewriter) scheme() *yaml.Node {
	scopes := mapping()
	for _, s := range w.Scopes {
		set(scopes, s.Name, scalar(s.Description))
	}
	token := strings.TrimSuffix(w.Issuer, "/") + "/token"
	if w.old {
		return mapping("type", scalar("oauth2"), "flow", scalar("application"), "tokenUrl", scalar(token), "scopes", scopes)
	}
	return mapping("type", scalar("oauth2"), "flows", mapping("clientCredentials", mapping("tokenUrl", scalar(token), "scopes", scopes)))
}

// operation writes the alternatives of scopes into one. What it asked for before
// stays beside them, unless it was an apikey that is to go.
func (w *rewriter) operation(node *yaml.Node, anyOf [][]string) {
	if node.Kind != yaml.MappingNode || len(anyOf) == 0 {
		return
	}
	security := child(node, "security")
	if security == nil {
		security = sequence()
		if all := child(w.root, "security"); all != nil {
			for _, r := range all.Content {
				copied := *r
				security.Content = append(security.Content, &copied)
			}
		}
		set(node, "security", security)
	}
	if w.Mode == "remove" {
		w.dropKeys(security)
	}
	security.Content = slices.DeleteFunc(security.Content, func(r *yaml.Node) bool { return child(r, scheme) != nil })
	for _, alternative := range anyOf {
		list := sequence()
		for _, s := range alternative {
			list.Content = append(list.Content, scalar(s))
		}
		security.Content = append(security.Content, mapping(scheme, list))
	}
}

// dropKeys leaves out the alternatives that an apikey opens.
func (w *rewriter) dropKeys(security *yaml.Node) {
	security.Content = slices.DeleteFunc(security.Content, func(r *yaml.Node) bool {
		for name := range w.keys {
			if child(r, name) != nil {
				return true
			}
		}
		return false
	})
}

func child(node *yaml.Node, name string) *yaml.Node {
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i+1]
		}
	}
	return nil
}

func childOrNew(node *yaml.Node, name string) *yaml.Node {
	if c := child(node, name); c != nil && c.Kind == yaml.MappingNode {
		return c
	}
	c := mapping()
	set(node, name, c)
	return c
}

func set(node *yaml.Node, name string, value *yaml.Node) {
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			node.Content[i+1] = value
			return
		}
	}
	node.Content = append(node.Content, scalar(name), value)
}

func without(node *yaml.Node, names map[string]bool) {
	var kept []*yaml.Node
	for i := 0; i+1 < len(node.Content); i += 2 {
		if !names[node.Content[i].Value] {
			kept = append(kept, node.Content[i], node.Content[i+1])
		}
	}
	node.Content = kept
}

func scalar(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

func sequence() *yaml.Node { return &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"} }

// mapping makes one of names and values in turn.
func mapping(pairs ...any) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for i := 0; i+1 < len(pairs); i += 2 {
		m.Content = append(m.Content, scalar(pairs[i].(string)), pairs[i+1].(*yaml.Node))
	}
	return m
}

// writeJSON writes a tree as JSON with its members in their order.
func writeJSON(node *yaml.Node) ([]byte, error) {
	var b bytes.Buffer
	if err := compactJSON(&b, node, 0); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b.Bytes(), "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

const maxNesting = 500

func compactJSON(b *bytes.Buffer, node *yaml.Node, depth int) error {
	if depth > maxNesting {
		return errors.New("it is nested too deeply")
	}
	switch node.Kind {
	case yaml.MappingNode, yaml.SequenceNode:
		open, end := byte('['), byte(']')
		if node.Kind == yaml.MappingNode {
			open, end = '{', '}'
		}
		b.WriteByte(open)
		for i, c := range node.Content {
			member := node.Kind == yaml.MappingNode && i%2 == 1
			switch {
			case member:
				b.WriteByte(':')
			case i > 0:
				b.WriteByte(',')
			}
			if node.Kind == yaml.MappingNode && !member {
				writeText(b, c.Value)
				continue
			}
			if err := compactJSON(b, c, depth+1); err != nil {
				return err
			}
		}
		b.WriteByte(end)
		return nil
	case yaml.AliasNode:
		return errors.New("it begins as JSON and has a YAML alias") // which could hold itself
	}
	if tag := node.ShortTag(); tag != "!!str" && json.Valid([]byte(node.Value)) {
		b.WriteString(node.Value) // a number as it was written
		return nil
	}
	writeText(b, node.Value)
	return nil
}

// writeText writes a text as JSON does it, without escaping <, > and &.
func writeText(b *bytes.Buffer, s string) {
	encoder := json.NewEncoder(b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // a text always can be
	b.Truncate(b.Len() - 1)
}
