package api

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// pick finds the one thing that ref means: its whole id, a beginning that no
// other id has, or its name.
func pick[T any](what, ref string, all []T, names func(T) (id, name string)) (found T, err error) {
	var byID, byName []T
	for _, v := range all {
		id, name := names(v)
		if id == ref {
			return v, nil
		}
		if strings.HasPrefix(id, ref) && len(ref) > 3 {
			byID = append(byID, v)
		}
		if name == ref && name != "" {
			byName = append(byName, v)
		}
	}
	matches := append(byName, byID...)
	switch len(matches) {
	case 0:
		return found, notFound(what, ref)
	case 1:
		return matches[0], nil
	}
	ids := make([]string, 0, 3)
	for _, v := range matches[:min(3, len(matches))] {
		id, _ := names(v)
		ids = append(ids, id)
	}
	return found, problem(http.StatusConflict, "ambiguous", "give more of the id", "%q means %d %ss, among them %s", ref, len(matches), what, strings.Join(ids, ", "))
}

// notFound repeats what begins like an id and nothing else: people have been
// seen to give the apikey itself.
func notFound(what, ref string) error {
	fix := "see `offkey " + what + "s list`: give an id, a unique beginning of one, or a name"
	switch what {
	case "signing key":
		fix = "see `offkey signing list`"
	case "apikey":
		fix = "see `offkey apikeys list`: give an id, a unique beginning of one, or a label; for the apikey itself there is `offkey apikeys show --apikey-stdin`"
		if !strings.HasPrefix(ref, "ak_") {
			return problem(http.StatusNotFound, "not_found", fix, "there is no apikey with that id or label (it is not repeated here: it may be a secret)")
		}
	}
	return problem(http.StatusNotFound, "not_found", fix, "there is no %s %q", what, ref)
}

// sortBy orders items by a name from orders, and what is equal there by id.
// Without a name the order is that of ids, which is that of making.
func sortBy[T any](items []T, orders map[string]func(a, b T) int, name string, idOf func(T) string) error {
	order, known := orders[name]
	if name != "" && !known {
		return badRequest("it is "+strings.Join(slices.Sorted(maps.Keys(orders)), ", "), "the parameter \"sort\" is %q", name)
	}
	slices.SortStableFunc(items, func(a, b T) int {
		byID := cmp.Compare(idOf(a), idOf(b))
		if order == nil {
			return byID
		}
		return cmp.Or(order(a, b), byID)
	})
	return nil
}

// orNone is items, but never null in JSON.
func orNone[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}
