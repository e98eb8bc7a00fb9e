package store

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/traffic"
)

// TestDaysAreMadeOfTheHoursOfBefore upgrades a file in which only hours were
// counted.
func TestDaysAreMadeOfTheHoursOfBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "offkey.db")
	hour := time.Now().UTC().Truncate(24 * time.Hour).Add(-48 * time.Hour)
	db := openAt(t, path)
	row := func(at time.Time, status int, calls int64) traffic.Row {
		return traffic.Row{
			Hour: at, Credential: traffic.Credential{Kind: traffic.KindAPIKey, ID: "ak_1"}, Method: "GET", Template: "/v1/orders", Status: status,
			UserAgent: "curl/8.7", Carrier: "query:api_key", Calls: calls, First: at, Last: at.Add(time.Minute),
		}
	}
	none := row(hour, 200, 99)
	none.Credential = traffic.Credential{Kind: traffic.KindNone}
	if err := db.AddTraffic(t.Context(), []traffic.Row{row(hour, 200, 3), row(hour.Add(time.Hour), 201, 4), row(hour.Add(2*time.Hour), 403, 5), row(hour.Add(25*time.Hour), 200, 6), none}); err != nil {
		t.Fatal(err)
	}
	want := daysOf(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	// As it was before: without what step 9 has filled.
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	step, err := os.ReadFile("schema/0009_imports.sql")
	if err != nil {
		t.Fatal(err)
	}
	_, fill, _ := strings.Cut(string(step), "-- What the hours of before say.")
	for _, s := range []string{"DELETE FROM apikey_day", "DELETE FROM apikey_carrier", "UPDATE apikey_use SET calls = 0", fill} {
		if _, err := raw.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	_ = raw.Close()
	if got := daysOf(t, openAt(t, path)); got != want || !strings.Contains(got, "calls 18") || !strings.Contains(got, "query:api_key") {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func daysOf(t *testing.T, db *DB) string {
	t.Helper()
	var b strings.Builder
	if err := db.APIKeyDays(t.Context(), []string{"ak_1"}, time.Now().Add(-10*24*time.Hour), func(r traffic.Row) {
		b.WriteString(strings.Join([]string{r.Hour.Format(time.DateOnly), r.Method, r.Template, r.UserAgent, r.Carrier, r.First.String(), r.Last.String()}, " ") + "\n")
	}); err != nil {
		t.Fatal(err)
	}
	uses, err := db.APIKeyUses(t.Context(), []string{"ak_1"})
	if err != nil {
		t.Fatal(err)
	}
	return b.String() + fmt.Sprint("calls ", uses["ak_1"].Calls)
}
