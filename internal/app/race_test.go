//go:build race

package app

// floodSize is how many made-up apikeys are sent: fewer where each call is
// watched by the race detector.
const floodSize = 5_000

// everySoManyDays is how often the callers of a campaign call.
const everySoManyDays = 15
