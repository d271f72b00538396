# The verbs of this project. `make help` lists them.
SHELL := /bin/bash

VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X main.version=$(VERSION)
# How the applier is built, here and in Dockerfile. Its HTTP server speaks no TLS and so never HTTP/2: the tag leaves that out (0.35 MB).
# kmsg is generated code for every message of Kafka's; inlining its helpers at each of their thousands of calls would cost 0.45 MB.
SMALL    := -trimpath -tags nethttpomithttp2 -gcflags=github.com/twmb/franz-go/pkg/kmsg=-l
# What must not wait for the Kubernetes SDK, and is worth the race detector.
LIGHT     = ./preflight/judge ./wal/... ./lab/strimzi ./lab/traffic ./applier/... ./converge/... ./writer/... ./reach/... ./walctl/... ./internal/... $(shell go list ./lab/internal/... | grep -vE 'lab/internal/(program|deploy)$$')
# What is built on the generated SDK: instrumenting that takes minutes and finds nothing of ours.
HEAVY    := ./components/... ./stacks/... ./render/... ./infra/... ./engine/standin ./preview/... ./preflight ./preflight/expect ./preflight/faults ./preflight/kube ./lab ./lab/internal/program ./lab/internal/deploy
RACE     := $(shell command -v gcc >/dev/null && echo -race)
# KAFKA=real runs the lab on Apache Kafka and MirrorMaker 2, MIRROR=at-least-once its mirrors without transactions.
REAL      = $(filter real,$(KAFKA))
MAKING    = $(if $(PULUMI),-pulumi) $(if $(KAFKA),-kafka $(KAFKA)) $(if $(MIRROR),-mirror $(MIRROR))
TOOL     := go tool -modfile=tools/go.mod

.PHONY: help
help: ## list the verbs
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

.PHONY: deps
deps: ## install what is missing on this machine (Debian: redis-server, prometheus, haproxy); KAFKA=real: also Java and Maven
	@missing=; \
	command -v redis-server >/dev/null && command -v redis-cli >/dev/null || missing='redis-server redis-tools'; \
	command -v promtool >/dev/null || missing="$$missing prometheus"; \
	PATH=$$PATH:/usr/sbin command -v haproxy >/dev/null || missing="$$missing haproxy"; \
	$(if $(REAL),go run ./lab/internal/java/cmd/find-java jre >/dev/null || missing="$$missing openjdk-17-jre-headless"; \
	command -v mvn >/dev/null || missing="$$missing maven";) \
	[ -z "$$missing" ] || { \
		echo "installing $$missing"; \
		if [ "$$(id -u)" = 0 ]; then apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq $$missing; \
		else sudo apt-get update -q && sudo DEBIAN_FRONTEND=noninteractive apt-get install -yq $$missing; fi; } >&2

.PHONY: demo
demo: deps $(if $(PULUMI),engine-tools) ## both sites on this machine, 200,000 operations, two crashes, and the proof that the sites are equal; PULUMI=1: made by `pulumi up`; KAFKA=real: on Apache Kafka
	@go run ./lab demo $(MAKING)

.PHONY: lab
lab: deps $(if $(PULUMI),engine-tools) ## both sites on this machine, left running; prints the addresses; PULUMI=1: made by `pulumi up`; KAFKA=real: on Apache Kafka
	@go run ./lab up $(MAKING)

.PHONY: lab-down
lab-down: ## end the lab and leave nothing
	@go run ./lab down

# -count=1 in release/: what its tests read of the repository is not in their module, so a cached pass would hide a change of it.
.PHONY: test
test: deps ## everything that must be true of a commit
	go vet ./...
	go test $(RACE) -shuffle=on -timeout 25m $(LIGHT)
	go test -shuffle=on -count=1 $(HEAVY)
	cd release && go vet ./... && go test -shuffle=on -count=1 ./...

.PHONY: test-engine
test-engine: engine-tools engine-languages ## the real Pulumi engine on both stacks and on the examples, with a stand-in for the provider plugin: preview, up, update, refresh, destroy
	cd plugin && go vet ./... && go test -count=1 -timeout 20m ./...
	REDIS_WAL_ENGINE_TOOLS=$(CURDIR)/bin/engine go test -count=1 -timeout 20m ./engine/...
	REDIS_WAL_ENGINE_TOOLS=$(CURDIR)/bin/engine go test -count=1 -run OneAfterTheOther ./lab
	REDIS_WAL_ENGINE_TOOLS=$(CURDIR)/bin/engine go test -count=1 -timeout 20m ./preview/...

