// SPDX-License-Identifier: GPL-3.0-or-later

//go:build tools

// Package tools names the command that is built, so that `go mod tidy` keeps its dependencies in go.mod
// and go.sum. It is never compiled.
package tools

import _ "github.com/versity/versitygw/cmd/versitygw"
