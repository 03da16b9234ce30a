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
	| {
		"epochs per second": $epochs,
		"all stops, per second": .stops,
		"stop per epoch as the guest sees it, median, ms": .pauses.median,
		"stop per epoch as the guest sees it, p99, ms": .pauses.p99,
		"all stops per epoch, mean sum, ms": (if $epochs then .stopped * 10 / $epochs else null end),
		"guest stopped, % of the time": .stopped,
		"guest work, 1000 iterations/s": (.work / 1000),
		"guest work, % of unprotected": (if $free then .work / $free * 100 else null end),
		"sent, KiB/s": (.bytes / 1024),
		"sent per epoch, KiB": (if $epochs then .bytes / 1024 / $epochs else null end),
		"machine used by others, %": .others
	};

def average: . as $all | if length == 0 then {} else .[0] | with_entries(.key as $k | .value = ($all | map(.[$k]) | mean)) end;

# Only what was measured has a column; the ratios are those of Romulus to each kind of xl remus.
def comparison($runs; $free; $interval):
	def of($mode; $i): $runs | map(select(.mode == $mode and .interval == $i) | figures($free)) | average;
	([["unprotected", of("unprotected"; 0)], ["xl remus (ssh)", of("xl-ssh"; $interval)],
		["xl remus (TCP)", of("xl-tcp"; $interval)], ["Romulus", of("romulus"; $interval)]]
		| map(select(.[1] != {}))) as $columns
	| ($columns | map(select(.[0] == "Romulus") | .[1]) | first) as $romulus
	| ($columns | map(select(.[0] | startswith("xl remus")))) as $others
	| "", "## Interval \($interval) ms", "",
	([""] + ($columns | map(.[0])) + ($others | map("Romulus / \(.[0])")) | row),
	(["---"] + ($columns + $others | map("--:")) | row),
	($runs[0] | figures($free) | keys_unsorted[] as $k
		| [$k] + ($columns | map(.[1][$k] | number)) + ($others | map(ratio($romulus[$k]; .[1][$k])))
		| row);

def stages($runs; $intervals):
	if $runs | any(.mode == "romulus") | not then empty else . end
	| "", "## Stages of an epoch of Romulus, ms", "",
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