.PHONY: test-kafka
test-kafka: KAFKA := real
test-kafka: client-deps deps ## Apache Kafka and MirrorMaker 2 with TLS, SCRAM and the declared ACLs: the conformance of the lab's Kafkas, the demo in both modes of the mirror, and the examples of docs/clients.md
	REDIS_WAL_REAL_KAFKA=1 go test -count=1 -timeout 20m -run 'AKafka' ./lab/internal/broker
	REDIS_WAL_REAL_KAFKA=1 go test -count=1 -timeout 20m -run 'ApacheKafka' ./lab

.PHONY: drill
drill: KAFKA := real
drill: deps ## break the system on purpose, one fault at a time, on both Kafkas, and write docs/drills.md
	go run ./lab drill -page docs/drills.md

.PHONY: drill-short
drill-short: deps ## the drills that need no Java and end soon
	go run ./lab drill -short

.PHONY: drill-alerts
drill-alerts: deps ## faults with a real Prometheus beside them: each alert must fire in its drill and in no other
	go run ./lab drill -alerts

.PHONY: client-deps
client-deps: ## install the clients of docs/clients.md that the tests run (Debian: kcat, a JDK, Python with venv)
	@missing=; \
	command -v kcat >/dev/null || missing="$$missing kcat"; \
	go run ./lab/internal/java/cmd/find-java jdk >/dev/null || missing="$$missing openjdk-17-jdk-headless"; \
	python3 -c 'import ensurepip' 2>/dev/null || missing="$$missing python3-venv"; \
	[ -z "$$missing" ] || { \
		echo "installing$$missing"; sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		$$sudo apt-get update -q && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends $$missing; } >&2
	@$(MAKE) --no-print-directory bin/python/.pinned

bin/python/.pinned: lab/testdata/clients/requirements.txt
	python3 -m venv --clear bin/python && bin/python/bin/pip install -q --disable-pip-version-check -r $<
	@touch $@

.PHONY: test-browser
test-browser: browser-deps ## the page of `walctl status --serve` in Chromium: live, on a phone, in the dark, for screen readers, without scripts; SCREENSHOTS=folder keeps its pictures
	cd walctl/browser && go vet ./... && SCREENSHOTS='$(abspath $(SCREENSHOTS))' go test -count=1 -timeout 10m ./...

.PHONY: browser-deps
browser-deps: ## install the browser that test-browser drives (Debian: chromium, and letters for it)
	@missing=; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	[ -n "$$(ls /usr/share/fonts/truetype 2>/dev/null)" ] || missing="$$missing fonts-dejavu-core"; \
	[ -z "$$missing" ] || { \
		echo "installing$$missing"; sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		$$sudo apt-get update -q && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends $$missing; } >&2

.PHONY: bench-kafka
bench-kafka: KAFKA := real
bench-kafka: deps ## from produced at one site to readable at the other, and records per second, on Apache Kafka and MirrorMaker 2 in both modes
	REDIS_WAL_REAL_KAFKA=1 go test -count=1 -timeout 30m -run '^$$' -bench AcrossSites -benchtime 1x ./lab -args $(BENCH)

.PHONY: engine-tools
engine-tools: bin/engine/pulumi bin/engine/pulumi-language-go ## the Pulumi CLI and its language host for Go, built from their modules (the first time takes minutes)

bin/engine/pulumi: tools/pulumi/go.mod tools/pulumi/go.sum
	cd tools/pulumi && go build -ldflags '-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v3.250.0' \
		-o ../../$@ github.com/pulumi/pulumi/pkg/v3/cmd/pulumi
	@touch $@

bin/engine/language-host: tools/pulumi-language-go/go.mod tools/pulumi-language-go/go.sum
	cd tools/pulumi-language-go && go build -ldflags '-s -w' -o ../../$@ github.com/pulumi/pulumi/sdk/v3/go/pulumi-language-go
	@touch $@

bin/engine/pulumi-language-go: tools/pulumi-language-go/host.sh bin/engine/language-host
	install -m 755 $< $@

