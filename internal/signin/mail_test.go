package signin_test

import (
	"context"
	"net/url"
	"sync"

	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/secret"
)

// mailbox is what was sent.
type mailbox struct {
	running sync.WaitGroup
	mu      sync.Mutex
	links   []sentLink
	notices []directory.Notice
}

func (m *mailbox) Tell(_ context.Context, n directory.Notice) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notices = append(m.notices, n)
}

// told takes what people were told, as "name: kind kind".
func (m *mailbox) told() (all []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.notices {
		line := n.Person.Name + ":"
		for _, e := range n.Events {
			line += " " + string(e.Kind)
		}
		all = append(all, line)
	}
	m.notices = nil
	return all
}

type sentLink struct {
	to, person, path, language string
	purpose                    directory.Purpose
}

func (m *mailbox) Link(_ context.Context, p *directory.Person, l directory.Link, raw secret.Text, language string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	page := map[directory.Purpose]string{directory.ForReset: "/reset", directory.ForEmail: "/verify", directory.ForAddress: "/address"}[l.Purpose]
	m.links = append(m.links, sentLink{l.Email, p.Name, page + "?" + url.Values{"token": {raw.Reveal()}}.Encode(), language, l.Purpose})
	return nil
}

// sent waits for what is under way and takes what was sent.
func (m *mailbox) sent() []sentLink {
	m.running.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.links
	m.links = nil
	return all
}
