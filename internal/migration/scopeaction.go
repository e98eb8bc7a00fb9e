package migration

import (
	"slices"
	"strings"
)

// Actions says how finely scopes tell apart what is done.
type Actions string

// The ways. Auto takes the fine one unless it makes more scopes than people
// read.
const (
	ActionsAuto   Actions = "auto"
	ActionsFine   Actions = "fine"   // read, create, update, delete
	ActionsCoarse Actions = "coarse" // read, write
)

// Verbs that begin the last segment of a template which is called with POST and
// changes nothing: a question too long for a query, or a calculation.
var askingVerbs = []string{
	"get", "list", "search", "query", "find", "check", "validate", "preview", "export", "count", "lookup", "filter", "evaluate", "estimate", "calculate",
	"compute", "translate", "extract", "classify", "compare", "simulate", "retrieve", "resolve", "batchget", "suggest", "describe", "discover", "propose",
	"diff", "explain", "predict", "analyze", "analyse", "detect", "fetch", "inspect", "autocomplete", "download", "has", "is",
}

// notAsking are longer words that begin like one that asks.
var notAsking = []string{
	"getorcreate", "checkin", "checkout", "listen", "listing", "issue", "isolate", "hash", "counter", "getting", "filters", "exports", "queries", "searches",
	"lists", "checks", "counts", "finds", "previews", "downloads", "isdefault", "finder", "listener", "haste", "island", "resolver", "exporter",
}

// asks reports whether a segment says that a POST to it only asks.
func asks(segment string) bool {
	if strings.HasPrefix(segment, "$") { // OData: $query, $batch reads and writes
		return strings.EqualFold(segment, "$query")
	}
	segment, _, _ = strings.Cut(segment, "(")
	if i := strings.LastIndexByte(segment, '.'); i >= 0 {
		segment = segment[i+1:] // a qualified name: namespace.function
	}
	words := wordsOf(segment)
	if len(words) == 0 {
		return false
	}
	if len(words) > 1 && (words[0] == "batch" || words[0] == "bulk") {
		words = words[1:]
	}
	whole := strings.ToLower(segment)
	for _, not := range notAsking {
		if strings.HasPrefix(whole, not) {
			return false
		}
	}
	for _, verb := range askingVerbs {
		if words[0] == verb {
			return true
		}
		// written as one word: getmembergroups. The shortest verbs begin too many others.
		if len(words) == 1 && len(verb) > 2 && len(whole) > len(verb)+3 && strings.HasPrefix(whole, verb) && verb != "has" {
			return true
		}
	}
	return last(words) == "query" || last(words) == "search" || last(words) == "preview"
}

func last(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return words[len(words)-1]
}

// membership are the collections in which somebody is given power over the
// thing above them.
var membership = map[string]bool{"members": true, "memberships": true, "membership": true, "grants": true, "permissions": true}

// action is what an operation does: read, create, update, delete or admin. ""
// is what no method says.
func (a *apiShape) action(op *shapedOperation) string {
	method, end := op.Method, ""
	if n := len(op.segments); n > 0 {
		end = op.segments[n-1]
	}
	if i := strings.LastIndexByte(end, ':'); i >= 0 {
		end = end[i+1:]
	}
	onThing := end == "" || strings.HasPrefix(end, "{")
	switch {
	case method == "GET" || method == "HEAD" || method == "OPTIONS":
		return "read"
	case method == "POST" && !onThing && asks(end) && (!a.isCollection(op) || slices.Contains(askingVerbs, strings.ToLower(end))):
		return "read"
	}
	if n := len(op.literals); n > 1 && membership[strings.ToLower(op.literals[n-1])] && op.resource != op.literals[n-1] {
		return "admin"
	}
	switch method {
	case "POST":
		many := a.isCollection(op) || singular(strings.ToLower(end)) != strings.ToLower(end)
		if !onThing && (!many || strings.EqualFold(end, "actions")) && op.underThing() || onThing && len(op.segments) > 1 {
			return "update" // an action on a thing that is there
		}
		return "create"
	case "PUT", "PATCH":
		return "update"
	case "DELETE":
		return "delete"
	}
	return ""
}

// coarse is the action of a vocabulary that tells reading from writing alone.
func coarse(action string) string {
	if action != "read" {
		return "write"
	}
	return action
}