.PHONY: engine-languages
engine-languages: bin/engine/pulumi-language-yaml bin/engine/pulumi-language-nodejs ## the same for YAML and TypeScript; the SDK of the plugin for TypeScript needs npm, and without it that example is skipped
	@if command -v node >/dev/null && command -v npm >/dev/null; then $(MAKE) --no-print-directory bin/engine/typescript/.installed; \
	else echo 'node and npm are not here: the example in TypeScript will not be run' >&2; fi

bin/engine/pulumi-language-yaml: tools/pulumi-language-yaml/go.mod tools/pulumi-language-yaml/go.sum
	cd tools/pulumi-language-yaml && go build -ldflags '-s -w' -o ../../$@ github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml
	@touch $@

bin/engine/pulumi-language-nodejs: tools/pulumi-language-nodejs/go.mod tools/pulumi-language-nodejs/go.sum
	cd tools/pulumi-language-nodejs && go build -ldflags '-s -w' -o ../../$@ github.com/pulumi/pulumi/sdk/v3/nodejs/cmd/pulumi-language-nodejs
	@touch $@

# What `pulumi install` makes in the folder of the example. No script of a package runs: that of @pulumi/kubernetes would fetch its plugin.
bin/engine/typescript/.installed: examples/typescript/package.json examples/typescript/package-lock.json plugin/schema.json
	mkdir -p $(@D) && cp examples/typescript/package*.json $(@D)
	cd plugin && go run ./internal/typescript -out ../$(@D)/sdks/comptech-lab-redis-wal
	cd $(@D) && npm ci --ignore-scripts --no-audit --no-fund && node node_modules/typescript/bin/tsc -p sdks/comptech-lab-redis-wal && \
		cp sdks/comptech-lab-redis-wal/package.json sdks/comptech-lab-redis-wal/bin/
	@touch $@

.PHONY: test-operator
test-operator: deps ## the declared Redis as the real Redis operator makes it, every pod against Pod Security "restricted", and that the tests on clusters compile
	cd e2e/operator && go vet ./... && go test -count=1 ./...
	cd e2e && go vet ./... && go test -count=1 ./...

SECONDS ?= 600
.PHONY: soak
soak: deps ## the model test with seed after seed for SECONDS=600; SEED=n begins at that one; a run that fails is printed with its seed
	go test -v -count=1 -timeout $$(( $(SECONDS) + 600 ))s -run '^TestSoak$$' ./applier -args -soak $(SECONDS)s $(if $(SEED),-model.seed=$(SEED))

SEARCH ?= 120
.PHONY: fence-model
fence-model: ## the model of the fence with the large bounds: each of its searches for SEARCH=120 seconds at most
	go test -v -count=1 -timeout 3h -run 'LongSearches|EveryRuleIsNeeded' ./applier/internal/fencemodel -args -fencemodel.long $(SEARCH)s

.PHONY: check
check: ## what a reviewer would say first: format, linters and walls, tidy modules
	$(TOOL) gofumpt -l . | { ! grep .; }
	$(TOOL) golangci-lint run ./...
	$(TOOL) actionlint
	for m in e2e e2e/operator release plugin walctl/browser; do (cd $$m && go tool -modfile=$(CURDIR)/tools/go.mod golangci-lint run --config $(CURDIR)/.golangci.yml ./...) || exit 1; done
	go mod tidy -diff
	for m in e2e e2e/operator examples/two-sites release plugin walctl/browser; do (cd $$m && go mod tidy -diff) || exit 1; done

.PHONY: bench
bench: deps build ## speed, memory and size in one table, each beside its target and a peer in the same run (under five minutes)
	go test -run '^$$' -bench Table -benchtime 1x -timeout 10m ./applier/internal/bench

