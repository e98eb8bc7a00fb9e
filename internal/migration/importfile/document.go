package importfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// node is a part of a YAML or JSON document. The zero node is what is not there,
// and has nothing in it.
type node struct {
	kind    kind
	line    int
	text    string
	list    []node
	members []member
}

type kind uint8

const (
	kindNone kind = iota
	kindText      // numbers and booleans too
	kindList
	kindMap
)

type member struct {
	name string
	node node
}

// get is the member with that name.
func (n node) get(name string) node {
	for i := len(n.members) - 1; i >= 0; i-- { // of several the last counts
		if n.members[i].name == name {
			return n.members[i].node
		}
	}
	return node{line: n.line}
}

// at follows names.
func (n node) at(names ...string) node {
	for _, name := range names {
		n = n.get(name)
	}
	return n
}

// first is the text of the first of the members that has one.
func (n node) first(names ...string) string {
	for _, name := range names {
		if text := n.get(name).text; text != "" {
			return text
		}
	}
	return ""
}

// texts are the texts of a list.
func (n node) texts() (all []string) {
	for _, item := range n.list {
		if item.text != "" {
			all = append(all, item.text)
		}
	}
	return all
}

// items are the elements of a list, or the values of a map.
func (n node) items() []node {
	if n.kind != kindMap {
		return n.list
	}
	all := make([]node, len(n.members))
	for i, m := range n.members {
		all[i] = m.node
	}
	return all
}

// walk visits n and all that is in it, the outer before the inner.
func (n node) walk(visit func(node)) {
	visit(n)
	for _, item := range n.items() {
		item.walk(visit)
	}
}

var (
	errTooDeep  = fmt.Errorf("it is nested more than %d deep", maxDepth)
	errTooMany  = fmt.Errorf("it has more than %d values: split it", maxNodes)
	errDocument = errors.New("it is neither YAML nor JSON")
)

// parseDocuments reads JSON, or one or more YAML documents.
func parseDocuments(text string) ([]node, error) {
	if start := strings.TrimLeft(text, " \t\r\n"); strings.HasPrefix(start, "{") || strings.HasPrefix(start, "[") {
		n, err := parseJSON(text)
		if err == nil {
			return []node{n}, nil
		}
		if errors.Is(err, errTooDeep) || errors.Is(err, errTooMany) {
			return nil, err
		}
	}
	return parseYAML(text)
}

func parseYAML(text string) (all []node, err error) {
	defer func() { // the library panics on some broken documents
		if recover() != nil {
			all, err = nil, errDocument
		}
	}()
	budget := yamlBudget{nodes: maxNodes, aliased: maxAliased}
	for d := yaml.NewDecoder(strings.NewReader(text)); ; {
		var document yaml.Node
		err := d.Decode(&document)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, errDocument // its own error may repeat the text
		}
		n, err := fromYAML(&document, 0, &budget)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
}

// yamlBudget is how many values may still come, and how many of them through
// aliases, by which a short document can be endless.
type yamlBudget struct{ nodes, aliased, inAlias int }

// fromYAML takes over a document. Aliases are followed, within bounds.
func fromYAML(y *yaml.Node, depth int, budget *yamlBudget) (node, error) {
	if depth > maxDepth {
		return node{}, errTooDeep
	}
	budget.nodes--
	if budget.inAlias > 0 {
		budget.aliased--
	}
	if budget.nodes < 0 || budget.aliased < 0 {
		return node{}, errTooMany
	}
	n := node{line: y.Line}
	switch y.Kind {
	case yaml.DocumentNode:
		if len(y.Content) == 0 {
			return n, nil
		}
		return fromYAML(y.Content[0], depth, budget)
	case yaml.AliasNode:
		budget.inAlias++
		defer func() { budget.inAlias-- }()
		return fromYAML(y.Alias, depth+1, budget)
	case yaml.ScalarNode:
		if n.kind = kindText; y.Tag != "!!null" {
			n.text = y.Value
		}
	case yaml.SequenceNode:
		n.kind = kindList
		for _, c := range y.Content {
			item, err := fromYAML(c, depth+1, budget)
			if err != nil {
				return node{}, err
			}
			n.list = append(n.list, item)
		}
	case yaml.MappingNode:
		n.kind = kindMap
		for i := 0; i+1 < len(y.Content); i += 2 {
			value, err := fromYAML(y.Content[i+1], depth+1, budget)
			if err != nil {
				return node{}, err
			}
			if y.Content[i].Tag == "!!merge" {
				n.members = append(value.members, n.members...)
				continue
			}
			n.members = append(n.members, member{y.Content[i].Value, value})
		}
	}
	return n, nil
}

// parseJSON reads one JSON value, and nothing behind it.
func parseJSON(text string) (node, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	r := jsonReader{d: d, text: text, line: 1, budget: maxNodes}
	n, err := r.value(0)
	if err != nil {
		return node{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return node{}, errDocument
	}
	return n, nil
}

// jsonReader counts lines as it goes.
type jsonReader struct {
	d      *json.Decoder
	text   string
	at     int64
	line   int
	budget int
}

func (r *jsonReader) value(depth int) (node, error) {
	if depth > maxDepth {
		return node{}, errTooDeep
	}
	if r.budget--; r.budget < 0 {
		return node{}, errTooMany
	}
	token, err := r.d.Token()
	if err != nil {
		return node{}, errDocument
	}
	now := r.d.InputOffset()
	r.line += strings.Count(r.text[r.at:now], "\n")
	r.at = now
	n := node{line: r.line, kind: kindText}
	switch t := token.(type) {
	case string:
		n.text = t
	case json.Number:
		n.text = t.String()
	case bool:
		n.text = strconv.FormatBool(t)
	case json.Delim:
		n.kind = kindList
		if t == '{' {
			n.kind = kindMap
		}
		for r.d.More() {
			name := ""
			if n.kind == kindMap {
				key, err := r.d.Token()
				if err != nil {
					return node{}, errDocument
				}
				name = key.(string) // nothing else can be there
			}
			value, err := r.value(depth + 1)
			if err != nil {
				return node{}, err
			}
			if n.kind == kindMap {
				n.members = append(n.members, member{name, value})
			} else {
				n.list = append(n.list, value)
			}
		}
		if _, err := r.d.Token(); err != nil {
			return node{}, errDocument
		}
	}
	return n, nil
}
