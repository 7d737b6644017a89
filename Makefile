# SPDX-License-Identifier: GPL-2.0-only
#
# All the doors of okvm; `make help` lists them. The module's own makefile is Kbuild.

KREL	?= $(shell scripts/krel)
KDIR	?= $(shell KREL=$(KREL) scripts/krel --build)
HOST	?= svm
JOBS	?= $(shell nproc)
PREFIX	?= /usr/local
DESTDIR	?=

# Only handed on when it was asked for: tools find it by themselves otherwise.
ifneq ($(filter environment command%,$(origin KREL)),)
kernel	:= --kernel $(KREL)
export KREL
endif

all: module runner

help:
	@echo 'make              build okvm.ko and runner/okvm'
	@echo 'make demo         boot a guest on okvm in an emulated machine (installs what is missing)'
	@echo 'make check        all tests (installs what is missing); the last line sums them up'
	@echo 'make check-unit   tests of the pure parts, in user space'
	@echo 'make check-style  layout and rules of the sources; sparse, W=1, clang, kernel-doc, analyzer'
	@echo 'make check-host   tests in the emulated machine only; TEST=word picks some'
	@echo 'make check-debug  the suite on a debug kernel (KASAN, lockdep, kmemleak ...), which is built first'
	@echo 'make check-models the tests on CPUs of both vendors that have less; those that have too little refuse'
	@echo 'make check-kvm-selftests  the KVM selftests of the kernel, on okvm and on upstream kvm'
	@echo 'make check-vmms   QEMU, libvirt, libguestfs and gVisor of Debian, and what they boot; half an hour'
	@echo 'make compare      the same boot on okvm and on upstream kvm, in instructions'
	@echo 'make bench        what exits, interrupts, faults and VMs cost on okvm and on upstream kvm'
	@echo 'make bench-record the same into Documentation/, twice; make bench-limits: the counts of make check'
	@echo 'make module       okvm.ko alone'
	@echo 'make runner       runner/okvm alone'
	@echo 'make selftests    the test programs'
	@echo 'make setup        install missing Debian packages'
	@echo 'make install      install module, runner and manual page (as root)'
	@echo 'make clean        remove what was built'
	@echo
	@echo 'KREL=<release>    kernel to build for; now: $(KREL)'
	@echo 'HOST=<name>       host for the tests: $(notdir $(wildcard scripts/hosts/*)); now: $(HOST)'
	@echo 'BOOT=runner       bench: also boot a Linux guest by it; or qemu, or both'
	@echo 'HYPERVISOR=kvm    run the same tests on upstream kvm (check-host)'
	@echo 'ARGS="name=value" parameters of the module (check-host)'

setup:
	@KREL=$(if $(kernel),$(KREL)) scripts/setup

setup-check:
	@KREL=$(if $(kernel),$(KREL)) scripts/setup check

module:
	@test -n '$(KDIR)'
	@$(MAKE) --no-print-directory -C $(KDIR) M=$(CURDIR) -j$(JOBS) modules

# The same with counters of VMCS accesses, from a new copy of the sources: nothing else has to be built again.
counted	:= build/vmcs-count
module-counted:
	@test -n '$(KDIR)'
	@rm -rf $(counted)
	@mkdir -p $(counted)
	@cp --parents $$(find Kbuild kmod include -name Kbuild -o -name '*.[chS]') $(counted)
	@$(MAKE) --no-print-directory -C $(KDIR) M=$(CURDIR)/$(counted) -j$(JOBS) VMX_COUNT=1 modules

# Kbuild shows its steps; these two would show long lines instead of short ones.
runner:
	@echo 'building the runner'
	@$(MAKE) -s -C runner -j$(JOBS)

selftests:
	@echo 'building the selftests'
	@$(MAKE) -s -C selftests -j$(JOBS) all

guest:
	@scripts/guest-image $(kernel) build/guest

build/ticks: scripts/ticks.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -Wall -Wextra -static -o $@ $<

# Each step may need what the one before installed or built.
demo:
	@$(MAKE) --no-print-directory setup
	@$(MAKE) --no-print-directory all guest
	@scripts/demo --host $(HOST) $(kernel)

check:
	@$(MAKE) --no-print-directory setup-check
	@$(MAKE) --no-print-directory all selftests guest build/ticks
	@scripts/check --host $(HOST) $(kernel)

check-unit:
	@scripts/check unit

check-style:
	@scripts/check style static

check-host: all selftests guest
	@scripts/check --host $(HOST) $(kernel) $(addprefix --hypervisor ,$(HYPERVISOR)) \
		--hypervisor-args='$(ARGS)' $(addprefix --test ,$(TEST)) host

check-debug: runner selftests guest
	@scripts/check --host svm-debug $(addprefix --test ,$(TEST)) host

check-models: all selftests guest
	@scripts/check $(kernel) $(addprefix --test ,$(TEST)) refusals models

check-kvm-selftests: module
	@scripts/kvm-selftests $(kernel)

compare: all guest build/ticks
	@scripts/compare $(kernel)

check-vmms: all guest
	@scripts/check $(kernel) $(addprefix --hypervisor ,$(HYPERVISOR)) $(addprefix --test ,$(TEST)) vmms

# Times mean something on hosts that count instructions.
bench bench-record bench-limits: HOST := $(if $(filter command% environment,$(origin HOST)),$(HOST),svm-counted)
bench: all selftests guest build/ticks
	@scripts/bench --host $(HOST) $(kernel) $(addprefix --hypervisor ,$(HYPERVISOR)) $(addprefix --boot ,$(BOOT))

bench-record: all selftests guest build/ticks
	@scripts/setup bench
	@scripts/bench --host $(HOST) $(kernel) $(addprefix --hypervisor ,$(HYPERVISOR)) $(addprefix --boot ,$(BOOT)) \
		--runs 2 --record

bench-limits: all selftests
	@scripts/bench --host $(HOST) $(kernel) --update-limits

bench-plot:
	@scripts/setup bench
	@scripts/bench --plot

install: all
	install -D -m 755 runner/okvm $(DESTDIR)$(PREFIX)/bin/okvm
	install -D -m 644 Documentation/okvm.1 $(DESTDIR)$(PREFIX)/share/man/man1/okvm.1
	install -D -m 644 okvm.ko $(DESTDIR)/lib/modules/$(KREL)/updates/okvm.ko
	$(if $(DESTDIR),,depmod $(KREL))

clean:
	-test -z '$(KDIR)' || $(MAKE) -C $(KDIR) M=$(CURDIR) clean
	$(MAKE) -C runner clean
	$(MAKE) -C selftests clean
	rm -rf build

.PHONY: all help setup setup-check module module-counted runner selftests guest demo check check-unit check-style check-host
.PHONY: check-debug check-models check-kvm-selftests check-vmms compare bench bench-record bench-limits bench-plot install clean
