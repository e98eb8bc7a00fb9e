package migration

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/oauth"
)

// APIOperation is an operation of an API, as its document or its traffic tells.
type APIOperation struct {
	Method   string
	Template string
	Tags     []string
	Summary  string
	// Declared are the alternatives of scopes that the document asks for; each
	// is a set of scopes needed together.
	Declared [][]string
	Open     bool // passes without any credential
}

// Design is a vocabulary of scopes for an API.
type Design struct {
	Scopes     []DesignedScope     `json:"scopes"`
	Operations []DesignedOperation `json:"operations"`
	// Actions is how finely it tells apart what is done.
	Actions Actions `json:"actions"`
}

// DesignedScope is one scope and what it is for.
type DesignedScope struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Operations  int    `json:"operations"`
}

// DesignedOperation is an operation with the scopes that open it: one of the
// alternatives, all of whose scopes are needed.
type DesignedOperation struct {
	Method   string     `json:"method"`
	Template string     `json:"template"`
	AnyOf    [][]string `json:"any_of"`
	Declared bool       `json:"declared,omitempty"` // by the API's own document
}

// readable is how many scopes a vocabulary may have before it tells apart less:
// more than that nobody who gives them reads.
const readable = 150

// DesignScopes makes a vocabulary. Scopes that a document declares stay as they
// are; the others are named `action:resource`. It depends on the operations
// alone and not on their order.
func DesignScopes(operations []APIOperation, actions Actions) Design {
	shape := newAPIShape(operations)
	names := map[*shapedOperation][2]string{} // action and resource
	fine := map[string]bool{}
	for _, op := range shape.operations {
		if op.Open || len(op.Declared) > 0 {
			continue
		}
		op.resource = shape.resource(op)
		action := shape.action(op)
		if action == "" {
			continue
		}
		resource := scopeToken(op.resource)
		names[op] = [2]string{action, resource}
		fine[action+":"+resource] = true
	}
	if actions == ActionsAuto || actions == "" {
		actions = ActionsFine
		if len(fine) > readable {
			actions = ActionsCoarse
		}
	}
	d := Design{Scopes: []DesignedScope{}, Operations: []DesignedOperation{}, Actions: actions}
	scopes := map[string]*DesignedScope{}
	for _, op := range shape.operations {
		out := DesignedOperation{Method: op.Method, Template: op.Template, AnyOf: [][]string{}}
		switch name, named := names[op]; {
		case op.Open:
		case len(op.Declared) > 0:
			out.AnyOf, out.Declared = op.Declared, true
			for _, alternative := range op.Declared {
				for _, scope := range alternative {
					count(scopes, scope, "As the API's document says: "+scope+".")
				}
			}
		case named:
			action := name[0]
			if actions == ActionsCoarse {
				action = coarse(action)
			}
			scope := action + ":" + name[1]
			out.AnyOf = [][]string{{scope}}
			count(scopes, scope, describe(action, op.resource))
		}
		d.Operations = append(d.Operations, out)
	}
	for _, name := range slices.Sorted(maps.Keys(scopes)) {
		d.Scopes = append(d.Scopes, *scopes[name])
	}
	return d
}

func count(scopes map[string]*DesignedScope, name, description string) {
	if !oauth.IsScopeName(name) {
		return
	}
	if scopes[name] == nil {
		scopes[name] = &DesignedScope{Name: name, Description: description}
	}
	scopes[name].Operations++
}

// describe says for a person what a scope opens.
func describe(action, resource string) string {
	thing := strings.ReplaceAll(strings.ReplaceAll(resource, "_", " "), ".", " ")
	switch action {
	case "admin":
		return "Say who belongs to " + thing + " and who may do what there."
	case "write":
		return "Create, change and delete " + thing + "."
	}
	return strings.ToUpper(action[:1]) + action[1:] + " " + thing + "."
}

// byTemplate orders operations for reading.
func byTemplate(a, b *shapedOperation) int {
	return cmp.Or(cmp.Compare(a.Template, b.Template), cmp.Compare(a.Method, b.Method))
}
