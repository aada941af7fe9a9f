# imgbuild and ShelfOS. `make image board=rpi4 role=worker` builds an image, `make test` runs the tests.
# Every VAR=VALUE given to make is handed on to imgbuild.

export CGO_ENABLED := 0
export GOTOOLCHAIN := auto
# The test programs are several hundred MB at a time, and /tmp is memory on Debian 13.
export GOTMPDIR := $(CURDIR)/bin/.tmp
$(shell mkdir -p bin/.tmp)

GO      ?= go
# The tag, or else the tag, the commits since and the commit. Nothing in it depends on the clone or on git's settings.
VERSION := $(shell git -c core.abbrev=12 describe --tags --match 'v[0-9]*' --abbrev=12 --always --dirty 2>/dev/null || echo unknown)
# Changes when the version does, so that a tag alone makes the program again.
$(shell echo '$(VERSION)' | cmp -s - bin/.tmp/version || echo '$(VERSION)' > bin/.tmp/version)
LDFLAGS := -s -w
PROGRAMS := builder/image/programs
SOURCES := $(shell find boards builder cmd images init overlays qemu -name '*.go' -o -name '*.yaml' -o -name '*.lock' -o -path 'overlays/*' -type f 2>/dev/null) go.mod go.sum
# The programs of the node, each for both architectures.
NODE := $(foreach a,arm64 armv7,$(PROGRAMS)/init-$a $(PROGRAMS)/shelf-$a)
NODE_SOURCES := $(shell find init cmd/init cmd/shelf cmd/line -name '*.go') go.mod go.sum

# What the user gave as VAR=VALUE, except for make's own variables.
given = $(foreach v,$(filter-out GO LIMIT only seed n minutes against PREFIX DESTDIR,$(.VARIABLES)),$(if $(filter command line,$(origin $(v))),$(v)$(1)))
# Each value is one word of the shell, whatever is in it.
quote = '$(subst ','\'',$(1))'
GIVEN = $(foreach v,$(call given),$(v)=$(call quote,$($(v))))

.PHONY: all image version install demo unit cover lint test test-full fuzz bench crash soak proof locks clean check

all: bin/imgbuild

version:
	@echo $(VERSION)

# Needs: Go, make, git, ca-certificates. Said before anything else fails.
check:
	@command -v $(GO) >/dev/null || { echo 'Go is missing. On Debian: sudo apt-get install golang-go make git ca-certificates'; exit 2; }
	@test -e /etc/ssl/certs/ca-certificates.crt -o -d /etc/pki/tls/certs || { echo 'The CA certificates are missing. On Debian: sudo apt-get install ca-certificates'; exit 2; }

# PID 1 stays in memory, and so does shelf where it is a service: no HTTP/2, and functions are not inlined where speed does not
# count. That was 9 % of the size of PID 1.
NODE_FLAGS := -tags=nethttpomithttp2 -gcflags=imgbuild/...=-l -gcflags=imgbuild/init/contract/...= -gcflags=github.com/vishvananda/...=-l -gcflags=github.com/miekg/...=-l -gcflags=github.com/insomniacslk/...=-l -gcflags=github.com/pkg/...=-l -gcflags=golang.org/x/...=-l -gcflags=gopkg.in/...=-l -gcflags=net/http/...=-l -gcflags=crypto/tls/...=-l -gcflags=crypto/x509/...=-l

$(PROGRAMS)/%-arm64: $(NODE_SOURCES) | check
	GOOS=linux GOARCH=arm64 $(GO) build $(NODE_FLAGS) -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $@ ./cmd/$*

$(PROGRAMS)/%-armv7: $(NODE_SOURCES) | check
	GOOS=linux GOARCH=arm GOARM=7 $(GO) build $(NODE_FLAGS) -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $@ ./cmd/$*

bin/imgbuild: $(SOURCES) bin/.tmp/version $(NODE) | check
	$(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS) -X main.version=$(VERSION)' -o $@ ./cmd/imgbuild

image: bin/imgbuild
	bin/imgbuild build $(GIVEN)

# What a build takes as k3s=FILE (a real k3s in the place of the stand-in), mirror= and cache=, tests take too.
here = $(call quote,$(if $(filter /%,$(firstword $(1))),,$(CURDIR)/)$(1))
TEST_ENV = $(if $(k3s),IMGBUILD_K3S=$(call here,$(k3s))) $(if $(mirror),IMGBUILD_MIRROR=$(call quote,$(mirror))) $(if $(cache),IMGBUILD_CACHE=$(call here,$(cache)))

# The program, its completions and its man page. PREFIX=~/.local needs no root.
PREFIX ?= /usr/local
at = $(call quote,$(DESTDIR)$(PREFIX)/$(1))
install: bin/imgbuild
	install -D -m 0755 bin/imgbuild $(call at,bin/imgbuild)
	bin/imgbuild completion bash | install -D -m 0644 /dev/stdin $(call at,share/bash-completion/completions/imgbuild)
	bin/imgbuild completion zsh | install -D -m 0644 /dev/stdin $(call at,share/zsh/site-functions/_imgbuild)
	bin/imgbuild completion fish | install -D -m 0644 /dev/stdin $(call at,share/fish/vendor_completions.d/imgbuild.fish)
	bin/imgbuild completion man | install -D -m 0644 /dev/stdin $(call at,share/man/man1/imgbuild.1)

# A server and a worker from nothing, in QEMU.
demo: bin/imgbuild
	@$(GO) build -trimpath -o bin/.tmp/demo ./qemu/demo
	@$(TEST_ENV) exec bin/.tmp/demo