.PHONY: fuzz
fuzz: ## a minute for each fuzz test
	@for f in $$(grep -rhoE 'func (Fuzz[A-Za-z]+)' wal/*_test.go | sed 's/func //'); do go test -run '^$$' -fuzz "^$$f$$" -fuzztime 60s ./wal || exit 1; done

.PHONY: golden
golden: ## write the golden resource graphs, the reference tables, the plugin's schema and the rendered manifests anew; review the diff
	go test ./stacks/... ./components/... -update
	go test ./applier/config ./applier/internal/app -run Reference -p 1 -update
	go test ./applier/internal/fencemodel -run EveryRuleIsNeeded -update
	go test ./internal/api -update
	cd plugin && go test . -update
	go test ./preflight -update
	$(MAKE) render

.PHONY: golden-engine
golden-engine: engine-tools ## the same for the recorded previews of pull requests and their comments
	REDIS_WAL_ENGINE_TOOLS=$(CURDIR)/bin/engine go test -count=1 -run PullRequests ./preview/internal/offline -update

.PHONY: render
render: ## write clusters/<site>: the program as plain manifests for Argo CD
	go run ./render/cmd/render

.PHONY: e2e-deps
e2e-deps: ## install what two Kubernetes clusters need of this machine (Debian: etcd, runc, CNI plugins, iptables, busybox)
	@missing=; for p in etcd-server runc containernetworking-plugins iproute2 iptables nftables conntrack util-linux procps redis-server redis-tools busybox-static; do \
		dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	[ -z "$$missing" ] || { echo "installing$$missing"; apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends $$missing; } >&2

.PHONY: e2e-apply
e2e-apply: e2e-deps ## both stacks on two real Kubernetes clusters with the real Redis operator (root; the first time builds them for minutes)
	cd e2e && REDIS_WAL_E2E=1 go test -count=1 -timeout 20m -v -run '^TestApply$$' .

.PHONY: e2e
e2e: KAFKA := real
e2e: e2e-deps deps engine-tools ## the whole system on two real Kubernetes clusters, made by `pulumi up`, with Apache Kafka and MirrorMaker 2 (root; the first time builds for minutes)
	cd e2e && REDIS_WAL_ENGINE_TOOLS=$(CURDIR)/bin/engine REDIS_WAL_E2E=whole go test -count=1 -timeout 60m -v -run '^TestWhole$$' .

.PHONY: e2e-preflight
e2e-preflight: e2e-deps ## walctl preflight finds each planted fault on a real Kubernetes cluster, with the shipped rights and no others (root, as e2e-apply)
	cd e2e && REDIS_WAL_E2E=1 go test -count=1 -timeout 30m -v -run '^TestPreflight$$' .

# walctl-preflight holds the Kubernetes SDK: it is built with the flags of the tests, because others would compile all of that a second time.
.PHONY: build
build: ## bin/redis-applier and bin/walctl, static, and bin/walctl-preflight
	CGO_ENABLED=0 go build $(SMALL) -ldflags '$(LDFLAGS)' -o bin/redis-applier ./applier
	CGO_ENABLED=0 go build $(SMALL) -ldflags '$(LDFLAGS)' -o bin/walctl ./walctl
	go build -ldflags '$(LDFLAGS)' -o bin/walctl-preflight ./preflight
	@ls -l bin/redis-applier bin/walctl bin/walctl-preflight | awk '{printf "%s: %.1f MB\n", $$NF, $$5/1e6}'

.PHONY: image
image: ## the container image (needs docker or podman)
	@engine=$$(command -v docker || command -v podman) || { echo 'make image needs docker or podman; make build makes the binary alone' >&2; exit 1; }; \
	"$$engine" build --build-arg VERSION=$(VERSION) -t redis-applier:$(VERSION) .

# Where `make push` and `make release DRYRUN=no` push the image to: host/path, without the image's name.
REGISTRY ?=
DRYRUN   ?= yes

.PHONY: push
push: ## the applier's image to REGISTRY=host/path, for amd64 and arm64, without a container engine; prints it by its digest, as applier.image takes it
	@cd release && go run . push -registry '$(REGISTRY)' -version '$(VERSION)'

.PHONY: release
release: ## all files of a release in dist/, and nothing published (VERSION= by default what git says); DRYRUN=no REGISTRY=host/path: also push the image, of a tagged commit only
	@cd release && go run . build -out '$(CURDIR)/dist' -version '$(VERSION)' $(if $(filter no,$(DRYRUN)),-publish '$(or $(REGISTRY),$(error DRYRUN=no needs REGISTRY=host/path))')

.PHONY: release-verify
release-verify: ## do the files in dist/ fit together: checksums, provenance, image, SBOMs
	@cd release && go run . verify -out '$(CURDIR)/dist'

.PHONY: changelog
changelog: ## move the fragments of changelog/unreleased into CHANGELOG.md, as the section of VERSION=v1.2.3
	@cd release && go run . changelog -version '$(VERSION)'
