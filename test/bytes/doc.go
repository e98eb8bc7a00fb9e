// Package bytes holds tests only: the answers of APIs that we did not write are
// the same with and without offkey in front of them, in stage observe.
//
// What is compared, of ten thousand mixed requests each sent both ways: interim
// answers, status, every header but the hop-by-hop ones (RFC 9110 §7.6.1), the
// body, the trailers, and whether the answer was whole. Header names are
// compared as HTTP does, without regard to case, and values of one name in
// their order. Date is compared where the API makes it up from the request.
// Requests that ask for an echo show what the API received.
package bytes
