// Command envoy asks about calls as Envoy's ext_authz does by gRPC, with Envoy's
// own messages and the gRPC library that its control planes use. It reads requests
// as lines of JSON and writes what Envoy would do with each.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

type request struct {
	Method, Path, Host, Source, Certificate string
	Headers                                 map[string]string // lines of one name joined
	Raw                                     [][2]string       // or each line by itself
}

type option struct {
	Name, Value, Action string
}

type answer struct {
	Code     int32    `json:"code"`
	Status   int32    `json:"status"`
	Body     string   `json:"body"`
	ToAPI    []option `json:"to_api"`
	ToCaller []option `json:"to_caller"`
	Remove   []string `json:"remove"`
	Error    string   `json:"error"`
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(address string) error {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	client := auth.NewAuthorizationClient(conn)
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for in.More() {
		var r request
		if err := in.Decode(&r); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		res, err := client.Check(ctx, r.check())
		cancel()
		a := answer{}
		if err != nil {
			a.Code, a.Error = int32(status.Code(err)), err.Error()
		} else {
			a.read(res)
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
	return nil
}

func (r request) check() *auth.CheckRequest {
	http := &auth.AttributeContext_HttpRequest{Id: "1", Method: r.Method, Path: r.Path, Host: r.Host, Scheme: "https", Protocol: "HTTP/1.1", Size: -1, Headers: r.Headers}
	if r.Raw != nil {
		http.HeaderMap = &core.HeaderMap{}
		for _, line := range r.Raw {
			http.HeaderMap.Headers = append(http.HeaderMap.Headers, &core.HeaderValue{Key: line[0], RawValue: []byte(line[1])})
		}
	}
	return &auth.CheckRequest{Attributes: &auth.AttributeContext{
		Source: &auth.AttributeContext_Peer{
			Address: &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
				Address: r.Source, PortSpecifier: &core.SocketAddress_PortValue{PortValue: 4711}}}},
			Certificate: r.Certificate,
		},
		Request:           &auth.AttributeContext_Request{Http: http},
		ContextExtensions: map[string]string{"a": "b"},
	}}
}

func (a *answer) read(res *auth.CheckResponse) {
	a.Code = res.GetStatus().GetCode()
	if ok := res.GetOkResponse(); ok != nil {
		a.Status, a.Remove = 200, ok.GetHeadersToRemove()
		a.ToAPI, a.ToCaller = options(ok.GetHeaders()), options(ok.GetResponseHeadersToAdd())
	}
	if denied := res.GetDeniedResponse(); denied != nil {
		a.Status, a.Body, a.ToCaller = int32(denied.GetStatus().GetCode()), denied.GetBody(), options(denied.GetHeaders())
	}
}

func options(list []*core.HeaderValueOption) (out []option) {
	for _, o := range list {
		out = append(out, option{o.GetHeader().GetKey(), o.GetHeader().GetValue(), o.GetAppendAction().String()})
	}
	return out
}
