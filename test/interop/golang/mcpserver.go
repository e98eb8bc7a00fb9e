package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// caller is what the gateway tells an MCP server about a call, and whether the
// caller's token came through to it.
type caller struct {
	Client  string `json:"client"`
	Subject string `json:"subject"`
	Scopes  string `json:"scopes"`
	Token   bool   `json:"token"`
}

// meeting lets one call of a tool wait for another.
type meeting struct{ ID string }

// serveMCP is an MCP server of the official SDK that knows nothing of OAuth. It
// serves until the input ends.
func serveMCP(a ask) error {
	server := mcp.NewServer(&mcp.Implementation{Name: "notes", Version: "1.0.0"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "whoami", Description: "Says who calls."},
		func(_ context.Context, r *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, caller, error) {
			h := r.Extra.Header
			return nil, caller{h.Get("X-Offkey-Client"), h.Get("X-Offkey-Subject"), h.Get("X-Offkey-Scopes"), h.Get("Authorization") != ""}, nil
		})
	var released sync.Map
	gate := func(id string) chan struct{} {
		c, _ := released.LoadOrStore(id, make(chan struct{}))
		return c.(chan struct{})
	}
	mcp.AddTool(server, &mcp.Tool{Name: "wait", Description: "Tells of its progress, and ends once release was called."},
		func(ctx context.Context, r *mcp.CallToolRequest, m meeting) (*mcp.CallToolResult, any, error) {
			err := r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: r.Params.GetProgressToken(), Progress: 1, Total: 2})
			if err != nil {
				return nil, nil, err
			}
			select {
			case <-gate(m.ID):
				return &mcp.CallToolResult{}, nil, nil
			case <-ctx.Done():
				return nil, nil, ctx.Err()
			}
		})
	mcp.AddTool(server, &mcp.Tool{Name: "release", Description: "Lets wait end."},
		func(_ context.Context, _ *mcp.CallToolRequest, m meeting) (*mcp.CallToolResult, any, error) {
			close(gate(m.ID))
			return &mcp.CallToolResult{}, nil, nil
		})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	write(map[string]string{"url": "http://" + l.Addr().String()})
	go func() {
		_, _ = io.Copy(io.Discard, in)
		_ = l.Close()
	}()
	_ = http.Serve(l, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: a.Stateless}))
	return nil
}
