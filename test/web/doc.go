// Package web tests the page of `kubectl tombolo web` in a real Chromium: every view, narrow and wide,
// light and dark, with many clusters and Services, and while links go down. API servers in memory stand
// for the clusters.
package web
