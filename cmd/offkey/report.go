package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/jose"
)

// reportCmd groups what is done about evidence. Without a subcommand a report is
// made.
type reportCmd struct {
	Make   reportMakeCmd   `cmd:"" default:"withargs" help:"Write a report."`
	Verify reportVerifyCmd `cmd:"" help:"Check a report that was written before, without asking anybody."`
}

type reportMakeCmd struct {
	operatorFlags
	AsOf    string `name:"as-of" placeholder:"DATE" help:"The end of that day, as in 2027-03-31, or a moment. Default: now."`
	Format  string `enum:",html,csv,json" default:"" placeholder:"FORMAT" help:"html (default), csv (the inventory alone) or json."`
	Out     string `type:"path" placeholder:"FILE" help:"Write it to this file, its signature to FILE.jws and the keys to check it by to FILE.jwks. Default: to standard output, unsigned."`
	Require string `placeholder:"CONDITION" help:"Exit with 6 unless it holds: apikeys=0, exceptions<=3, open_leaks=0."`
}

func (reportMakeCmd) Help() string {
	return `Examples:
  offkey report --out report.html
  offkey report --as-of 2027-03-31 --format csv --out q1.csv
  offkey report --require apikeys=0 --format json > report.json
  offkey report verify report.html

Inventory, exceptions with owner and end, access by route, clients, leaks, admin actions, and the head of the audit log.
apikeys counts those that offkey accepts, and those of which a sealed copy is alive. What offkey refuses and what the API
itself is known to have revoked are told apart. The HTML file asks nobody for anything.`
}

type reportDoc struct {
	Format  string    `json:"format"`
	AsOf    time.Time `json:"as_of"`
	Summary struct {
		APIKeys    int64 `json:"apikeys"`
		Accepted   int64 `json:"accepted"`
		Refused    int64 `json:"refused"`
		Revoked    int64 `json:"revoked"`
		Sealed     int64 `json:"sealed"`
		Exceptions int64 `json:"exceptions"`
		OpenLeaks  int64 `json:"open_leaks"`
	} `json:"summary"`
	Document  string          `json:"document"`
	Statement string          `json:"statement"`
	Keys      json.RawMessage `json:"keys"`
}

var requirementForm = regexp.MustCompile(`^(apikeys|exceptions|open_leaks|sealed)(=|<=|<)(\d+)$`)

// requirement reads --require. It holds by itself if there is none.
func requirement(text string) (func(reportDoc) error, error) {
	if text == "" {
		return func(reportDoc) error { return nil }, nil
	}
	m := requirementForm.FindStringSubmatch(strings.ReplaceAll(text, " ", ""))
	if m == nil {
		return nil, wrongUsage(fmt.Sprintf("--require %q is no condition", text), "write it as apikeys=0")
	}
	limit, err := strconv.ParseInt(m[3], 10, 64)
	if err != nil {
		return nil, wrongUsage(fmt.Sprintf("--require %q: the number is too large", text), "")
	}
	return func(d reportDoc) error {
		n := map[string]int64{"apikeys": d.Summary.Accepted, "exceptions": d.Summary.Exceptions, "open_leaks": d.Summary.OpenLeaks, "sealed": d.Summary.Sealed}[m[1]]
		if map[string]bool{"=": n == limit, "<=": n <= limit, "<": n < limit}[m[2]] {
			return nil
		}
		return &failure{exit: exitUnmet, code: "condition_not_met", message: fmt.Sprintf("%s is not met: %s is %d", text, m[1], n), fix: "the report lists them"}
	}, nil
}

// Run writes a report.
func (c *reportMakeCmd) Run(ctx context.Context, t *terminal) error {
	met, err := requirement(c.Require)
	if err != nil {
		return err
	}
	format := c.Format
	if format == "" {
		format = "html"
		if t.JSON && c.Out == "" {
			format = "json"
		}
	}
	var d reportDoc
	if err := c.connect().get(ctx, "/report", parameters("format", format, "as_of", c.AsOf), &d); err != nil {
		return err
	}
	if c.Out == "" {
		if _, err := io.WriteString(t.Out, d.Document); err != nil {
			return err
		}
		return met(d)
	}
	for _, file := range []struct {
		path string
		text string
	}{{c.Out, d.Document}, {c.Out + ".jws", d.Statement + "\n"}, {c.Out + ".jwks", string(d.Keys) + "\n"}} {
		if err := os.WriteFile(file.path, []byte(file.text), 0o600); err != nil {
			return failed("not_written", "the file "+file.path+" cannot be written: "+fileCause(err), "choose another with --out", err)
		}
	}
	if t.JSON {
		if err := t.document(map[string]any{"file": c.Out, "statement": c.Out + ".jws", "keys": c.Out + ".jwks", "format": d.Format, "as_of": d.AsOf, "summary": d.Summary}); err != nil {
			return err
		}
	}
	t.done("%s, as of %s: %s accepted, %s refused here, %s known revoked at the API", c.Out, day(d.AsOf.Truncate(time.Minute)), count(d.Summary.Accepted, "apikey"), thousands(d.Summary.Refused), thousands(d.Summary.Revoked))
	t.say("Keep %s.jws beside it; `offkey report verify %s` checks both.", c.Out, c.Out)
	return met(d)
}

