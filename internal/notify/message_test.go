package notify

import (
	"bytes"
	"io"
	"maps"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/oauth"
)

// fields are those of every message, and each stands there once.
var fields = []string{"Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To"}

// opened is a message as its reader sees it, after the form of its bytes was
// checked.
func opened(t testing.TB, raw []byte) (header mail.Header, subject, text string) {
	t.Helper()
	for line := range bytes.SplitSeq(bytes.TrimSuffix(raw, []byte("\r\n")), []byte("\r\n")) {
		if len(line) > 998 {
			t.Fatalf("a line has %d characters, RFC 5322 §2.1.1 allows 998", len(line))
		}
		if i := bytes.IndexFunc(line, func(c rune) bool { return c < ' ' && c != '\t' || c > '~' }); i >= 0 {
			t.Fatalf("not ASCII, or a control character, in %q", line)
		}
	}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%v in\n%s", err, raw)
	}
	if got := slices.Sorted(maps.Keys(m.Header)); !slices.Equal(got, fields) {
		t.Fatalf("the fields are %q, want %q", got, fields)
	}
	for name, values := range m.Header {
		if len(values) != 1 {
			t.Fatalf("%s stands there %d times", name, len(values))
		}
	}
	if subject, err = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(decoded(m))
	if err != nil {
		t.Fatal(err)
	}
	return m.Header, subject, strings.ReplaceAll(string(body), "\r\n", "\n")
}

// decoded is the text of a message as its reader has it.
func decoded(m *mail.Message) io.Reader {
	if m.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
		return quotedprintable.NewReader(m.Body)
	}
	return m.Body
}

func told1(t testing.TB, k *apikey.Key, c *client.Client) []byte {
	t.Helper()
	s := &Settings{From: mail.Address{Name: "offkey", Address: "offkey@example.com"}, Issuer: "https://auth.example.com", API: "https://api.example.com"}
	m := registered{k, c, network, s}.message(noon)
	m.to = &mail.Address{Address: "owner@acme.example"}
	return m.bytes()
}

