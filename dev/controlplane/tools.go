// SPDX-License-Identifier: GPL-3.0-or-later

//go:build tools

// Package tools names the commands that the local stack builds, so that `go mod tidy` keeps
// their dependencies in go.mod and go.sum. It is never compiled.
package tools

import (
	_ "go.etcd.io/etcd/server/v3/etcdmain"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
