package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/offkey/offkey/internal/store"
)

// WriteTable writes the rows of a query over another program's database, an
// object in each line, as lists of apikeys are imported.
func WriteTable(ctx context.Context, dsn, query string, w io.Writer) error {
	table, err := store.OpenForeignTable(dsn, query, false)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	defer table.Close()
	out := json.NewEncoder(w)
	return table.Each(ctx, func(_ []string, row map[string]string) error { return out.Encode(row) })
}