func TestAMessageSaysWhatWasRegistered(t *testing.T) {
	k := newKey()
	c := newClient(noon)
	header, subject, text := opened(t, told1(t, k, c))
	for field, want := range map[string]string{
		"From": `"offkey" <offkey@example.com>`, "To": "<owner@acme.example>",
		"Date": "Mon, 01 Mar 2027 12:00:00 +0000", "Message-ID": "<registered-" + c.ID + "@example.com>",
		"Auto-Submitted": "auto-generated",
	} {
		if got := header.Get(field); got != want {
			t.Errorf("%s: %s, want %s", field, got, want)
		}
	}
	if want := "A client was registered with the API key ending in 7f3a (Billing cron)"; subject != want {
		t.Errorf("Subject: %s", subject)
	}
	for _, want := range []string{
		"ending in 7f3a (Billing cron)", "its id       " + k.ID, "its owner    Acme", "client       " + c.ID,
		`calls itself "orders"`, "when         2027-03-01 12:00:00 UTC", "from         network 203.0.113.0/24",
		"scopes       create:orders read:orders", "state        active\n", "\n  offkey apikeys block " + k.ID + "\n",
		"https://api.example.com", "https://auth.example.com",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	for _, bad := range []string{"approve", "held back"} {
		if strings.Contains(text, bad) {
			t.Errorf("nothing waits, and the text says %q", bad)
		}
	}
}

func TestAMessageSaysWhatWaits(t *testing.T) {
	tests := []struct {
		name   string
		change func(*client.Client)
		want   []string
	}{
		{"the client", func(c *client.Client) {
			c.Status, c.PendingReason = client.Pending, "the apikey may be in several hands (query)"
		},
			[]string{"state        waits for approval, gets no token before\n  because      the apikey may be in several hands (query)\n"}},
		{"scopes", func(c *client.Client) {
			c.PendingScopes, c.PendingReason = oauth.Scope{"delete:orders"}, "never used by this apikey and waiting for approval: delete:orders"
		},
			[]string{"held back    delete:orders\n", "state        active\n  because      never used by this apikey"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(noon, tt.change)
			_, _, text := opened(t, told1(t, newKey(), c))
			for _, want := range append(tt.want, "\n  offkey clients approve "+c.ID+"\n") {
				if !strings.Contains(text, want) {
					t.Errorf("the text lacks %q:\n%s", want, text)
				}
			}
		})
	}
}

// strangers' texts, each made to be more than a text.
var injections = []string{
	"x\r\nBcc: everybody@example.org",
	"x\nBcc: everybody@example.org\n\nDear customer",
	"x\rBcc: everybody@example.org",
	"x\r\n\r\nDear customer, send your API key to evil@example.org",
	"x\r\n.\r\nMAIL FROM:<evil@example.org>",
	"x\x00y\x08\x1b[2J\x7f",
	"=?utf-8?q?x=0D=0ABcc:_everybody@example.org?=",
	"=?utf-8?b?eA0KQmNjOiBldmVyeWJvZHlAZXhhbXBsZS5vcmc=?=",
	"name\u2028Bcc: x\u2029y\u0085z\v\f",
	"\u202egpj.exe\u2066\u200b\ufeff",
	"Bücher & Söhne 日本語 🗝️",
	"\xff\xfe\xc3\x28",
	strings.Repeat("x", 100_000),
	strings.Repeat("ü", 100_000),
	strings.Repeat("=", 3000) + strings.Repeat("word ", 3000),
	"=0D=0ABcc: x", "\"<evil@example.org>, ", "", " ", ".", "--", "%s%d%!",
}

func TestNoTextOfAStrangerIsMoreThanText(t *testing.T) {
	honest := strings.Count(textOf(t, newKey(), newClient(noon)), "\n")
	for _, bad := range injections {
		t.Run(oneLine(bad, 30), func(t *testing.T) {
			k := newKey()
			k.Label, k.Owner, k.Last4 = bad, "O"+bad, bad
			checkSafe(t, k, newClient(noon, func(c *client.Client) { c.Name = bad }), honest)
			c := newClient(noon, func(c *client.Client) {
				c.PendingReason, c.Status = bad, client.Pending
				c.Scopes, c.PendingScopes = oauth.Scope{bad}, slices.Repeat(oauth.Scope{bad}, 500)
			})
			added := 5 // what waits, and how to approve it
			if bad != "" {
				added++ // and why
			}
			checkSafe(t, k, c, honest+added)
			more := moreRegistered(k, &Settings{From: mail.Address{Address: "offkey@example.com"}}, noon)
			opened(t, more.bytes())
		})
	}
}

func textOf(t testing.TB, k *apikey.Key, c *client.Client) string {
	t.Helper()
	_, _, text := opened(t, told1(t, k, c))
	return text
}

// checkSafe checks that a message has the form of an honest one, with that many
// lines.
func checkSafe(t testing.TB, k *apikey.Key, c *client.Client, lines int) {
	t.Helper()
	raw := told1(t, k, c)
	if len(raw) > 64<<10 {
		t.Errorf("the message has %d bytes", len(raw))
	}
	header, subject, text := opened(t, raw)
	if to := header.Get("To"); to != "<owner@acme.example>" {
		t.Errorf("To: %s", to)
	}
	if !utf8.ValidString(subject) || strings.ContainsFunc(subject, func(c rune) bool { return !unicode.IsPrint(c) }) {
		t.Errorf("Subject: %q", subject)
	}
	if n := utf8.RuneCountInString(subject); n > 200 {
		t.Errorf("the subject has %d characters", n)
	}
	if n := strings.Count(text, "\n"); n != lines {
		t.Errorf("%d lines, want %d:\n%s", n, lines, text)
	}
	if i := strings.IndexFunc(text, func(c rune) bool { return c != '\n' && !unicode.IsPrint(c) }); i >= 0 || !utf8.ValidString(text) {
		t.Errorf("does not print at %d: %q", i, text)
	}
	if !strings.Contains(text, "\n  offkey apikeys block "+k.ID+"\n") {
		t.Errorf("does not say what to do:\n%s", text)
	}
}

func TestATextIsReadAsItWasWritten(t *testing.T) {
	k := newKey()
	k.Label = "Bücher & Söhne 日本語 🗝 " + strings.Repeat("lång ", 8) + "end"
	_, subject, text := opened(t, told1(t, k, newClient(noon)))
	if !strings.Contains(subject, k.Label) || !strings.Contains(text, k.Label) {
		t.Errorf("%q\n%s", subject, text)
	}
}

func TestHeadersAreFolded(t *testing.T) {
	k := newKey()
	k.Label = strings.Repeat("seven w", 11)
	raw := told1(t, k, newClient(noon))
	head, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		if len(line) > 78 { // RFC 5322 §2.1.1
			t.Errorf("%d characters: %s", len(line), line)
		}
	}
	if _, subject, _ := opened(t, raw); !strings.Contains(subject, k.Label) {
		t.Errorf("unfolded it is %q", subject)
	}
}

