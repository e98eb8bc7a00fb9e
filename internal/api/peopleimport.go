package api

import (
	"errors"
	"net/http"

	"github.com/offkey/offkey/internal/directory"
)

// maxPeopleBytes bounds a list of people that is brought in, and mostProblems
// what is said about it.
const (
	maxPeopleBytes = 256 << 20
	mostProblems   = 100
)

// importReport says what became of a list of people.
type importReport struct {
	DryRun   bool            `json:"dry_run,omitempty"`
	Lines    int             `json:"lines"`
	Added    int             `json:"added"`
	Existing int             `json:"existing"` // left as they are
	Rejected int             `json:"rejected"`
	Problems []importProblem `json:"problems"` // the first of them
}

type importProblem struct {
	Line    int    `json:"line"`
	Message string `json:"message"`
}

func (rep *importReport) reject(line int, err error) {
	rep.Rejected++
	if len(rep.Problems) < mostProblems {
		rep.Problems = append(rep.Problems, importProblem{line, err.Error()})
	}
}

// importPeople takes in the list that is the body of the request. Whoever is
// there already is left as they are, so that a list may be brought in again.
func (s *Server) importPeople(r *http.Request) (any, error) {
	dryRun, err := dryRunOf(r)
	if err != nil {
		return nil, err
	}
	report := importReport{DryRun: dryRun, Problems: []importProblem{}}
	err = directory.ReadImport(http.MaxBytesReader(nil, r.Body, maxPeopleBytes), func(one directory.ImportLine, wrong error) error {
		report.Lines++
		if wrong == nil {
			wrong = s.importPerson(r, one, dryRun)
		}
		switch {
		case wrong == nil:
			report.Added++
		case errors.Is(wrong, directory.ErrExists):
			report.Existing++
		default:
			report.reject(one.Number, wrong)
		}
		return r.Context().Err()
	})
	if err != nil && report.Lines == 0 && r.Context().Err() == nil {
		return nil, badRequest("", "%v", err)
	}
	return report, err
}

func (s *Server) importPerson(r *http.Request, one directory.ImportLine, dryRun bool) error {
	p := one.Person
	p.ID, p.Created = directory.NewID(), s.now()
	if dryRun {
		return s.wouldFit(r.Context(), p)
	}
	account := &directory.Account{Person: p, Password: one.Password}
	if !one.TOTP.IsZero() {
		account.TOTP = directory.TOTP{Sealed: s.o.People.SealTOTP(p.ID, one.TOTP), Created: s.now()}
	}
	return s.store.CreateAccount(r.Context(), account, event(r, "person.imported", p.ID, about(p)))
}
