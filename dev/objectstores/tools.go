// SPDX-License-Identifier: GPL-3.0-or-later

//go:build tools

// Package tools names the commands that are built, so that `go mod tidy` keeps their dependencies in go.mod
// and go.sum. It is never compiled.
package tools

import (
	_ "github.com/fsouza/fake-gcs-server"
	_ "github.com/versity/versitygw/cmd/versitygw"
)
