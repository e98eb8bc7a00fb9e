package importfile

import (
	"bufio"
	"bytes"
	"regexp"
	"slices"
	"strings"
)

// The marks by which formats are told. Each is of one format alone: what is not
// sure is asked for.
var marks = []struct {
	format string
	mark   *regexp.Regexp
}{
	{Kong, regexp.MustCompile(`_format_version|keyauth_credentials|kind:\s*"?(KongConsumer|KongCredential)|konghq\.com/credential|"KongConsumer"`)},
	{APISIX, regexp.MustCompile(`(?s)"?consumers"?:.*"?key-auth"?:|/apisix/consumers/|/consumers/[^"]+/credentials/`)},
	{Tyk, regexp.MustCompile(`"(access_rights|apply_policies|quota_renewal_rate|key_hash)"\s*:`)},
	{Envoy, regexp.MustCompile(`api_key_auth|ApiKeyAuth|key_sources`)},
	{AWS, regexp.MustCompile(`(?s)^\s*\{\s*"items?"\s*:.*"(stageKeys|createdDate|enabled)"\s*:`)},
	{Unkey, regexp.MustCompile(`"(keyId|migrationId)"\s*:|"variant"\s*:\s*"sha256`)},
	{Nginx, regexp.MustCompile(`(?m)^\s*map\s+["']?\$\{?(http|arg|cookie)_\w+\}?["']?\s+["']?\$\w+["']?\s*\{`)},
}

// isJSONL reports whether each of the first two lines is an object by itself. A
// document that is one long line stands alone.
func isJSONL(start, first []byte) bool {
	_, rest, more := bytes.Cut(bytes.TrimSpace(start), []byte("\n"))
	return more && bytes.HasPrefix(first, []byte("{")) && bytes.HasSuffix(first, []byte("}")) && bytes.HasPrefix(bytes.TrimSpace(rest), []byte("{"))
}

// htpasswdLine is a name with a hash that says what it is.
var htpasswdLine = regexp.MustCompile(`^[^:\s{"]{1,255}:(\$2[aby]\$|\$apr1\$|\$argon2|\$5\$|\$6\$|\{S?SHA)`)

// detect looks at the beginning. A document is told by a mark; of lists an
// object in each line is JSONL, a heading with a usual name is CSV, anything
// else is an apikey on each line.
func detect(in *bufio.Reader) string {
	start, _ := in.Peek(maxLine)
	text := bytes.TrimSpace(start)
	for bytes.HasPrefix(text, []byte("#")) { // a comment says nothing
		_, rest, _ := bytes.Cut(text, []byte("\n"))
		text = bytes.TrimSpace(rest)
	}
	first, _, _ := bytes.Cut(text, []byte("\n"))
	first = bytes.TrimSpace(first)
	if isJSONL(start, first) {
		return JSONL
	}
	for _, m := range marks {
		if m.mark.Match(start) {
			return m.format
		}
	}
	if bytes.HasPrefix(first, []byte("{")) {
		return JSONL
	}
	if htpasswdLine.Match(first) {
		return Htpasswd
	}
	for name := range strings.SplitSeq(string(first), ",") {
		name = strings.ToLower(strings.Trim(strings.TrimSpace(name), `"`))
		if slices.Contains(usualColumns["key"], name) || slices.Contains(usualColumns["hash"], name) {
			return CSV
		}
	}
	return Lines
}