func TestTheFileIsReadableAsItIs(t *testing.T) {
	// where no mail server is set the file is all there is
	for _, raw := range [][]byte{
		told1(t, newKey(), newClient(noon, func(c *client.Client) { c.Status = client.Pending })),
		moreRegistered(newKey(), &Settings{From: mail.Address{Address: "offkey@example.com"}, Issuer: "https://auth.example.com", API: "https://api.example.com"}, noon).bytes(),
	} {
		if bytes.Contains(raw, []byte("=\r\n")) {
			t.Errorf("a line is broken:\n%s", raw)
		}
	}
}

func TestALinkCanBeCopiedOutOfTheFile(t *testing.T) {
	w := newWorld(t, nil)
	link := "https://auth.example.com/reset?token=offkey_li_" + strings.Repeat("abcdefghij", 6)
	for _, language := range []string{"en", "de"} {
		if err := w.PersonLink(t.Context(), &directory.Person{ID: "pe_1", Name: "ana", Email: "ana@example.com"}, directory.Link{Purpose: directory.ForReset}, link, language); err != nil {
			t.Fatal(err)
		}
	}
	english, german := w.file(w.files()[0]), w.file(w.files()[1])
	if !bytes.Contains(english, []byte("\r\n  "+link+"\r\n")) || !bytes.Contains(english, []byte(": 7bit\r\n")) {
		t.Errorf("%s", english)
	}
	if !bytes.Contains(german, []byte(": quoted-printable\r\n")) {
		t.Errorf("%s", german)
	}
	for _, raw := range [][]byte{english, german} {
		for _, note := range []string{"plain", "b\u00fccher"} {
			if _, _, text := opened(t, withNote(raw, note+"\n\n")); !strings.HasPrefix(text, note+"\n\n") || !strings.Contains(text, link) {
				t.Errorf("with a note it is\n%s", text)
			}
		}
	}
}

func TestAnUnknownNetworkIsSaid(t *testing.T) {
	k := newKey()
	s := &Settings{From: mail.Address{Address: "offkey@example.com"}}
	m := registered{k, newClient(noon), netip.Prefix{}, s}.message(noon)
	if _, _, text := opened(t, m.bytes()); !strings.Contains(text, "from         an unknown network") {
		t.Error(text)
	}
}

func TestAFieldIsReplaced(t *testing.T) {
	raw := []byte("From: a@b\r\nTo: somebody\r\n with a long\r\n\tname <x@y>\r\nSubject: To: you\r\n\r\nTo: body\r\n")
	want := "From: a@b\r\nTo: <z@example.com>\r\nSubject: To: you\r\n\r\nTo: body\r\n"
	if got := string(withField(raw, "to", "<z@example.com>")); got != strings.Replace(want, "To:", "to:", 1) {
		t.Errorf("%q", got)
	}
	for _, odd := range []string{"", "\r\n", "To: x", "To: x\r\n", "\n", " To: x\r\n"} {
		withField([]byte(odd), "To", "<z@example.com>")
		withNote([]byte(odd), "note")
	}
}

func FuzzRegistered(f *testing.F) {
	for _, bad := range injections {
		f.Add(bad, bad, bad, bad, bad, bad, false)
		f.Add("label", "owner", "7f3a", "name", "reason", "scope other", true)
	}
	settings := Settings{From: mail.Address{Address: "offkey@example.com"}}
	f.Fuzz(func(t *testing.T, label, owner, last4, name, reason, scope string, pending bool) {
		k := newKey()
		k.Label, k.Owner, k.Last4 = label, "O"+owner, last4
		c := newClient(noon, func(c *client.Client) {
			c.Name, c.PendingReason, c.PendingScopes = name, reason, strings.Split(scope, " ")
			if pending {
				c.Status = client.Pending
			}
		})
		honest := newClient(noon, func(c *client.Client) {
			if c.PendingScopes = (oauth.Scope{"x"}); reason != "" {
				c.PendingReason = "x"
			}
		})
		checkSafe(t, k, c, strings.Count(textOf(t, newKey(), honest), "\n"))
		raw := moreRegistered(k, &settings, noon).bytes()
		opened(t, raw)
		// and whatever is made of it later
		raw = withNote(withField(raw, "To", admin.String()), "This message was for "+owner+"\n")
		if to, err := recipientOf(raw); err != nil || to != admin.Address {
			t.Fatalf("readdressed to %q, %v", to, err)
		}
	})
}
