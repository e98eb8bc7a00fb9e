package migration

import (
	"strings"

	"github.com/offkey/offkey/internal/oauth"
)

// Class is how much a scope opens.
type Class string

// The classes, least first.
const (
	ClassRead  Class = "read"
	ClassWrite Class = "write"
	ClassAdmin Class = "admin"
)

// scopeName names the scope of an operation that no rule knows:
// `action:resource`, from the method and the first literal segment of the
// template that is neither a version nor a usual prefix. ok is false where the
// template tells nothing of what was called.
func scopeName(method, template string) (name string, ok bool) {
	literals, last := literalsOf(template)
	if strings.HasSuffix(template, "/**") && len(literals) == 0 {
		return "", false
	}
	action := actionOf(method, last)
	if action == "" {
		return "", false
	}
	resource := "root"
	if len(literals) > 0 {
		resource = literals[0]
		if action != "read" && len(literals) > 1 && isMembership(literals[len(literals)-1]) {
			action = "admin" // whoever adds members administers the group
		}
	}
	return action + ":" + scopeToken(resource), true
}

// literalsOf are the segments of a template that name kinds of things, without
// versions and the prefixes that whole APIs have, and its last segment, which
// may be a verb. A Google-style verb ("orders:batchGet") is a segment of its own.
func literalsOf(template string) (literals []string, last string) {
	for s := range strings.SplitSeq(strings.Trim(template, "/"), "/") {
		name, verb, hasVerb := strings.Cut(s, ":")
		last = s
		if hasVerb && name != "" {
			s, last = name, verb
		}
		if s == "" || s == "**" || strings.HasPrefix(s, "{") || isVersion(s) {
			continue
		}
		literals = append(literals, s)
	}
	for len(literals) > 1 && (literals[0] == "api" || literals[0] == "rest") {
		literals = literals[1:]
	}
	return literals, last
}

// isVersion reports whether a segment is an API version: v1, v2.1, 2024-01.
func isVersion(s string) bool {
	if len(s) > 1 && (s[0] == 'v' || s[0] == 'V') {
		s = s[1:]
	}
	return strings.Trim(s, "0123456789.-") == ""
}

// readingVerbs end templates that are called with POST and change nothing.
var readingVerbs = map[string]bool{
	"search": true, "query": true, "count": true, "validate": true, "check": true, "preview": true, "export": true, "batchget": true,
	"lookup": true, "filter": true, "list": true,
}

// actionOf is what a call does, from its method, "" for a method that says
// nothing. A POST that only asks is a read.
func actionOf(method, last string) string {
	switch method {
	case "GET", "HEAD", "OPTIONS":
		return "read"
	case "POST":
		if readingVerbs[strings.ToLower(last)] || strings.HasPrefix(last, "$") {
			return "read"
		}
		return "create"
	case "PUT", "PATCH":
		return "update"
	case "DELETE":
		return "delete"
	}
	return ""
}

func isMembership(segment string) bool {
	switch segment {
	case "members", "grants", "memberships", "permissions", "roles":
		return true
	}
	return false
}

// scopeToken makes a segment a part of a scope-token (RFC 6749 §3.3).
func scopeToken(segment string) string {
	return strings.Map(func(c rune) rune {
		if c < 0x80 && c != ':' && oauth.IsScopeName(string(c)) {
			return c
		}
		return '_'
	}, segment)
}

// isAdminTemplate reports whether a template is of administration.
func isAdminTemplate(template string) bool {
	literals, _ := literalsOf(template)
	for _, s := range literals {
		if adminWords[strings.ToLower(s)] {
			return true
		}
	}
	return false
}

var (
	adminWords = map[string]bool{"admin": true, "admins": true, "administration": true, "internal": true, "manage": true, "management": true, "owner": true, "sudo": true, "superuser": true}
	readWords  = map[string]bool{"read": true, "readonly": true, "view": true, "list": true, "get": true, "search": true, "query": true, "openid": true, "profile": true, "email": true}
	writeWords = map[string]bool{
		"write": true, "create": true, "update": true, "delete": true, "edit": true, "modify": true, "add": true, "remove": true, "send": true, "all": true, "full": true, "readwrite": true,
	}
)

// ClassOf is the class of a scope by the words in its name, whatever their
// order: read:orders, orders.readonly, https://x/auth/orders.write. A name that
// does not say that it only reads is taken for one that writes.
func ClassOf(scope string) Class {
	var reads, writes bool
	for word := range strings.FieldsFuncSeq(strings.ToLower(scope), func(c rune) bool { return strings.ContainsRune(":._-/", c) }) {
		if adminWords[word] {
			return ClassAdmin
		}
		reads, writes = reads || readWords[word], writes || writeWords[word]
	}
	if reads && !writes {
		return ClassRead
	}
	return ClassWrite
}
