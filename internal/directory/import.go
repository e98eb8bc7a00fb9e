package directory

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/offkey/offkey/internal/secret"
)

// Bounds of a file of people.
const (
	longestImportLine = 64 << 10
	mostImportLines   = 1_000_000
)

// ImportLine is one person of a file that another program has written.
type ImportLine struct {
	Number   int // of the line
	Person   *Person
	Password PasswordHash
	TOTP     secret.Text
}

// ReadImport calls yield for every person of a file, or with what is wrong with
// the line. It is CSV with a heading, or JSONL: an object on each line, as
//
//	{"name":"ana","email":"ana@example.com","groups":["buyers"],"claims":{"given_name":"Ana"},"password_hash":"$2b$12$…","totp_secret":"JBSW…"}
//
// or as Keycloak exports its users. Nothing that is wrong repeats a hash. An
// error of yield ends it.
func ReadImport(r io.Reader, yield func(ImportLine, error) error) error {
	in := bufio.NewReaderSize(r, longestImportLine)
	if bom, _ := in.Peek(3); bytes.Equal(bom, []byte("\ufeff")) {
		_, _ = in.Discard(3)
	}
	start, _ := in.Peek(1)
	for len(start) > 0 && strings.ContainsRune(" \t\r\n", rune(start[0])) {
		_, _ = in.Discard(1)
		start, _ = in.Peek(1)
	}
	if len(start) > 0 && start[0] == '{' {
		return readImportJSONL(in, yield)
	}
	return readImportCSV(in, yield)
}

// importColumns are the names of a heading; further ones are claims.
var importColumns = []string{"name", "email", "email_verified", "groups", "enabled", "password_hash", "totp_secret"}

func readImportCSV(in *bufio.Reader, yield func(ImportLine, error) error) error {
	rows := csv.NewReader(in)
	rows.FieldsPerRecord = -1
	heading, err := rows.Read()
	if err != nil {
		return fmt.Errorf("the list has no heading: start it with a line such as name,email,groups,password_hash")
	}
	for i := range heading {
		heading[i] = strings.ToLower(strings.TrimSpace(heading[i]))
		if !slices.Contains(importColumns, heading[i]) && !slices.Contains(ClaimNames(), heading[i]) {
			return fmt.Errorf("the list has a column that is not known; the columns are %s, and standard claims such as given_name", strings.Join(importColumns, ", "))
		}
	}
	if !slices.Contains(heading, "name") {
		return errors.New("the list has no column name: start it with a line such as name,email,groups,password_hash")
	}
	for n := range mostImportLines {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var one ImportLine
		problem := error(nil)
		var noCSV *csv.ParseError
		switch {
		case errors.As(err, &noCSV):
			one.Number, problem = noCSV.Line, errors.New("it is no line of CSV")
		case err != nil:
			return err
		default:
			line, _ := rows.FieldPos(0)
			one, problem = importRow(line, heading, row)
		}
		if err := yield(one, problem); err != nil {
			return err
		}
		if n == mostImportLines-1 {
			return tooManyLines()
		}
	}
	return nil
}

func tooManyLines() error {
	return fmt.Errorf("the list has more than %d lines: import it in parts", mostImportLines)
}

func importRow(number int, heading, row []string) (ImportLine, error) {
	if len(row) != len(heading) {
		return ImportLine{Number: number}, fmt.Errorf("it has %d columns, the heading has %d", len(row), len(heading))
	}
	var o importObject
	for i, name := range heading {
		value := strings.TrimSpace(row[i])
		if value == "" {
			continue
		}
		var err error
		switch name {
		case "name":
			o.Name = value
		case "email":
			o.Email = value
		case "email_verified":
			o.EmailVerified, err = strconv.ParseBool(value)
		case "enabled":
			var enabled bool
			enabled, err = strconv.ParseBool(value)
			o.Enabled = &enabled
		case "groups":
			o.Groups = strings.FieldsFunc(value, func(c rune) bool { return c == ' ' || c == ';' || c == ',' })
		case "password_hash":
			o.PasswordHash = value
		case "totp_secret":
			o.TOTPSecret = value
		default:
			if o.Claims == nil {
				o.Claims = map[string]json.RawMessage{}
			}
			o.Claims[name] = claimOf(name, value)
		}
		if err != nil {
			return ImportLine{Number: number}, fmt.Errorf("%s is neither true nor false", name)
		}
	}
	return o.line(number)
}

// claimOf is a claim as it stands in a column: as JSON where its type is not
// text.
func claimOf(name, value string) json.RawMessage {
	if name == "address" || strings.HasSuffix(name, "_verified") || name == "updated_at" {
		return json.RawMessage(value)
	}
	return quoted(value)
}

// importObject is a line of JSONL: ours, or of an export of Keycloak.
type importObject struct {
	Name          string                     `json:"name"`
	Email         string                     `json:"email"`
	EmailVerified bool                       `json:"email_verified"`
	Groups        []string                   `json:"groups"`
	Enabled       *bool                      `json:"enabled"`
	Claims        map[string]json.RawMessage `json:"claims"`
	PasswordHash  string                     `json:"password_hash"`
	TOTPSecret    string                     `json:"totp_secret"`

	Username       string               `json:"username"`
	VerifiedThere  bool                 `json:"emailVerified"`
	FirstName      string               `json:"firstName"`
	LastName       string               `json:"lastName"`
	Credentials    []keycloakCredential `json:"credentials"`
	ServiceAccount string               `json:"serviceAccountClientId"`
}

