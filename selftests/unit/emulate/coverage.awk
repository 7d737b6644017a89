#!/usr/bin/awk -f
# Sum up gcov's report over the emulator's own files.
/^$/ && ours { print ""; ours = 0 }
/^File / { ours = index($0, "kmod/emulate/"); name = $2; gsub(/.*\/|'/, "", name) }
ours && /^Lines executed/ { split($2, p, /[:%]/); n = $4; lines += n; hit += n * p[2] / 100
	printf "# %-18s lines %6.2f%% of %d", name, p[2], n }
ours && /^Branches executed/ { split($2, p, /[:%]/); n = $4; branches += n; taken += n * p[2] / 100
	printf ", branches %6.2f%% of %d", p[2], n }
END {
	share = 100 * hit / lines
	printf "# all together lines %.2f%%, branches %.2f%%\n", share, 100 * taken / branches
	printf "%sok 1 - %.2f%% of %d lines, %.2f%% of %d branches reached\n1..1\n", share < 95 ? "not " : "", share, lines, \
		100 * taken / branches, branches
	exit share < 95
}
