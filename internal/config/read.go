package config

import (
	"encoding"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Problem is one thing wrong with a configuration.
type Problem struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Setting string `json:"setting,omitempty"` // "gateway.upstreams.api.url"
	Message string `json:"message"`           // what is wrong
	Fix     string `json:"fix,omitempty"`     // what to write instead
}

func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	if p.Fix != "" {
		b.WriteString("; " + p.Fix)
	}
	return b.String()
}

// Problems are all that is wrong with a configuration, in the order of the
// file.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Loaded is a configuration with what is known about its making.
type Loaded struct {
	Config
	File    string            // "" when there was none
	Origins map[string]string // setting -> "offkey.yaml:12", "OFFKEY_ISSUER"; absent: default
	lines   map[string]int
}

// maxFile bounds a configuration file and each file it includes, in bytes.
const maxFile = 4 << 20

// Load reads file, applies the environment and checks the outcome. environ has
// the form of os.Environ. The error is Problems when the contents are wrong.
func Load(file string, environ []string) (*Loaded, error) {
	raw, err := readBounded(file)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return Parse(file, raw, environ)
}

// Parse is Load for contents that are at hand; file names them in errors, and
// paths inside are relative to its folder.
func Parse(file string, raw []byte, environ []string) (*Loaded, error) {
	l := &Loaded{Config: Default(), File: file, Origins: map[string]string{}, lines: map[string]int{}}
	r := &reader{file: file, folder: filepath.Dir(file), env: envMap(environ), loaded: l}
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, Problems{syntaxProblem(file, err)}
	}
	root := reflect.ValueOf(&l.Config).Elem()
	if len(doc.Content) > 0 {
		r.read(doc.Content[0], root, "", "")
	}
	r.applyEnv(root, "")
	if len(r.problems) == 0 {
		r.problems = append(r.problems, l.check()...)
	}
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	return l, nil
}

// reader walks the file and the struct together.
type reader struct {
	file, folder string
	env          map[string]string
	loaded       *Loaded
	problems     Problems
	aliases      int
}

func (r *reader) problem(n *yaml.Node, setting, message, fix string) {
	r.problems = append(r.problems, Problem{File: r.file, Line: n.Line, Setting: setting, Message: message, Fix: fix})
}

// read sets dst from node. enum lists the values allowed, separated by commas.
func (r *reader) read(n *yaml.Node, dst reflect.Value, setting, enum string) {
	if n.Kind == yaml.AliasNode {
		if r.aliases++; r.aliases > 1000 {
			r.problem(n, setting, "too many YAML aliases", "write the values out")
			return
		}
		n = n.Alias
	}
	r.note(n, setting)
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // a section left empty keeps its defaults
	}
	if whole, ok := dst.Addr().Interface().(yaml.Unmarshaler); ok && n.Kind != yaml.ScalarNode {
		if err := whole.UnmarshalYAML(n); err != nil {
			r.problem(n, setting, setting+" "+err.Error(), "")
		}
		return
	}
	if _, ok := dst.Addr().Interface().(encoding.TextUnmarshaler); ok {
		r.readScalar(n, dst, setting, enum)
		return
	}
	switch dst.Kind() {
	case reflect.Struct:
		r.readStruct(n, dst, setting)
	case reflect.Map:
		r.readMap(n, dst, setting)
	case reflect.Slice:
		r.readSlice(n, dst, setting)
	default:
		r.readScalar(n, dst, setting, enum)
	}
}

func (r *reader) note(n *yaml.Node, setting string) {
	if setting != "" {
		r.loaded.Origins[setting] = fmt.Sprintf("%s:%d", r.file, n.Line)
		r.loaded.lines[setting] = n.Line
	}
}

