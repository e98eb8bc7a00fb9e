package migration

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
)

// How apikeys find the clients that replace them.
const (
	MapByOwner = "owner" // the one client of the same owner
	MapByLabel = "label" // the one client whose name is the label
	MapByPairs = "csv"   // as a list says
)

// MapPair says which client replaces an apikey: that by its id, label or
// itself, the client by its id or name.
type MapPair struct{ APIKey, Client string }

// MapRequest says which apikeys are mapped.
type MapRequest struct {
	By     string
	Pairs  []MapPair // by MapByPairs
	DryRun bool
	Actor  string
}

// MapReport says which apikeys were mapped, or with DryRun would be.
type MapReport struct {
	DryRun    bool      `json:"dry_run"`
	Mapped    []Mapping `json:"mapped"`
	Already   int       `json:"already"`   // have a client: left
	Unmatched int       `json:"unmatched"` // no client fits
	Ambiguous int       `json:"ambiguous"` // several do: left
	Problems  []BadLine `json:"problems"`  // of pairs, by their number
}

// Mapping is an apikey and its client.
type Mapping struct {
	APIKeyID   string `json:"apikey_id"`
	Last4      string `json:"last4"`
	ClientID   string `json:"client_id"`
	ClientName string `json:"client_name"`
}

// maxPairs bounds a list of pairs.
const maxPairs = 100_000

// MapAll maps all apikeys that have no client to the one that fits. Where more
// than one does nothing is guessed.
func (r *Road) MapAll(ctx context.Context, q MapRequest) (MapReport, error) {
	report := MapReport{DryRun: q.DryRun, Mapped: []Mapping{}, Problems: []BadLine{}}
	clients, err := r.clientsToMap(ctx, q.By)
	if err != nil {
		return report, err
	}
	var keys []*apikey.Key
	if err := r.eachAPIKey(ctx, func(k *apikey.Key) error { keys = append(keys, k); return nil }); err != nil {
		return report, fmt.Errorf("map: %w", err)
	}
	if q.By == MapByPairs {
		r.mapPairs(q.Pairs, keys, clients, &report)
	} else {
		for _, k := range keys {
			name := k.Owner
			if q.By == MapByLabel {
				name = k.Label
			}
			report.match(k, clients[foldName(name)])
		}
	}
	if q.DryRun || len(report.Mapped) == 0 {
		return report, nil
	}
	return report, r.keepMappings(ctx, report.Mapped, q)
}

// clientsToMap are the clients by what they are found by. Those that are
// disabled replace nobody.
func (r *Road) clientsToMap(ctx context.Context, by string) (map[string][]*client.Client, error) {
	found := map[string][]*client.Client{}
	for f := (client.Filter{}); ; {
		page, next, err := r.Store.Clients(ctx, f)
		if err != nil {
			return nil, fmt.Errorf("map: %w", err)
		}
		for _, c := range page {
			names := []string{c.Owner}
			switch {
			case c.Status == client.Disabled:
				continue
			case by == MapByLabel:
				names = []string{c.Name}
			case by == MapByPairs:
				names = []string{c.ID, c.Name}
			}
			slices.Sort(names)
			for _, name := range slices.Compact(names) {
				if name != "" {
					found[foldName(name)] = append(found[foldName(name)], c)
				}
			}
		}
		if f.After = next; next == "" {
			return found, nil
		}
	}
}

// foldName is how names are compared: people write them as they come.
func foldName(name string) string { return strings.ToLower(strings.Join(strings.Fields(name), " ")) }

// match maps an apikey to the one client that fits.
func (report *MapReport) match(k *apikey.Key, fits []*client.Client) {
	switch {
	case k.ClientID != "":
		report.Already++
	case len(fits) == 0:
		report.Unmatched++
	case len(fits) > 1:
		report.Ambiguous++
	default:
		report.Mapped = append(report.Mapped, Mapping{k.ID, k.Last4, fits[0].ID, fits[0].Name})
	}
}

