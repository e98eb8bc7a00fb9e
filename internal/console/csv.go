package console

import (
	"encoding/csv"
	"strings"
)

// writeCSV answers with a list as a file. A cell that a spreadsheet would take
// for a formula begins with an apostrophe: callers choose what stands in many of
// them.
func (v *visit) writeCSV(name string, list table) error {
	head, rows := list.Rows()
	h := v.w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="offkey-`+name+`.csv"`)
	out := csv.NewWriter(v.w)
	if err := out.Write(head); err != nil {
		return nil // whoever asked has gone
	}
	for _, row := range rows {
		for i := range row {
			row[i] = inert(row[i])
		}
		if err := out.Write(row); err != nil {
			return nil
		}
	}
	out.Flush()
	return nil
}

// inert is a cell that no spreadsheet calculates.
func inert(cell string) string {
	if strings.TrimLeft(cell, " ") != "" && strings.ContainsRune("=+-@\t\r\n|%", rune(strings.TrimLeft(cell, " ")[0])) {
		return "'" + cell
	}
	return cell
}