type reportVerifyCmd struct {
	File      string `arg:"" type:"path" help:"The report."`
	Statement string `type:"path" placeholder:"FILE" help:"Its signature. Default FILE.jws."`
	JWKS      string `name:"jwks" type:"path" placeholder:"FILE" help:"The issuer's keys, as its /jwks had them then. Default FILE.jwks; for evidence take a copy that was kept elsewhere."`
}

func (reportVerifyCmd) Help() string {
	return `Examples:
  offkey report verify report.html
  offkey report verify report.html --jwks keys-of-2027.jwks

Nobody is asked. That the keys are the issuer's is for you to know: keep its /jwks where you keep evidence.`
}

// maxReport bounds a report that is checked, in bytes.
const maxReport = 1 << 30

// Run verifies.
func (c *reportVerifyCmd) Run(_ context.Context, t *terminal) error {
	statement, jwks := c.Statement, c.JWKS
	if statement == "" {
		statement = c.File + ".jws"
	}
	if jwks == "" {
		jwks = c.File + ".jwks"
	}
	sum, err := fileSum(c.File)
	if err != nil {
		return err
	}
	signed, err := readSmall(statement)
	if err != nil {
		return err
	}
	keys, err := readSmall(jwks)
	if err != nil {
		return err
	}
	claims, kid, err := verifyStatement(strings.TrimSpace(string(signed)), keys)
	if err != nil {
		return &failure{exit: exitUnmet, code: "not_verified", message: "the signature does not hold: " + err.Error(), fix: "check that " + jwks + " has the issuer's keys of then", err: err}
	}
	if claims.SHA256 != sum {
		return &failure{exit: exitUnmet, code: "not_verified", message: c.File + " is not the file that was signed: its SHA-256 is " + sum + ", signed was " + claims.SHA256, fix: "take the file from where it was kept"}
	}
	at, asOf := time.Unix(claims.IssuedAt, 0).UTC(), time.Unix(claims.AsOf, 0).UTC()
	if t.JSON {
		return t.document(map[string]any{"ok": true, "issuer": claims.Issuer, "kid": kid, "made": at, "as_of": asOf, "sha256": sum, "apikeys_accepted": claims.Accepted, "audit_head": claims.Audit})
	}
	t.done("signed by %s with key %s on %s", claims.Issuer, kid, at.Format("2006-01-02 15:04 UTC"))
	return writePairs(t.Out, [][2]string{
		{"issuer", claims.Issuer}, {"made", at.Format("2006-01-02 15:04 UTC")}, {"as of", asOf.Format("2006-01-02 15:04 UTC")},
		{"apikeys accepted", thousands(claims.Accepted)}, {"audit head", claims.Audit}, {"sha-256", sum},
	})
}

// reportClaims are what is signed about a report.
type reportClaims struct {
	Issuer   string `json:"iss"`
	IssuedAt int64  `json:"iat"`
	AsOf     int64  `json:"as_of"`
	SHA256   string `json:"sha256"`
	Format   string `json:"format"`
	Accepted int64  `json:"apikeys_accepted"`
	Audit    string `json:"audit_head"`
}

// typReport is the type of what is signed about a report: a token of another
// type, by the same key, is no statement.
const typReport = "offkey-report+jwt"

func verifyStatement(raw string, jwks []byte) (c reportClaims, kid string, err error) {
	set, err := jose.ParseKeySet(jwks)
	if err != nil {
		return c, "", err
	}
	u, err := jose.Parse(raw, jose.ES256, jose.EdDSA, jose.RS256, jose.PS256)
	if err != nil {
		return c, "", err
	}
	if u.Header().Type != typReport {
		return c, "", errors.New("it is of another type")
	}
	claims, err := u.Verify(set.Keys...)
	if err != nil {
		return c, "", err
	}
	return c, u.Header().KeyID, jose.DecodeClaims(claims, &c)
}

func fileSum(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", wrongUsage("the file "+path+" cannot be read: "+fileCause(err), "check the path")
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(file, maxReport)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// readSmall reads a file that has a few thousand bytes.
func readSmall(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, wrongUsage("the file "+path+" cannot be read: "+fileCause(err), "it was written beside the report; name it with --statement or --jwks")
	}
	defer file.Close()
	return readUpTo(file, path, jose.MaxKeySetSize)
}