func (r *reader) readStruct(n *yaml.Node, dst reflect.Value, setting string) {
	if n.Kind != yaml.MappingNode {
		r.problem(n, setting, orTop(setting)+" is a section", "write its settings below it, indented")
		return
	}
	fields := fieldsOf(dst.Type())
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		path := join(setting, name.Value)
		if line, twice := seen[name.Value]; twice {
			r.problem(name, path, fmt.Sprintf("%s is set twice, first in line %d", path, line), "remove one of them")
			continue
		}
		seen[name.Value] = name.Line
		f, ok := fields[name.Value]
		if !ok {
			r.problem(name, path, "unknown setting "+path, suggest(name.Value, setting, dst.Type()))
			continue
		}
		r.read(value, dst.FieldByIndex(f.Index), path, f.Tag.Get("enum"))
	}
}

func (r *reader) readMap(n *yaml.Node, dst reflect.Value, setting string) {
	if n.Kind != yaml.MappingNode {
		r.problem(n, setting, setting+" is a map from names", "write `name: …` below it, indented")
		return
	}
	dst.Set(reflect.MakeMap(dst.Type()))
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		path := join(setting, name.Value)
		if dst.MapIndex(reflect.ValueOf(name.Value)).IsValid() {
			r.problem(name, path, path+" is set twice", "remove one of them")
			continue
		}
		element := reflect.New(dst.Type().Elem()).Elem()
		r.read(value, element, path, "")
		dst.SetMapIndex(reflect.ValueOf(name.Value), element)
	}
}

func (r *reader) readSlice(n *yaml.Node, dst reflect.Value, setting string) {
	if n.Kind != yaml.SequenceNode {
		r.problem(n, setting, setting+" is a list", "write `["+n.Value+"]`, or one `- …` a line")
		return
	}
	out := reflect.MakeSlice(dst.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		r.read(item, out.Index(i), fmt.Sprintf("%s[%d]", setting, i), "")
	}
	dst.Set(out)
}

func (r *reader) readScalar(n *yaml.Node, dst reflect.Value, setting, enum string) {
	if n.Kind != yaml.ScalarNode {
		r.problem(n, setting, setting+" is a single value, not a list or section", "")
		return
	}
	value, err := r.expand(n.Value)
	if err == nil {
		err = setScalar(dst, value, enum)
	}
	if err != nil {
		r.problem(n, setting, setting+": "+err.Error(), "")
	}
}

// setScalar parses value into dst. Its errors never repeat a value that was
// read for a secret.
func setScalar(dst reflect.Value, value, enum string) error {
	if enum != "" && value != "" {
		allowed := strings.Split(enum, ",")
		if !containsString(allowed, value) {
			return fmt.Errorf("%q is not one of %s", value, strings.Join(allowed, ", "))
		}
	}
	if u, ok := dst.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(value))
	}
	switch dst.Kind() {
	case reflect.String:
		dst.SetString(value)
	case reflect.Bool:
		b, err := strconv.ParseBool(value)
		if err != nil || len(value) == 1 {
			return fmt.Errorf("%q is not true or false", value)
		}
		dst.SetBool(b)
	case reflect.Int:
		i, err := strconv.Atoi(value)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", value)
		}
		dst.SetInt(int64(i))
	default:
		return fmt.Errorf("cannot be set from %s", dst.Type())
	}
	return nil
}

// expand replaces ${VAR} by the environment and ${file:PATH} by a file's
// contents without the final newline. `$$` is a dollar sign.
func (r *reader) expand(s string) (string, error) {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 || i+1 == len(s) {
			b.WriteString(s)
			return b.String(), nil
		}
		b.WriteString(s[:i])
		switch s[i+1] {
		case '$':
			b.WriteByte('$')
			s = s[i+2:]
		case '{':
			name, rest, ok := strings.Cut(s[i+2:], "}")
			if !ok {
				return "", errors.New("${ without }")
			}
			value, err := r.lookup(name)
			if err != nil {
				return "", err
			}
			b.WriteString(value)
			s = rest
		default:
			b.WriteByte('$')
			s = s[i+1:]
		}
	}
}

func (r *reader) lookup(name string) (string, error) {
	if path, ok := strings.CutPrefix(name, "file:"); ok {
		if !filepath.IsAbs(path) {
			path = filepath.Join(r.folder, path)
		}
		raw, err := readBounded(path)
		if err != nil {
			return "", err
		}
		return strings.TrimRight(string(raw), "\r\n"), nil
	}
	value, ok := r.env[name]
	if !ok {
		return "", fmt.Errorf("environment variable %s is not set", name)
	}
	return value, nil
}

