package client

import (
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// dn is a distinguished name: its relative names from the outermost in, each
// a set of attributes in a fixed order, so that two can be compared.
type dn [][]attribute

type attribute struct {
	oid   string // dotted
	value string // as compared: without letter case, spaces squeezed (RFC 5280 §7.1)
	der   string // instead of value, for one that is no text
}

// attributeNames are those of RFC 4514 §3, and others that tools print.
var attributeNames = map[string]string{
	"CN": "2.5.4.3", "L": "2.5.4.7", "ST": "2.5.4.8", "O": "2.5.4.10", "OU": "2.5.4.11", "C": "2.5.4.6", "STREET": "2.5.4.9",
	"DC": "0.9.2342.19200300.100.1.25", "UID": "0.9.2342.19200300.100.1.1",
	"SERIALNUMBER": "2.5.4.5", "SN": "2.5.4.4", "SURNAME": "2.5.4.4", "GN": "2.5.4.42", "GIVENNAME": "2.5.4.42", "TITLE": "2.5.4.12",
	"POSTALCODE": "2.5.4.17", "BUSINESSCATEGORY": "2.5.4.15", "ORGANIZATIONIDENTIFIER": "2.5.4.97",
	"EMAILADDRESS": "1.2.840.113549.1.9.1", "E": "1.2.840.113549.1.9.1",
	"JURISDICTIONC": "1.3.6.1.4.1.311.60.2.1.3", "JURISDICTIONCOUNTRYNAME": "1.3.6.1.4.1.311.60.2.1.3",
}

// sameDN compares a name as RFC 4514 writes it with one as a certificate has it:
// attribute by attribute, and not as two texts, which have many spellings.
func sameDN(text string, raw []byte) bool {
	want, err := parseDN(text)
	if err != nil {
		return false
	}
	got, err := decodeDN(raw)
	return err == nil && len(want) > 0 && slices.EqualFunc(want, got, func(a, b []attribute) bool { return slices.Equal(a, b) })
}

// decodeDN reads a name in DER.
func decodeDN(raw []byte) (dn, error) {
	var seq []asn1.RawValue
	if rest, err := asn1.Unmarshal(raw, &seq); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("no distinguished name: %w", err)
	}
	var name dn
	for _, set := range seq {
		var rdn []attribute
		for rest := set.Bytes; len(rest) > 0; {
			var one struct {
				Type  asn1.ObjectIdentifier
				Value asn1.RawValue
			}
			var err error
			if rest, err = asn1.Unmarshal(rest, &one); err != nil {
				return nil, fmt.Errorf("no distinguished name: %w", err)
			}
			rdn = append(rdn, decodeAttribute(one.Type.String(), one.Value.FullBytes))
		}
		name = append(name, sorted(rdn))
	}
	return name, nil
}

// decodeAttribute reads a value in DER: as text if it is one.
func decodeAttribute(oid string, der []byte) attribute {
	var value any
	rest, err := asn1.Unmarshal(der, &value)
	if s, ok := value.(string); ok && err == nil && len(rest) == 0 && utf8.ValidString(s) {
		return attribute{oid: oid, value: fold(s)}
	}
	return attribute{oid: oid, der: string(der)}
}

// fold is what of a text counts where names are compared (RFC 5280 §7.1).
func fold(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), " ")) }

func sorted(rdn []attribute) []attribute {
	slices.SortFunc(rdn, func(a, b attribute) int {
		return strings.Compare(a.oid+"\x00"+a.value+a.der, b.oid+"\x00"+b.value+b.der)
	})
	return rdn
}

// maxDN bounds what is read, in bytes.
const maxDN = 4 << 10

// parseDN reads the string form of a name (RFC 4514 §3), whose innermost
// relative name stands first.
func parseDN(s string) (dn, error) {
	if len(s) > maxDN {
		return nil, fmt.Errorf("the distinguished name is longer than %d bytes", maxDN)
	}
	var name dn
	for rest := s; ; {
		var rdn []attribute
		for {
			a, after, err := parseAttribute(rest)
			if err != nil {
				return nil, fmt.Errorf("distinguished name %q: %w", s, err)
			}
			rdn = append(rdn, a)
			if rest = after; !strings.HasPrefix(rest, "+") {
				break
			}
			rest = rest[1:]
		}
		name = append(name, sorted(rdn))
		if rest == "" {
			slices.Reverse(name)
			return name, nil
		}
		rest = rest[1:] // the comma
	}
}

// parseAttribute reads `CN=value` up to the comma or plus behind it.
func parseAttribute(s string) (a attribute, rest string, err error) {
	name, after, found := strings.Cut(s, "=")
	if !found {
		return attribute{}, "", fmt.Errorf("%q is no attribute: write it as CN=edge,O=Acme", s)
	}
	if a.oid, err = attributeOID(strings.TrimSpace(name)); err != nil {
		return attribute{}, "", err
	}
	after = strings.TrimLeft(after, " ")
	if strings.HasPrefix(after, "#") {
		return parseHexValue(a.oid, after[1:])
	}
	value, rest, err := parseText(after)
	if err != nil {
		return attribute{}, "", err
	}
	a.value = fold(value)
	return a, rest, nil
}

func attributeOID(name string) (string, error) {
	if oid, known := attributeNames[strings.ToUpper(name)]; known {
		return oid, nil
	}
	for part := range strings.SplitSeq(strings.TrimPrefix(strings.ToUpper(name), "OID."), ".") {
		if n, err := strconv.ParseUint(part, 10, 31); err != nil || strconv.FormatUint(n, 10) != part {
			return "", fmt.Errorf("attribute type %q is not known: write its dotted number", name)
		}
	}
	return strings.TrimPrefix(strings.ToUpper(name), "OID."), nil
}

// parseHexValue reads `#0C0161`: a value in DER (RFC 4514 §2.4).
func parseHexValue(oid, s string) (a attribute, rest string, err error) {
	end := strings.IndexAny(s, ",+")
	if end < 0 {
		end = len(s)
	}
	der, err := hex.DecodeString(strings.TrimSpace(s[:end]))
	if err != nil || len(der) == 0 {
		return attribute{}, "", fmt.Errorf("value #%s is not hexadecimal", s[:end])
	}
	return decodeAttribute(oid, der), s[end:], nil
}

// parseText reads a value with its escapes (RFC 4514 §2.4, §3). Spaces around it
// count for nothing.
func parseText(s string) (value, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ',' || c == '+':
			return finishText(&b, s[i:])
		case c == '"' || c == ';' || c == '<' || c == '>' || c == 0:
			return "", "", fmt.Errorf("%q must be escaped with a backslash", c)
		case c != '\\':
			b.WriteByte(c)
		case i+1 >= len(s):
			return "", "", errors.New("a backslash at the end")
		case strings.IndexByte(` "#+,;<=>\`, s[i+1]) >= 0:
			i++
			b.WriteByte(s[i])
		default:
			if i+2 >= len(s) {
				return "", "", fmt.Errorf("%q is no escape", s[i:])
			}
			one, err := hex.DecodeString(s[i+1 : i+3])
			if err != nil {
				return "", "", fmt.Errorf("%q is no escape", s[i:i+3])
			}
			b.Write(one)
			i += 2
		}
	}
	return finishText(&b, "")
}

func finishText(b *strings.Builder, rest string) (string, string, error) {
	if b.Len() == 0 || !utf8.ValidString(b.String()) {
		return "", "", errors.New("a value is empty or not UTF-8")
	}
	return b.String(), rest, nil
}
