// Package architecture holds the direction of imports, because nobody sees it
// in a diff. Changing the lists below is a decision: it wants a page in
// docs/decisions. Test files are left out: a test may use the real store.
package architecture

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/offkey/offkey/"

// rings lists every package of internal/. A package imports members of its
// ring listed before it, and the rings before its own; what lies in a folder
// below a member (authserver/grant) belongs to the member.
var rings = []struct {
	name    string
	members []string
}{
	{"words", []string{"oauth", "jose", "secret", "openapi"}},
	{"nouns", []string{"audit", "client", "apikey", "directory", "session", "keyring", "limit", "token", "policy", "traffic", "leak"}},
	{"flows", []string{"authserver", "signin", "gateway", "migration", "agent", "scan"}},
	{"edges", []string{"store", "federation", "notify", "report", "api", "console"}},
	{"wiring", []string{"config", "app"}},
}

// outside lists who, beside the rings, may import what of this module. The
// folders bench/ and test/ are free.
var outside = map[string][]string{
	"cmd/offkey":            {"words", "nouns", "agent", "scan", "config", "app", "sdk"},
	"sdk/go/oauthclient":    {"words"},
	"sdk/go/resourceserver": {"words", "token"},
}

// onlyBy names the one package that may import a library.
var onlyBy = map[string]string{
	"github.com/go-jose/": "jose", "github.com/golang-jwt/": "jose", "github.com/lestrrat-go/jwx": "jose",
	"github.com/pb33f/": "openapi",
	"modernc.org/":      "store", "github.com/jackc/pgx": "store",
	"github.com/go-webauthn/": "signin",
}

// place finds a member's ring and its position there; ring is -1 if unlisted.
func place(member string) (ring, position int) {
	for ring, r := range rings {
		if i := slices.Index(r.members, member); i >= 0 {
			return ring, i
		}
	}
	return -1, 0
}

// forbidden returns the rule that an import breaks, "" if none. from is a
// folder of this module ("internal/token"), to an import path.
func forbidden(from, to string) string {
	member, inside := strings.CutPrefix(from, "internal/")
	member, _, _ = strings.Cut(member, "/")
	ring, position := place(member)
	if inside && ring < 0 {
		return "internal/" + member + " is in no ring: put the code where it belongs, or add it to rings"
	}
	target, ours := strings.CutPrefix(to, module)
	if !ours {
		for library, owner := range onlyBy {
			if strings.HasPrefix(to, library) && !(inside && member == owner) {
				return "only internal/" + owner + " imports " + library
			}
		}
		if strings.HasPrefix(from, "sdk/go/") && strings.Contains(to, ".") && !strings.HasPrefix(to, "golang.org/x/oauth2") {
			return "of foreign modules sdk/go imports golang.org/x/oauth2 alone"
		}
		return ""
	}
	target, internal := strings.CutPrefix(target, "internal/")
	top, _, _ := strings.Cut(target, "/")
	toRing, toPosition := place(top)
	switch {
	case inside && internal && top == member:
		return ""
	case top == "store" && internal && member != "app":
		return "only app imports store"
	case top == "app" && internal && from != "cmd/offkey":
		return "only cmd/offkey imports app"
	case !inside:
		if toRing >= 0 && slices.Contains(outside[from], rings[toRing].name) || slices.Contains(outside[from], top) {
			return ""
		}
		return fmt.Sprintf("%s may import %s", from, strings.Join(outside[from], ", "))
	case !internal:
		return "internal imports nothing of this module outside internal"
	case toRing == ring && rings[ring].name == "flows":
		return "a flow never imports a flow: declare an interface, and app passes it"
	case toRing < 0 || toRing > ring || toRing == ring && toPosition >= position:
		return fmt.Sprintf("%s (%s) imports what is listed before it: %s is not", member, rings[ring].name, top)
	}
	return ""
}

// violations reads the imports of every Go file under root that is not a test.
func violations(root string) (found []string, files int, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		file, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		file = filepath.ToSlash(file)
		if d.IsDir() {
			if file != "." && strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"test", "bench"}, file) || d.Name() == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		files++
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		from := filepath.ToSlash(filepath.Dir(file))
		if rule := forbidden(from, "nothing"); rule != "" {
			found = append(found, fmt.Sprintf("%s: package %s\n\trule: %s", file, parsed.Name, rule))
			return nil
		}
		for _, spec := range parsed.Imports {
			to, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if rule := forbidden(from, to); rule != "" {
				found = append(found, fmt.Sprintf("%s:%d imports %s\n\trule: %s", file, set.Position(spec.Pos()).Line, to, rule))
			}
		}
		return nil
	})
	return found, files, err
}

func TestImportsGoOneWay(t *testing.T) {
	found, files, err := violations("../..")
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Fatal("no Go file found: this test looks in the wrong folder")
	}
	for _, v := range found {
		t.Error(v)
	}
}
