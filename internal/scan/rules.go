package scan

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/offkey/offkey/internal/secret"
)

// RuleFormats are the scanners that rules can be written for.
var RuleFormats = []string{"gitleaks", "trufflehog", "github"}

// pattern is the regular expression of what a detector finds, without what
// stands around it.
func (d Detector) pattern() string {
	if d.Issued {
		return fmt.Sprintf("%s[a-z0-9]{1,8}_[0-9A-Za-z]{%d}", secret.GeneratedPrefix, secret.GeneratedTail)
	}
	class, _ := d.Alphabet.about()
	count := fmt.Sprintf("{%d,%d}", d.Min, d.Max)
	if d.Min == d.Max {
		count = fmt.Sprintf("{%d}", d.Min)
	}
	return regexp.QuoteMeta(d.Prefix) + "[" + class + "]" + count
}

// id is the name of a rule.
func (d Detector) id() string {
	return "offkey-" + strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.TrimPrefix(d.Name, "offkey")), "-")
}

// Rules writes detectors as another scanner reads them.
func Rules(format string, detectors []Detector) (string, error) {
	var b strings.Builder
	switch format {
	case "gitleaks":
		b.WriteString("title = \"Credentials of the API behind offkey\"\n")
		for _, d := range detectors {
			fmt.Fprintf(&b, "\n[[rules]]\nid = %q\ndescription = %q\nregex = '''(?:^|[^0-9A-Za-z_-])(%s)(?:$|[^0-9A-Za-z_-])'''\nsecretGroup = 1\n",
				strings.TrimSuffix(d.id(), "-"), d.describe(), d.pattern())
			if d.Prefix != "" {
				fmt.Fprintf(&b, "keywords = [%q]\n", strings.ToLower(d.Prefix))
			} else {
				fmt.Fprintf(&b, "entropy = %.1f\n", d.minEntropy())
			}
		}
	case "trufflehog":
		b.WriteString("detectors:\n")
		for _, d := range detectors {
			keyword := d.Prefix
			if keyword == "" {
				keyword = "key" // it wants one near the match
			}
			fmt.Fprintf(&b, "  - name: %q\n    keywords: [%q]\n    regex:\n      credential: %s\n", strings.TrimSuffix(d.id(), "-"), keyword,
				yamlQuote(`(?:^|[^0-9A-Za-z_-])(`+d.pattern()+`)(?:$|[^0-9A-Za-z_-])`))
		}
	case "github":
		type custom struct {
			Name   string `json:"name"`
			Secret string `json:"secret_format"`
			Before string `json:"before_secret"`
			After  string `json:"after_secret"`
			Note   string `json:"note"`
		}
		all := make([]custom, 0, len(detectors))
		for _, d := range detectors {
			all = append(all, custom{d.Name, d.pattern(), `\A|[^0-9A-Za-z_-]`, `\z|[^0-9A-Za-z_-]`, d.describe()})
		}
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(all); err != nil {
			return "", err
		}
	default:
		return "", fmt.Errorf("there are no rules for %q: write %s", format, strings.Join(RuleFormats, ", "))
	}
	return b.String(), nil
}

func (d Detector) describe() string {
	if d.Issued {
		return "Secret made by offkey; the last six characters are the CRC-32 of the 43 before them"
	}
	return fmt.Sprintf("Apikey like %d of a list; something else looks like it %s", d.Keys, d.Collides)
}

// yamlQuote writes a text in single quotes.
func yamlQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
