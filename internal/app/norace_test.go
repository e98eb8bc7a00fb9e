//go:build !race

package app

const floodSize = 20_000
