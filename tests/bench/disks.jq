# SPDX-License-Identifier: GPL-2.0-or-later
# Runs of tests/bench/disks (an array of its JSON lines) to Markdown. Means over the repetitions.
def mean: map(select(. != null)) | if length == 0 then null else add / length end;
def hundredths: . * 100 | round / 100;
def number:
	if . == null then "–"
	elif . >= 100 then round | tostring
	elif . >= 10 then . * 10 | round / 10 | tostring
	else hundredths | tostring end;
def ratio($a; $b): if $a == null or $b == null or $b == 0 then "–" else $a / $b | hundredths | tostring end;
def row: "| " + join(" | ") + " |";

def titles: {"local": "local device", "drbd-c": "DRBD, protocol C", "romulus": "Romulus"};
def patterns: {"random": "4 KiB, random", "sequential": "128 KiB, sequential", "sync": "4 KiB, random, each with fdatasync"};

# One run to its figures, in the order of the table.
def figures: {
	"throughput, KiB/s": (.load.bytes / 1024 / .load.seconds),
	"writes per second": (.load.operations / .load.seconds),
	"latency, median, ms": (.load.median_us / 1000),
	"latency, p99, ms": (.load.p99_us / 1000),
	"latency, longest, ms": (.load.longest_us / 1000),
	"machine used by others, %": .others
};

def average: . as $all | .[0] | with_entries(.key as $k | .value = ($all | map(.[$k]) | mean));

# Only what was measured has a column; the ratios are those of Romulus to each of the others.
def comparison($runs; $pattern):
	(titles | to_entries | map(.key as $m
		| [.value, ($runs | map(select(.mode == $m and .pattern == $pattern) | figures))]
		| select(.[1] != []) | .[1] |= average)) as $columns
	| ($columns | map(select(.[0] == "Romulus") | .[1]) | first) as $romulus
	| (if $romulus then $columns | map(select(.[0] != "Romulus")) else [] end) as $others
	| "", "## \(patterns[$pattern])", "",
	([""] + ($columns | map(.[0])) + ($others | map("Romulus / \(.[0])")) | row),
	(["---"] + ($columns + $others | map("--:")) | row),
	($columns[0][1] | keys_unsorted[] as $k
		| [$k] + ($columns | map(.[1][$k] | number)) + ($others | map(ratio($romulus[$k]; .[1][$k])))
		| row);

def epochs($runs; $measured):
	($runs | map(select(.mode == "romulus" and .figures))) as $own
	| if $own == [] then empty else . end
	| "", "## Epochs of Romulus under these loads", "",
	(["", "epochs per second", "pause, ms", "boundary from begin to end, ms", "of it after the capture, ms",
		"that of the pause, %", "undo memory at an ack, KiB", "the most seen, KiB"] | row),
	"|---|--:|--:|--:|--:|--:|--:|--:|",
	($measured[] as $p
		| ($own | map(select(.pattern == $p))) | select(. != [])
		| (map(.figures) | average) as $f
		| [patterns[$p]] + ([(map(.epochs) | mean), $f.pause, $f.boundary, $f.wait,
			(if $f.pause > 0 then $f.wait / $f.pause * 100 else null end), $f.undo / 1024,
			$f.undo_most / 1024] | map(number))
		| row);

. as $runs
| (patterns | keys_unsorted | map(. as $p | select($runs | any(.pattern == $p)))) as $measured
| comparison($runs; $measured[]), epochs($runs; $measured)
