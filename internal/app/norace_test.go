//go:build !race

package app

const floodSize = 20_000

// everySoManyDays is how often the callers of a campaign call.
const everySoManyDays = 5