func readImportJSONL(in *bufio.Reader, yield func(ImportLine, error) error) error {
	for number := 1; ; number++ {
		if number > mostImportLines {
			return tooManyLines()
		}
		raw, err := in.ReadSlice('\n')
		var one ImportLine
		problem := error(nil)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = in.ReadSlice('\n')
			}
			problem = fmt.Errorf("it has more than %d bytes", longestImportLine)
		case err != nil && !errors.Is(err, io.EOF):
			return err
		case len(bytes.TrimSpace(raw)) > 0:
			one, problem = importJSON(number, raw)
		}
		if problem != nil || one.Person != nil {
			one.Number = number
			if err := yield(one, problem); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
	}
}

func importJSON(number int, raw []byte) (ImportLine, error) {
	var o importObject
	if err := json.Unmarshal(raw, &o); err != nil {
		var wrongType *json.UnmarshalTypeError
		if errors.As(err, &wrongType) {
			return ImportLine{}, fmt.Errorf("its member %s has the wrong type", wrongType.Field)
		}
		return ImportLine{}, errors.New("it is no JSON object")
	}
	if err := o.fromKeycloak(); err != nil {
		return ImportLine{}, err
	}
	return o.line(number)
}

// line is the person of an object, checked.
func (o importObject) line(number int) (ImportLine, error) {
	p := &Person{
		Name: o.Name, Email: o.Email, EmailVerified: o.EmailVerified && o.Email != "", Groups: o.Groups, Claims: o.Claims,
		Status: Active, Source: SourceAPI,
	}
	one := ImportLine{Number: number, Person: p}
	if err := p.Check(); err != nil {
		return one, err
	}
	for _, name := range p.Groups {
		if err := CheckGroupName(name); err != nil {
			return one, err
		}
	}
	var err error
	if o.PasswordHash != "" {
		if one.Password, err = ParsePasswordHash(o.PasswordHash); err != nil {
			return one, fmt.Errorf("the password_hash is %w", err)
		}
	}
	if o.TOTPSecret != "" {
		if one.TOTP, err = ParseTOTPSecret(o.TOTPSecret); err != nil {
			return one, fmt.Errorf("the totp_secret: %w", err)
		}
	}
	switch {
	case o.Enabled != nil && !*o.Enabled:
		p.Status = Disabled
	case one.Password.IsZero():
		p.Status = Invited
	}
	return one, nil
}

// keycloakCredential is a password as Keycloak exports it: JSON texts in JSON.
type keycloakCredential struct {
	Type           string `json:"type"`
	SecretData     string `json:"secretData"`
	CredentialData string `json:"credentialData"`
}

// fromKeycloak takes over what an export of Keycloak calls otherwise.
func (o *importObject) fromKeycloak() error {
	if o.Username == "" {
		return nil
	}
	if o.ServiceAccount != "" {
		return errors.New("it is a service account: those are clients here, made with `offkey clients create`")
	}
	o.Name, o.EmailVerified = o.Username, o.VerifiedThere
	for i, path := range o.Groups { // "/eu/buyers"
		o.Groups[i] = path[strings.LastIndex(path, "/")+1:]
	}
	for claim, value := range map[string]string{"given_name": o.FirstName, "family_name": o.LastName} {
		if value == "" {
			continue
		}
		if o.Claims == nil {
			o.Claims = map[string]json.RawMessage{}
		}
		o.Claims[claim] = quoted(value)
	}
	for _, c := range o.Credentials {
		if c.Type != "password" {
			continue
		}
		hash, err := c.phc()
		if err != nil {
			return err
		}
		o.PasswordHash = hash
	}
	return nil
}

// phc is the hash in the form of its algorithm.
func (c keycloakCredential) phc() (string, error) {
	var secretData struct{ Value, Salt string }
	var data struct {
		Algorithm            string
		HashIterations       int
		AdditionalParameters map[string][]string
	}
	if json.Unmarshal([]byte(c.SecretData), &secretData) != nil || json.Unmarshal([]byte(c.CredentialData), &data) != nil {
		return "", errors.New("its password is not as Keycloak exports it")
	}
	plain := func(s string) string { return strings.TrimRight(s, "=") }
	switch data.Algorithm {
	case "pbkdf2-sha256", "pbkdf2-sha512":
		return fmt.Sprintf("$%s$i=%d$%s$%s", data.Algorithm, data.HashIterations, plain(secretData.Salt), plain(secretData.Value)), nil
	case "argon2":
		parameter := func(name string) string { return strings.Join(data.AdditionalParameters[name], "") }
		if parameter("version") != "1.3" {
			break
		}
		return fmt.Sprintf("$argon2%s$v=19$m=%s,t=%d,p=%s$%s$%s", parameter("type"), parameter("memory"), data.HashIterations, parameter("parallelism"),
			plain(secretData.Salt), plain(secretData.Value)), nil
	case "bcrypt": // of an extension: the whole hash, also in base64
		if raw, err := base64.StdEncoding.DecodeString(secretData.Value); err == nil && bytes.HasPrefix(raw, []byte("$2")) {
			return string(raw), nil
		}
		return secretData.Value, nil
	}
	return "", errors.New("its password has an algorithm that offkey cannot check: it takes pbkdf2-sha256, pbkdf2-sha512, argon2 and bcrypt")
}
