package main

import (
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"

	"github.com/offkey/offkey/internal/migration"
)

// vMeasure is the harmonic mean of homogeneity and completeness of a grouping.
func vMeasure(truth, found []string) float64 {
	n := float64(len(truth))
	a, b, both := map[string]float64{}, map[string]float64{}, map[[2]string]float64{}
	for i := range truth {
		a[truth[i]]++
		b[found[i]]++
		both[[2]string{truth[i], found[i]}]++
	}
	entropy := func(counts map[string]float64) (h float64) {
		for _, c := range counts {
			h -= c / n * math.Log(c/n)
		}
		return h
	}
	var aGivenB, bGivenA float64
	for k, c := range both {
		aGivenB -= c / n * math.Log(c/b[k[1]])
		bGivenA -= c / n * math.Log(c/a[k[0]])
	}
	homogeneity, completeness := 1-aGivenB/entropy(a), 1-bGivenA/entropy(b)
	return 2 * homogeneity * completeness / (homogeneity + completeness)
}

// simpleScope is the baseline: the first segment, and whether it reads.
func simpleScope(op operation) string {
	return simpleAction(op.method) + ":" + firstSegment(op.template)
}

func simpleAction(method string) string {
	if method == "GET" || method == "HEAD" {
		return "read"
	}
	return "write"
}

func firstSegment(template string) string {
	for s := range strings.SplitSeq(strings.Trim(template, "/"), "/") {
		if s != "" && !strings.HasPrefix(s, "{") && !version.MatchString(s) && s != "api" && s != "rest" {
			s, _, _ = strings.Cut(s, "(")
			return s
		}
	}
	return "root"
}

// label is what the vendor says of an operation, as one group.
func label(op operation) string {
	if len(op.least) > 0 {
		return strings.Join(op.least, "|")
	}
	return alternativesLabel(op.anyOf)
}

func alternativesLabel(anyOf [][]string) string {
	var all []string
	for _, a := range anyOf {
		all = append(all, strings.Join(a, "+"))
	}
	return strings.Join(all, "|")
}

// designed asks the product.
func designed(v vocabulary, ops []operation, prefix string) map[string]string {
	var in []migration.APIOperation
	for _, op := range ops {
		o := migration.APIOperation{Method: op.method, Template: prefix + op.template, Summary: op.summary}
		if op.tag != "" {
			o.Tags = []string{op.tag}
		}
		in = append(in, o)
	}
	out := map[string]string{}
	for _, op := range migration.DesignScopes(in, migration.ActionsAuto).Operations {
		out[op.Method+" "+strings.TrimPrefix(op.Template, prefix)] = alternativesLabel(op.AnyOf)
	}
	return out
}

type designScore struct{ v, class, hidden, falseReads, exact float64 }

// scoreDesign compares names with the vendor's.
func scoreDesign(ops []operation, name func(operation) string) (s designScore) {
	var truth, found []string
	var class, hidden, hiddenFound, falseReads, writes, exact int
	for _, op := range ops {
		n := name(op)
		truth, found = append(truth, label(op)), append(found, n)
		t := classOfLabel(op)
		got := "write"
		if strings.HasPrefix(n, "read:") {
			got = "read"
		}
		if t == got {
			class++
		}
		if simpleAction(op.method) == "write" {
			if t == "read" {
				hidden++
				if got == "read" {
					hiddenFound++
				}
			} else {
				writes++
				if got == "read" {
					falseReads++
				}
			}
		}
		if sameName(n, op) {
			exact++
		}
	}
	n := len(ops)
	return designScore{vMeasure(truth, found), ratio(class, n), ratio(hiddenFound, hidden), ratio(falseReads, writes), ratio(exact, n)}
}

var reading = regexp.MustCompile(`(^|[.:])(read|list|access_[a-z]+|view_[a-z]+|Read[A-Za-z]*)([.:]|$)`)

// classOfLabel is read where one of the least alternatives only reads.
func classOfLabel(op operation) string {
	anyOf := op.anyOf
	if len(op.least) > 0 {
		anyOf = nil
		for _, l := range op.least {
			anyOf = append(anyOf, strings.Split(l, "+"))
		}
	}
	for _, all := range anyOf {
		reads := true
		for _, scope := range all {
			reads = reads && reading.MatchString(scope) && !strings.Contains(scope, ".ReadWrite")
		}
		if reads {
			return "read"
		}
	}
	return "write"
}

// sameName reports whether a scope is the vendor's but for spelling: plurals,
// separators, the vendor's own prefix, and manage for write.
func sameName(name string, op operation) bool {
	action, resource, _ := strings.Cut(name, ":")
	for _, scope := range op.anyOf[0] {
		var verb, noun string
		if at := strings.LastIndexByte(scope, ':'); at >= 0 {
			noun, verb = scope[:at], scope[at+1:]
		} else if at := strings.LastIndexByte(scope, '.'); at >= 0 {
			noun, verb = strings.TrimPrefix(scope[:at], "okta."), scope[at+1:]
		}
		if verb == "manage" && (action == "write" || action == "create" || action == "update" || action == "delete") {
			verb = action
		}
		if verb == action && plainName(noun) == plainName(resource) {
			return true
		}
	}
	return false
}

var separators = regexp.MustCompile(`[^a-z0-9]`)

func plainName(s string) string {
	s = separators.ReplaceAllString(strings.ToLower(s), "")
	switch {
	case strings.HasSuffix(s, "ies"):
		return s[:len(s)-3] + "y"
	case strings.HasSuffix(s, "xes"):
		return s[:len(s)-2]
	case strings.HasSuffix(s, "s") && !strings.HasSuffix(s, "ss"):
		return s[:len(s)-1]
	}
	return s
}

func measureDesign(out io.Writer, v vocabulary, verbose bool) {
	ops := v.scoped()
	base := scoreDesign(ops, simpleScope)
	names := designed(v, ops, "")
	product := scoreDesign(ops, func(op operation) string { return names[op.method+" "+op.template] })
	behind := designed(v, ops, "/acme-cloud")
	prefixed := scoreDesign(ops, func(op operation) string { return behind[op.method+" "+op.template] })
	line(out, "design: grouping, V-measure", base.v, product.v, fmt.Sprintf("behind a service name %.3f", prefixed.v))
	line(out, "design: access class", base.class, product.class, "")
	line(out, "design: hidden reads found", base.hidden, product.hidden, "")
	line(out, "design: false reads among writes", base.falseReads, product.falseReads, "")
	line(out, "design: exact names", base.exact, product.exact, fmt.Sprintf("behind a service name %.3f", prefixed.exact))
	if verbose {
		for _, op := range ops {
			n := names[op.method+" "+op.template]
			if !sameName(n, op) {
				fmt.Fprintln(out, "  name", op.method, op.template, n, label(op), "tag", op.tag)
			}
		}
	}
}
