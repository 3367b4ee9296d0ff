#!/bin/sh
# Totals of each day of one region, as CSV.
#
#   convert_orders.sh --region REGION [--month YYYY-MM]
#
# Environment: ORDERS_FILE, the CSV file with the order lines (default: the
# example data). Standard input is not read: the worker puts the arguments into
# the command line.
#
# The program that exports the orders makes ORDERS_FILE.lock while it replaces
# the file. While that lock exists, or the file does not, this script exits with
# 75 (EX_TEMPFAIL): the worker runs the job again, after a pause.
#
# Reads only, apart from a work folder of its own, so a second attempt needs no care.

set -u
# Sorting, ranges and decimal points must not follow the worker's locale.
LC_ALL=C
export LC_ALL

EXIT_ERROR=1
EXIT_TRY_AGAIN=75
EXIT_STOPPED=143

orders_file=${ORDERS_FILE:-$(dirname -- "$0")/../data/orders.csv}
work=

event() { printf '::%s\n' "$*" >&2; }

# The text of an error goes to standard output: the caller sees that.
fail() {
    printf '%s\n' "$1"
    exit "${2:-$EXIT_ERROR}"
}

clean_up() {
    if [ -n "$work" ]; then rm -rf -- "$work"; fi
}
trap clean_up EXIT
# A trap on EXIT alone does not run in every shell when a signal ends it.
trap 'trap "" TERM INT HUP; exit "$EXIT_STOPPED"' TERM INT HUP

read_options() {
    region='' month=''
    while [ $# -gt 0 ]; do
        [ $# -ge 2 ] || fail "option $1 has no value"
        case $1 in
            --region) region=$2 ;;
            --month) month=$2 ;;
            *) fail "unknown option: $1" ;;
        esac
        shift 2
    done
    case $region in
        North | South | East | West) ;;
        '') fail 'option --region is missing' ;;
        *) fail 'region must be one of: North, South, East, West' ;;
    esac
    case $month in
        '' | [0-9][0-9][0-9][0-9]-0[1-9] | [0-9][0-9][0-9][0-9]-1[0-2]) ;;
        *) fail 'month must be YYYY-MM' ;;
    esac
}

check_export() {
    if [ -e "$orders_file.lock" ]; then
        event log warning 'the orders are being exported'
        fail 'the orders are being exported; try again later' "$EXIT_TRY_AGAIN"
    fi
    if [ ! -e "$orders_file" ]; then
        event log warning 'the orders have not been exported yet'
        fail 'the orders have not been exported yet; try again later' "$EXIT_TRY_AGAIN"
    fi
    if [ ! -f "$orders_file" ] || [ ! -r "$orders_file" ]; then
        fail 'the orders cannot be read'
    fi
}

# Reads order lines, writes "date,orders,units,revenue" of each day, unsorted.
# Columns are found by name. Money is added in whole cents, which stay exact.
# The file has no quoted fields; a line that does not fit ends the run, so that a
# total is never silently too small.
# shellcheck disable=SC2016
totals='
function stop(text) { print text > problem; stopped = 1; exit 1 }
BEGIN { FS = "," }
{ sub(/\r$/, "") }
NR == 1 {
    for (i = 1; i <= NF; i++) column[$i] = i
    names = split("order_id date region quantity unit_price", name, " ")
    for (i = 1; i <= names; i++)
        if (!(name[i] in column)) stop("the orders have no column " name[i])
    fields = NF
    next
}
NR % 1000 == 0 { print "::progress " NR "/" lines " reading order lines" > "/dev/stderr" }
NF != fields { stop("orders, line " NR ": wrong number of fields") }
$column["region"] != region { next }
{ day = $column["date"] }
day !~ /^[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]$/ {
    stop("orders, line " NR ": date is not YYYY-MM-DD")
}
month != "" && substr(day, 1, 7) != month { next }
{
    if ($column["quantity"] !~ /^[0-9]+$/ || $column["unit_price"] !~ /^[0-9]+\.[0-9][0-9]$/)
        stop("orders, line " NR ": quantity or unit_price is not a number")
    split($column["unit_price"], price, ".")
    units[day] += $column["quantity"]
    cents[day] += $column["quantity"] * (price[1] * 100 + price[2])
    if (!((day, $column["order_id"]) in seen)) {
        seen[day, $column["order_id"]] = 1
        orders[day]++
    }
}
END {
    if (stopped) exit 1
    if (NR == 0) { print "the orders are empty" > problem; exit 1 }
    for (day in units) printf "%s,%d,%d,%.2f\n", day, orders[day], units[day], cents[day] / 100
}
'

main() {
    read_options "$@"
    check_export
    event message "Converting the orders of region $region"
    work=$(mktemp -d) || fail 'no temporary folder can be made'

    # A copy, so that counting and converting see the same lines. An export that
    # began while it was made may have left half of each version in it.
    cp -- "$orders_file" "$work/orders" || fail 'the orders cannot be read'
    check_export
    lines=$(wc -l <"$work/orders")
    lines=$((lines))

    # Into a file and not through a pipe: the exit code of awk counts.
    if ! awk -v region="$region" -v month="$month" -v lines="$lines" -v problem="$work/problem" \
        "$totals" "$work/orders" >"$work/totals"; then
        [ ! -s "$work/problem" ] || fail "$(cat "$work/problem")"
        fail 'the orders could not be converted'
    fi
    event progress "$lines/$lines" 'sorting the days'
    sort "$work/totals" >"$work/sorted" || fail 'the days could not be sorted'
    days=$(wc -l <"$work/sorted")
    days=$((days))
    [ "$days" -gt 0 ] || event log notice 'no orders fit'

    echo 'date,orders,units,revenue'
    cat "$work/sorted"
    event log info "$days days from $lines lines"
    event message "Converted $days days of region $region"
}

main "$@"