// mapPairs maps as a list says. What it says twice about an apikey counts once.
func (r *Road) mapPairs(pairs []MapPair, keys []*apikey.Key, clients map[string][]*client.Client, report *MapReport) {
	byName := map[string][]*apikey.Key{}
	for _, k := range keys {
		for _, name := range []string{k.ID, k.Label, k.Fingerprint.String()} {
			if name != "" {
				byName[name] = append(byName[name], k)
			}
		}
	}
	done := map[string]bool{}
	for i, p := range pairs {
		found := byName[p.APIKey]
		if len(found) == 0 && p.APIKey != "" {
			found = byName[r.Pepper.Fingerprint(p.APIKey).String()]
		}
		fits := clients[foldName(p.Client)]
		switch {
		case len(found) != 1 || len(fits) != 1:
			report.problem(i+1, len(found), len(fits))
			if len(found) > 1 || len(fits) > 1 {
				report.Ambiguous++
			} else {
				report.Unmatched++
			}
		case !done[found[0].ID]:
			done[found[0].ID] = true
			report.match(found[0], fits)
		}
	}
}

func (report *MapReport) problem(pair, keys, clients int) {
	if len(report.Problems) >= maxBadLines {
		return
	}
	text := map[bool]string{true: "no client is called that", false: "several clients are called that"}[clients == 0]
	if keys != 1 {
		text = map[bool]string{true: "no such apikey", false: "several apikeys have that label"}[keys == 0]
	}
	report.Problems = append(report.Problems, BadLine{pair, text})
}

// keepMappings writes the mappings down, those of one client together.
func (r *Road) keepMappings(ctx context.Context, mapped []Mapping, q MapRequest) error {
	byClient := map[string][]string{}
	for _, m := range mapped {
		byClient[m.ClientID] = append(byClient[m.ClientID], m.APIKeyID)
	}
	order := make([]string, 0, len(byClient))
	for id := range byClient {
		order = append(order, id)
	}
	slices.SortFunc(order, cmp.Compare[string])
	for _, clientID := range order {
		for chunk := range slices.Chunk(byClient[clientID], importChunk) {
			_, err := r.Store.UpdateAPIKeys(ctx, chunk, func(k *apikey.Key) error {
				k.ClientID = cmp.Or(k.ClientID, clientID) // somebody may have been faster
				return nil
			}, audit.Event{Actor: q.Actor, Action: "apikey.mapped", Object: clientID, Detail: map[string]any{"by": q.By, "apikeys": chunk}})
			if err != nil {
				return fmt.Errorf("map: %w", err)
			}
		}
	}
	return nil
}

// ErrMapBy is a way of finding clients that there is not.
var ErrMapBy = errors.New("apikeys find their clients by owner, label or csv")

// Check reports what is wrong with a request.
func (q MapRequest) Check() error {
	switch {
	case q.By != MapByOwner && q.By != MapByLabel && q.By != MapByPairs:
		return ErrMapBy
	case len(q.Pairs) > maxPairs:
		return fmt.Errorf("a list of more than %d pairs: split it", maxPairs)
	}
	return nil
}

// ReadPairs reads a list with the columns apikey and client. Nothing of it is in
// its errors.
func ReadPairs(in io.Reader) (pairs []MapPair, err error) {
	rows := csv.NewReader(in)
	rows.FieldsPerRecord = -1
	header, err := rows.Read()
	if err != nil {
		return nil, errors.New("the list has no heading: begin it with apikey,client")
	}
	column := func(names ...string) int {
		return slices.IndexFunc(header, func(have string) bool {
			return slices.Contains(names, strings.ToLower(strings.Trim(strings.TrimSpace(have), "\ufeff")))
		})
	}
	key, to := column("apikey", "key", "id", "label"), column("client", "client_id")
	if key < 0 || to < 0 {
		return nil, errors.New("the list lacks a column: its heading has apikey and client")
	}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return pairs, nil
		}
		var broken *csv.ParseError
		switch {
		case errors.As(err, &broken):
			return nil, fmt.Errorf("line %d of the list is no CSV", broken.StartLine)
		case err != nil:
			return nil, err
		case len(row) <= max(key, to):
			return nil, fmt.Errorf("line %d of the list is too short", len(pairs)+2)
		case len(pairs) == maxPairs:
			return nil, fmt.Errorf("a list of more than %d pairs: split it", maxPairs)
		}
		pairs = append(pairs, MapPair{strings.TrimSpace(row[key]), strings.TrimSpace(row[to])})
	}
}