// applyEnv sets every plain setting that has an OFFKEY_* variable: tokens.
// access.ttl is OFFKEY_TOKENS_ACCESS_TTL. Lists take values separated by
// commas; lists of sections and maps have no variable.
func (r *reader) applyEnv(dst reflect.Value, setting string) {
	for _, f := range reflect.VisibleFields(dst.Type()) {
		name := f.Tag.Get("yaml")
		if name == "" {
			continue
		}
		path, field := join(setting, name), dst.FieldByIndex(f.Index)
		if isSection(field) {
			r.applyEnv(field, path)
			continue
		}
		variable := envName(path)
		value, ok := r.env[variable]
		if !ok {
			continue
		}
		if err := setFromEnv(field, value, f.Tag.Get("enum")); err != nil {
			r.problems = append(r.problems, Problem{Setting: path, Message: fmt.Sprintf("%s: %v", variable, err)})
			continue
		}
		r.loaded.Origins[path] = variable
		delete(r.loaded.lines, path)
	}
}

func setFromEnv(field reflect.Value, value, enum string) error {
	if _, ok := field.Addr().Interface().(encoding.TextUnmarshaler); ok || field.Kind() != reflect.Slice {
		if field.Kind() == reflect.Map {
			return errors.New("this setting can only be set in the file")
		}
		return setScalar(field, value, enum)
	}
	parts := strings.Split(value, ",")
	out := reflect.MakeSlice(field.Type(), len(parts), len(parts))
	for i, p := range parts {
		if err := setScalar(out.Index(i), strings.TrimSpace(p), ""); err != nil {
			return err
		}
	}
	field.Set(out)
	return nil
}

func isSection(v reflect.Value) bool {
	_, text := v.Addr().Interface().(encoding.TextUnmarshaler)
	return v.Kind() == reflect.Struct && !text
}

func envName(setting string) string {
	return "OFFKEY_" + strings.ToUpper(strings.ReplaceAll(setting, ".", "_"))
}

func envMap(environ []string) map[string]string {
	m := make(map[string]string, len(environ))
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok {
			m[name] = value
		}
	}
	return m
}

func fieldsOf(t reflect.Type) map[string]reflect.StructField {
	m := map[string]reflect.StructField{}
	for _, f := range reflect.VisibleFields(t) {
		if name := f.Tag.Get("yaml"); name != "" {
			m[name] = f
		}
	}
	return m
}

func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s is larger than %d MiB", path, maxFile>>20)
	}
	return os.ReadFile(path)
}

// syntaxProblem turns the YAML library's error into a Problem with its line.
func syntaxProblem(file string, err error) Problem {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	p := Problem{File: file, Message: "not valid YAML: " + message}
	if rest, ok := strings.CutPrefix(message, "line "); ok {
		number, text, _ := strings.Cut(rest, ": ")
		if line, err := strconv.Atoi(number); err == nil {
			p.Line, p.Message = line, "not valid YAML: "+text
		}
	}
	return p
}

func join(setting, name string) string {
	if setting == "" {
		return name
	}
	return setting + "." + name
}

func orTop(setting string) string {
	if setting == "" {
		return "the file"
	}
	return setting
}

func containsString(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// New checks a configuration that was made without a file, from flags.
func New(c Config, environ []string) (*Loaded, error) {
	l := &Loaded{Config: c, Origins: map[string]string{}, lines: map[string]int{}}
	for _, change := range l.Diff(&Loaded{Config: Default()}) {
		l.Origins[change.Setting] = "flags"
	}
	r := &reader{env: envMap(environ), loaded: l}
	r.applyEnv(reflect.ValueOf(&l.Config).Elem(), "")
	if len(r.problems) == 0 {
		r.problems = append(r.problems, l.check()...)
	}
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	return l, nil
}