# Without QEMU: every package but those whose tests start guests.
GUESTS := imgbuild/qemu/scenarios|imgbuild/qemu/vm|imgbuild/qemu/long/crash
unit: $(NODE)
	$(GO) test -count=1 -timeout 20m $$($(GO) list ./... | grep -vE '^($(GUESTS))$$')

# How much of PID 1 its unit tests run, in per cent: of each package, and of all together.
BOOT := ./init/boot/... ./init/start/layout ./init/start/preinit
cover: check
	$(GO) test -count=1 -cover -coverprofile=bin/.tmp/boot.cover $(BOOT)
	@$(GO) tool cover -func=bin/.tmp/boot.cover | tail -n 1

# Formatting, suspicious code, tidy modules; the import rules, links and names that qemu/*_test.go judges.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
# deadcode names what neither program nor test tool reaches. Left to tests alone are: a model of U-Boot, the table of
# hardware kinds, the reader of archives, a hold on a database, and names for messages.
DEADCODE := golang.org/x/tools/cmd/deadcode@v0.44.0
TESTS_ONLY := boards.go:.*: Kinds$$|/emulate/|archive/file.go:.*: ReadFile$$|sqlite_linux.go:.*: Hold$$|disks/.*\.String$$
lint: $(NODE)
	@unformatted=$$(gofmt -l boards builder cmd images init overlays qemu); test -z "$$unformatted" || { echo "not formatted, run gofmt -w on: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) mod tidy -diff
	$(GO) run $(STATICCHECK) ./...
	GOBIN=$(CURDIR)/bin/.tmp $(GO) install $(DEADCODE)
	GOOS=linux GOARCH=arm64 bin/.tmp/deadcode -filter '^imgbuild/(boards|builder|cmd|images|init|overlays)' ./cmd/... ./qemu/... > bin/.tmp/dead
	@if grep -vE '$(TESTS_ONLY)' bin/.tmp/dead; then echo 'the functions above are unused, or used by tests alone'; exit 1; fi
	$(GO) test -count=1 ./qemu
	$(GO) run ./qemu/proof

# How long the tests of one package may take. It is generous for slow machines; CI, which ends everything after 90 minutes, sets less,
# so that a test that hangs is named.
LIMIT ?= 170m

test: bin/imgbuild
	$(TEST_ENV) $(GO) test -count=1 -timeout $(LIMIT) ./...

test-full: bin/imgbuild
	$(TEST_ENV) IMGBUILD_FULL=1 $(GO) test -count=1 -timeout 600m ./...

# The long ones. They take only= seed= n= minutes=, as far as that means something to them, and print date, commit, seed, counts
# and failures; fuzz, crash and soak go on where they were ended (qemu/long/longrun).
LONG = $(foreach v,only seed n minutes against,$(if $($(v)),$(v)=$($(v))))

bench: bin/imgbuild
	$(TEST_ENV) $(GO) run ./qemu/long/bench $(LONG)

fuzz:
	$(GO) run ./qemu/long/fuzz $(LONG)

# Power cuts at random moments of a node's life; goes on where it was ended.
crash: bin/imgbuild
	$(TEST_ENV) $(GO) run ./qemu/long/crash $(LONG)

# Services that misbehave, and nodes that have to bear them.
soak: bin/imgbuild
	$(TEST_ENV) $(GO) run ./qemu/long/soak $(LONG)

# Every row of docs/PROOF.md names tests that exist and do not skip. run=yes runs them and writes the results into the rows;
# full=yes takes those of test-full too, only=WORD some packages, results=FILE the output of an earlier `go test -json`.
proof: bin/imgbuild
	$(GO) run ./qemu/proof $(foreach v,run full only results,$(if $($(v)),$(v)=$($(v))))

# Locks the newest packages of every family and slot into images/locks, and those of the tests. A suite that the archive serves broken for
# an architecture (armhf has been one) is left out as long as it is missing, and the lock notes that.
LOCK = bin/imgbuild lock without=broken $(GIVEN)
locks: bin/imgbuild
	$(LOCK) role=worker board=rpi4 file=images/locks/rpi64-k3s.lock
	$(LOCK) role=storage board=rpi4 file=images/locks/rpi64-storage.lock
	$(LOCK) role=router board=rpi4 file=images/locks/rpi64-router.lock
	$(LOCK) role=worker board=qemu-arm64 file=images/locks/qemu64-k3s.lock
	$(LOCK) role=storage board=qemu-arm64 file=images/locks/qemu64-storage.lock
	$(LOCK) role=router board=qemu-arm64 file=images/locks/qemu64-router.lock
	$(LOCK) role=worker board=qemu-arm file=images/locks/qemu32-k3s.lock
	$(LOCK) role=storage board=qemu-arm file=images/locks/qemu32-storage.lock
	$(LOCK) role=worker board=odroid-xu4 file=images/locks/xu4-k3s.lock
	$(LOCK) role=storage board=odroid-xu4 file=images/locks/xu4-storage.lock
	$(LOCK) role=worker board=qemu-arm64 packages=hostapd file=qemu/testdata/locks/qemu64-k3s-hostapd.lock
	$(LOCK) role=worker board=qemu-arm64 packages=containerd,runc,containernetworking-plugins file=qemu/testdata/locks/qemu64-k3s-containerd.lock
	$(LOCK) role=router board=qemu-arm64 packages=dhcpcd-base file=qemu/testdata/locks/qemu64-router-dhcpcd-base.lock
	$(LOCK) role=storage board=qemu-arm64 packages=smbclient,curl,lftp file=qemu/testdata/locks/qemu64-storage-smbclient.lock

clean:
	rm -rf bin out $(NODE)
