# SPDX-License-Identifier: GPL-2.0-or-later
# Runs of tests/bench/run (an array of its JSON lines) to Markdown. Means over the repetitions.
def mean: map(select(. != null)) | if length == 0 then null else add / length end;
def hundredths: . * 100 | round / 100;
def number:
	if . == null then "–"
	elif . >= 100 then round | tostring
	elif . >= 10 then . * 10 | round / 10 | tostring
	else hundredths | tostring end;
def ratio($a; $b): if $a == null or $b == null or $b == 0 then "–" else $a / $b | hundredths | tostring end;
def row: "| " + join(" | ") + " |";

# One run to its figures, in the order of the table; null where a figure means nothing.
def figures($free):
	(if .epochs > 0 then .epochs else null end) as $epochs
	| (.stops > 0) as $stops
	| {
		"epochs per second": $epochs,
		"stops seen by the guest, per second": .stops,
		"stop seen by the guest, median, ms": (if $stops then .median else null end),
		"stop seen by the guest, p99, ms": (if $stops then .p99 else null end),
		"time lost per epoch, mean, ms": (if $epochs then .stopped * 10 / $epochs else null end),
		"time lost, %": .stopped,
		"guest work, 1000 iterations/s": (.work / 1000),
		"guest work, % of unprotected": (if $free then .work / $free * 100 else null end),
		"sent, KiB/s": (.bytes / 1024),
		"sent per epoch, KiB": (if $epochs then .bytes / 1024 / $epochs else null end)
	};

def average: . as $all | if length == 0 then {} else .[0] | with_entries(.key as $k | .value = ($all | map(.[$k]) | mean)) end;

def comparison($runs; $free; $interval):
	def of($mode; $i): $runs | map(select(.mode == $mode and .interval == $i) | figures($free)) | average;
	of("unprotected"; 0) as $none | of("xl-ssh"; $interval) as $ssh
	| of("xl-tcp"; $interval) as $tcp | of("romulus"; $interval) as $romulus
	| "", "## Interval \($interval) ms", "",
	(["", "unprotected", "xl remus (ssh)", "xl remus (TCP)", "Romulus", "Romulus / ssh", "Romulus / TCP"] | row),
	"|---|--:|--:|--:|--:|--:|--:|",
	($runs[0] | figures($free) | keys_unsorted[] as $k
		| [$k, ($none, $ssh, $tcp, $romulus | .[$k] | number),
			ratio($romulus[$k]; $ssh[$k]), ratio($romulus[$k]; $tcp[$k])] | row);

def stages($runs; $intervals):
	"", "## Stages of an epoch of Romulus, ms", "",
	(["interval, ms", "suspend", "capture", "resume", "= pause", "ship", "wait for ack"] | row),
	"|--:|--:|--:|--:|--:|--:|--:|",
	($intervals[] as $i
		| ($runs | map(select(.mode == "romulus" and .interval == $i) | .stages) | average) as $s
		| [$i, $s.suspend, $s.capture, $s.resume, $s.pause, $s.ship, $s.ack]
		| map(number) | row);

. as $runs
| ($runs | map(select(.mode == "unprotected") | .work) | mean) as $free
| ($runs | map(.interval) | unique | map(select(. > 0)) | reverse) as $intervals
| comparison($runs; $free; $intervals[]), stages($runs; $intervals)
