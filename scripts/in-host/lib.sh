# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
# For tests that run in a test host: results as TAP, guests, and what the host's kernel holds.

# shellcheck source=/dev/null
. /etc/lab.conf
guest_console=/tmp/guest.log
device=/dev/okvm
[ "$HYPERVISOR" = kvm ] && device=/dev/kvm
append=
# How much slower than others this host is.
patience=${patience:-1}
points=0
failed=0

# point STATUS DESCRIPTION: one result, passed when the status is 0.
point() {
	points=$((points + 1))
	if [ "$1" = 0 ]; then
		echo "ok $points - $2"
	else
		echo "not ok $points - $2"
		failed=$((failed + 1))
	fi
}

# is GOT WANTED DESCRIPTION
is() {
	[ "$1" = "$2" ]
	same=$?
	[ $same = 0 ] || echo "# got '$1', want '$2'"
	point $same "$3"
}

# refused STATUS DESCRIPTION: passed when the status is not 0.
refused() {
	[ "$1" != 0 ]
	point $? "$2"
}

# at_most GOT LIMIT DESCRIPTION
at_most() {
	[ "$1" -le "$2" ]
	below=$?
	[ $below = 0 ] || echo "# got $1, want at most $2"
	point $below "$3"
}

# at_least GOT LIMIT DESCRIPTION
at_least() {
	[ "$1" -ge "$2" ]
	above=$?
	[ $above = 0 ] || echo "# got $1, want at least $2"
	point $above "$3"
}

# skip REASON DESCRIPTION: a point that cannot be made here.
skip() {
	points=$((points + 1))
	echo "ok $points - $2 # SKIP $1"
}

skip_all() {
	echo "1..0 # skip $*"
	exit 0
}

finish() {
	echo "1..$points"
	[ $failed = 0 ]
	exit
}

# run_guest SECONDS WHAT OPTION...: boot the guest for the script WHAT of scripts/guest; the runner's status.
# append: more words for the guest's kernel. Its console goes to $guest_console.
run_guest() {
	seconds=$1
	what=$2
	shift 2
	# shellcheck disable=SC2086
	timeout -s KILL $seconds okvm run --device $device --initrd /guest/guest.cpio --mem 256M \
		--append "quiet panic=-1 guest.run=$what $append" "$@" >$guest_console 2>&1 </dev/null
}

# What a guest said about itself: `fact NAME VALUE` lines.
guest_fact() {
	tr -d '\r' <$guest_console | sed -n "s/^fact $1 //p"
}

show_console() {
	tail -n 30 $guest_console | sed 's/^/#   /'
}

# guest_ends_with GOT WANTED DESCRIPTION: for the runner's status; the guest's last words when it differs.
guest_ends_with() {
	[ "$1" = "$2" ] || show_console
	is "$1" "$2" "$3"
}

# Let all that is on its way out go, and caches give back what they only keep.
settle() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	sleep 1
	for cache in /sys/kernel/slab/*/shrink; do
		[ -L "${cache%/shrink}" ] || echo 1 >"$cache"
	done
}

# Each CPU keeps thousands of free pages that the zone's own count leaves out.
free_pages() {
	awk '/^ *pages free / { sum += $3 } /^ *count: / { sum += $2 } END { print sum }' /proc/zoneinfo
}

# `NAME OBJECTS` a slab cache. What a CPU has at hand counts as used: of some looks the lowest is the nearest.
slab_objects() {
	for _ in 1 2 3 4; do
		settle
		tail -n +3 /proc/slabinfo
	done | awk '!($1 in low) || $2 < low[$1] { low[$1] = $2 } END { for (name in low) print name, low[name] }'
}

# How many processes of the runner there are.
runners() {
	count=0
	for comm in /proc/[0-9]*/comm; do
		[ "$(cat "$comm" 2>/dev/null)" = okvm ] && count=$((count + 1))
	done
	echo $count
}
